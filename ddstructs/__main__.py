"""The command `ddstructs`, also `python -m ddstructs`."""

import sys

from ddstructs.cli.main import command_line, main

__all__ = ["command_line", "main"]

if __name__ == "__main__":
    sys.exit(command_line())
