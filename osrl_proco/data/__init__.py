"""Recorded data: load, check, split, collect."""
