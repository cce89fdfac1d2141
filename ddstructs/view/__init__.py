"""Means to see what a memory is used for: a trace of a run, its pictures, its page, and what it says in words."""
