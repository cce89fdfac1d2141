"""Transduction tasks as Lightning data modules."""

from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.bigram_flipping import BigramFlipping
from ddstructs.tasks.binary_addition import BinaryAddition
from ddstructs.tasks.copying import Copying
from ddstructs.tasks.curriculum import Curriculum
from ddstructs.tasks.gender_conjugation import GenderConjugation
from ddstructs.tasks.rearrangement import Rearrangement
from ddstructs.tasks.reversal import Reversal
from ddstructs.tasks.svo_to_sov import SVOtoSOV
from ddstructs.tasks.task import Task
from ddstructs.tasks.translation import Translation

__all__ = [
    "IGNORE",
    "Batch",
    "BigramFlipping",
    "BinaryAddition",
    "Copying",
    "Curriculum",
    "GenderConjugation",
    "Rearrangement",
    "Reversal",
    "SVOtoSOV",
    "Task",
    "Translation",
]
