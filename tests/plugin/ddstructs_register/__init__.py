"""Somebody else's package of memories."""
