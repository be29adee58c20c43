"""From the exports of a company to six checked tables."""
