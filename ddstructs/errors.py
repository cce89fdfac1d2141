"""What goes wrong through the input rather than through the code."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Input that cannot be used. Its message is one line: what came, what was expected, what to do."""
