"""Names and what they stand for: the catalog, plugins, and objects as plain data. Does not import torch."""
