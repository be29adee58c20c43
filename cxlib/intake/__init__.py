"""From a company's exports to six checked tables, and from these to small count tables."""
