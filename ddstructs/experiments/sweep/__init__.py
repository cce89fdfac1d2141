"""The search for better settings: `ddstructs sweep`. Needs Optuna, which is the extra `sweep`."""
