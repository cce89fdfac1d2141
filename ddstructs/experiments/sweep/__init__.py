"""The search for better settings, by any number of workers: `ddstructs sweep`. Needs `pip install ddstructs[sweep]`."""
