"""Tasks as Lightning data modules: `Task`, its kinds, and a file for each task."""

from ddstructs.tasks.batch import IGNORE, Batch
from ddstructs.tasks.bigram_flipping import BigramFlipping
from ddstructs.tasks.binary_addition import BinaryAddition
from ddstructs.tasks.binary_numbers import BinaryProduct, BinarySum, SquareRoot
from ddstructs.tasks.binary_recognition import BinaryProductRecognition, BinarySumRecognition, SquareRootRecognition
from ddstructs.tasks.blank_answer import BlankAnswer
from ddstructs.tasks.bracket_answers import ModularArithmeticBrackets, SolveEquation
from ddstructs.tasks.bucket_sort import BucketSort
from ddstructs.tasks.copy_models import (
    CountAndCopyModel,
    CountingModel,
    MarkedCopyModel,
    MarkedReversalAndCopyModel,
    RecodedCopyModel,
    UnmarkedCopyModel,
    UnmarkedReversalAndCopyModel,
)
from ddstructs.tasks.copy_recognition import MarkedCopyRecognition, MissingDuplicateRecognition
from ddstructs.tasks.copying import Copying
from ddstructs.tasks.curriculum import Curriculum
from ddstructs.tasks.duplicates import DuplicateString, MissingDuplicate
from ddstructs.tasks.dyck import DyckModel, DyckRecognition
from ddstructs.tasks.gender_conjugation import GenderConjugation
from ddstructs.tasks.generated import Generated
from ddstructs.tasks.hardest_language import HardestModel
from ddstructs.tasks.language import Language
from ddstructs.tasks.language_model import LanguageModel
from ddstructs.tasks.majority import MajorityRecognition
from ddstructs.tasks.marked_reversal import MarkedReversalModel, MarkedReversalRecognition
from ddstructs.tasks.odds_first import OddsFirst
from ddstructs.tasks.order_recognition import BucketSortRecognition, OddsFirstRecognition
from ddstructs.tasks.padded_reversal import PaddedReversalModel
from ddstructs.tasks.rearrangement import Rearrangement
from ddstructs.tasks.recognition import Recognition
from ddstructs.tasks.regular_answers import CycleNavigation, EvenPairs, ModularArithmetic, ParityCheck
from ddstructs.tasks.regular_recognition import (
    CycleNavigationRecognition,
    EvenPairsRecognition,
    FirstRecognition,
    ModularArithmeticRecognition,
    ParityRecognition,
    RepeatRecognition,
)
from ddstructs.tasks.reversal import Reversal
from ddstructs.tasks.reverse_string import ReverseString
from ddstructs.tasks.stack_manipulation import StackManipulation
from ddstructs.tasks.stack_recognition import StackManipulationRecognition
from ddstructs.tasks.svo_to_sov import SVOtoSOV
from ddstructs.tasks.task import Task
from ddstructs.tasks.transduction import Transduction
from ddstructs.tasks.translation import Translation
from ddstructs.tasks.unmarked_reversal import UnmarkedReversalModel, UnmarkedReversalRecognition

__all__ = [
    "IGNORE",
    "Batch",
    "BigramFlipping",
    "BinaryAddition",
    "BinaryProduct",
    "BinaryProductRecognition",
    "BinarySum",
    "BinarySumRecognition",
    "BlankAnswer",
    "BucketSort",
    "BucketSortRecognition",
    "Copying",
    "CountAndCopyModel",
    "CountingModel",
    "Curriculum",
    "CycleNavigation",
    "CycleNavigationRecognition",
    "DuplicateString",
    "DyckModel",
    "DyckRecognition",
    "EvenPairs",
    "EvenPairsRecognition",
    "FirstRecognition",
    "GenderConjugation",
    "Generated",
    "HardestModel",
    "Language",
    "LanguageModel",
    "MajorityRecognition",
    "MarkedCopyModel",
    "MarkedCopyRecognition",
    "MarkedReversalAndCopyModel",
    "MarkedReversalModel",
    "MarkedReversalRecognition",
    "MissingDuplicate",
    "MissingDuplicateRecognition",
    "ModularArithmetic",
    "ModularArithmeticBrackets",
    "ModularArithmeticRecognition",
    "OddsFirst",
    "OddsFirstRecognition",
    "PaddedReversalModel",
    "ParityCheck",
    "ParityRecognition",
    "Rearrangement",
    "RecodedCopyModel",
    "Recognition",
    "RepeatRecognition",
    "Reversal",
    "ReverseString",
    "SVOtoSOV",
    "SolveEquation",
    "SquareRoot",
    "SquareRootRecognition",
    "StackManipulation",
    "StackManipulationRecognition",
    "Task",
    "Transduction",
    "Translation",
    "UnmarkedCopyModel",
    "UnmarkedReversalAndCopyModel",
    "UnmarkedReversalModel",
    "UnmarkedReversalRecognition",
]
