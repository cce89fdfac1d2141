"""The grid of tasks, memories and cells, trained and tested, with every seed told: `ddstructs reproduce`."""
