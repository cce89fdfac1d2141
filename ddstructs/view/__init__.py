"""Inspection of how a model uses its memory: traces, a diagnosis, plots and a player."""
