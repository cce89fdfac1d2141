"""What can be named: the catalog, plugins, and objects as plain data. Imports no torch."""
