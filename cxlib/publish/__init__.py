"""Runs the notebooks of one company and publishes them as one whole folder of pages."""
