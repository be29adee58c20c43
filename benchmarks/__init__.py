"""Simulations and timings: run by hand (make calibrate, make bench), never by the tests' clock."""
