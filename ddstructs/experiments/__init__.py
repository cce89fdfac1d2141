"""Runs of every task, memory and cell, from many seeds: `ddstructs reproduce`; and a search for settings."""
