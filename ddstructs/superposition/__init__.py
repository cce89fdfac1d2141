"""Memories by superposition: their base, the superposition stack, and the row of cells that it shares with the tape."""

from ddstructs.superposition.abstract import Superposed
from ddstructs.superposition.cells import Cells
from ddstructs.superposition.stack import SuperpositionStack

__all__ = ["Cells", "Superposed", "SuperpositionStack"]
