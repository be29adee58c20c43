"""Run the notebooks of one company and publish them as one complete folder of pages."""
