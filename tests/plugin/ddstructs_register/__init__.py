"""A third-party package with a memory, a task and a cell."""
