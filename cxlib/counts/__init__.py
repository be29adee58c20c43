"""From the six tables to small count tables, made in the engine: the one place that knows time."""
