"""The search for better settings: `ddstructs sweep`. Needs `pip install 'ddstructs[sweep]'`."""
