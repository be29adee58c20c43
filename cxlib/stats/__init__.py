"""Statistics on counts: arrays and frames in, estimates out; knows nothing of customer experience."""
