"""Experiments: runs of all tasks, memories and cells from many seeds, and a search for settings."""
