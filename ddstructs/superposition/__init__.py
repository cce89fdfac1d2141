"""Memories by superposition: their base, the superposition stack, and the row of cells that it shares with the tape."""

from ddstructs.superposition.abstract import Superposed
from ddstructs.superposition.cells import Cells, Row, TapeCells
from ddstructs.superposition.stack import SuperpositionStack

__all__ = ["Cells", "Row", "Superposed", "SuperpositionStack", "TapeCells"]
