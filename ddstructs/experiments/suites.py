"""The suites that `ddstructs reproduce` runs: what each has, and what was published on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["HARD_LENGTH", "SUITES", "Suite"]

HARD_LENGTH = 1000
"""The length of the column *hard* in the results of the paper's tasks."""

REGULAR = ("EvenPairs", "ModularArithmetic", "ParityCheck", "CycleNavigation")
CONTEXT_FREE = ("StackManipulation", "ReverseString", "ModularArithmeticBrackets", "SolveEquation")
CONTEXT_SENSITIVE = (
    *("DuplicateString", "MissingDuplicate", "OddsFirst"),
    *("BinarySum", "BinaryProduct", "SquareRoot", "BucketSort"),
)

CHOMSKY = """
EvenPairs                  100   100   100   96.4  100
ModularArithmetic          100   100   100   24.2  100
ParityCheck                100   100   100   52.0  100
CycleNavigation            100   100   100   61.9  100
StackManipulation          56.0  100   100   57.5  59.1
ReverseString              62.0  100   100   62.3  60.9
ModularArithmeticBrackets  41.3  96.1  95.4  32.5  59.2
SolveEquation              51.0  56.2  64.4  25.7  67.8
DuplicateString            50.3  52.8  100   52.8  57.6
MissingDuplicate           52.3  55.2  100   56.4  54.3
OddsFirst                  51.0  51.9  100   52.8  55.6
BinarySum                  50.3  52.7  100   54.3  55.5
BinaryProduct              50.0  52.7  58.5  52.2  53.1
SquareRoot                 54.3  56.5  57.8  52.4  57.5
BucketSort                 27.9  78.1  70.7  91.9  99.3
"""


@dataclass(frozen=True)
class Suite:
    """A suite: its recipe, what is run if nothing else is asked for, and how it is told.

    In `sets`, `judged_on` and `score`, names such as `{size}` stand for the sizes that `sized` fills in.

    Attributes:
        recipe: The file of its recipe.
        tasks: Names of the tasks.
        memories: Names of the memories.
        cells: Names of the cells.
        out: Folder of the results.
        title: What the suite is called.
        sets: What a run is trained and tested on, where its scores are those of the paper: coarse and fine accuracy.
        judged: The one of these scores that decides about success.
        judged_on: The lengths behind it.
        score: What the score is, in a sentence; none for those of the paper.
        levels: The scores that seeds are counted at, from the best on.
        smaller: Whether smaller scores are better.
        source: Where the published figures come from, and whether each is a best or a mean.
        published: The published figures: by task, the score of each network.
        longest: The greatest length of training.
        goal: What ends a training, in a few words.
        stretch: Number of lengths in a column of the score by length.
        updates: The maximum number of updates.
        hard: The number of sources of the column *hard*.
    """

    recipe: Path
    tasks: tuple[str, ...]
    memories: tuple[str, ...]
    cells: tuple[str, ...]
    out: Path
    title: str = ""
    sets: str = ""
    judged: str = "coarse_test"
    judged_on: str = "{lengths}"
    score: str = ""
    levels: tuple[float, ...] = ()
    smaller: bool = False
    source: str = ""
    published: dict[str, dict[str, float]] = field(default_factory=dict)
    longest: int = 64
    goal: str = "every sequence of a validation set is right"
    stretch: int = 100
    updates: str = "the recipe's maximum number of"
    hard: str = "at"

    def reaches(self, score: float, level: float) -> bool:
        """Whether a score is as good as a level."""
        return score <= level if self.smaller else score >= level


def _table(networks: str, text: str) -> dict[str, dict[str, float]]:
    """Published percentages: in each line a task, and the figure of each network."""
    rows = [line.split() for line in text.strip().splitlines()]
    return {
        task: {network: float(figure) / 100 for network, figure in zip(networks.split(), figures, strict=True)}
        for task, *figures in rows
    }


LANGUAGES = (
    *("MarkedReversal", "UnmarkedReversal", "PaddedReversal", "Dyck", "Hardest"),
    *("Counting", "MarkedCopy", "UnmarkedCopy", "RecodedCopy"),
    *("MarkedReversalAndCopy", "UnmarkedReversalAndCopy", "CountAndCopy"),
)

RECOGNIZED = (
    *("EvenPairs", "Repeat", "Parity", "CycleNavigation", "ModularArithmetic", "Dyck", "First"),
    *("Majority", "StackManipulation", "MarkedReversal", "UnmarkedReversal", "MarkedCopy", "MissingDuplicate"),
    *("OddsFirst", "BinarySum", "BinaryProduct", "SquareRoot", "BucketSort"),
)

FOUR_STACKS = "+".join(["Stack"] * 4)

FOUR_QUEUES = "+".join(["Queue"] * 4)

QUEUES = "+".join(["Queue"] * 2), FOUR_QUEUES, "+".join(["Queue"] * 5)

HERE = Path(__file__).parent

SUITES = {
    "paper": Suite(
        recipe=HERE / "recipe.yaml",
        tasks=("Reversal", "Copying", "BigramFlipping", "SVOtoSOV", "GenderConjugation"),
        memories=("Stack", "Queue", "Deque", "NoMemory"),
        cells=("rnn", "lstm"),
        out=Path("runs/reproduce"),
        sets=(
            "A run is trained on sources of {trained} symbols and tested on {size} unseen sources of that range\n"
            "(*train*) and {size} of {lengths} symbols."
        ),
    ),
    "natural": Suite(
        recipe=HERE / "natural.yaml",
        tasks=("SVOtoSOV", "GenderConjugation"),
        memories=("Stack", "Queue", "Deque", "NoMemory"),
        cells=("rnn", "lstm"),
        out=Path("runs/natural"),
        title="the grammars of the paper at natural lengths",
        sets=(
            "Lengths have the probabilities that the grammar gives them, within a range: about two thirds of\n"
            "the sentences have up to 8 words, in SVO to SOV, or up to 6, in gender conjugation. A run is trained on\n"
            "sentences of up to {longest} words and tested on {size} others (*train*) and {size} of {lengths} words.\n"
            "No sentence is in two of the sets of training, validation and test."
        ),
        judged="coarse_train",
        judged_on="sentences of up to {longest} words",
    ),
    "chomsky": Suite(
        recipe=HERE / "chomsky.yaml",
        tasks=(*REGULAR, *CONTEXT_FREE, *CONTEXT_SENSITIVE),
        memories=("Stack", FOUR_STACKS, "Queue", *QUEUES, "SuperpositionStack", "Tape", "NoMemory"),
        cells=("rnn", "lstm", "gru", "deep", "layers"),
        out=Path("runs/chomsky"),
        title="the Chomsky suite",
        score="the mean over {tested}, of the share of answer symbols that are right",
        levels=(0.99995, 0.99, 0.9),
        source=(
            "Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, table 1: each is the **best** of ten "
            "seeds and of a sweep of learning rates, after a million updates in batches of 128, of a network with 256 "
            "units. They are from memory of the paper, and were not checked against a copy. They were trained on the "
            "answer alone; with four stacks and a deep cell, expressions are trained on the values of their parts too "
            "(`part_weight`), and equations on those of left operands as well (`operand_weight`), and sums with "
            "two queues on what is added at each place (`addend_weight`)"
        ),
        longest=40,
        published=_table("RNN Stack-RNN Tape-RNN Transformer LSTM", CHOMSKY),
    ),
    "cfl": Suite(
        recipe=HERE / "cfl.yaml",
        tasks=tuple(f"{name}Model" for name in LANGUAGES),
        memories=("Stack", FOUR_STACKS, FOUR_QUEUES, "SuperpositionStack", "NoMemory"),
        cells=("rnn", "lstm"),
        out=Path("runs/cfl"),
        title="language models of context-free and other languages",
        score=(
            "the mean over {tested}, of the cross entropy per symbol above that of the true "
            "distribution, in nats; it is charged for the length as in training, see `LanguageModel`"
        ),
        levels=(0.005, 0.02, 0.1),
        smaller=True,
        source=(
            "DuSell & Chiang 2020 and 2022 plot the **best** of ten runs, chosen on validation; there is no figure to "
            "print, and their metric is not charged for the length, so that a perfect model is above 0"
        ),
        longest=80,
        goal="the validation set, of the lengths of training, is within 0.005 nats of the true distribution",
        stretch=16,
    ),
    "recognition": Suite(
        recipe=HERE / "recognition.yaml",
        tasks=tuple(f"{name}Recognition" for name in RECOGNIZED),
        memories=("Stack", FOUR_STACKS, "SuperpositionStack", "NoMemory"),
        cells=("rnn", "lstm"),
        out=Path("runs/recognition"),
        title="recognition of formal languages",
        score="the mean over {tested}, half of them in the language, of the share that is told right",
        levels=(0.99995, 0.99, 0.9),
        source=(
            "Butoi et al. 2025, *Training Neural Networks as Recognizers of Formal Languages*, give **means** and "
            "**maxima** of ten runs of networks of about 64,000 parameters. Perfect are only regular languages and "
            "majority; the other figures were not at hand"
        ),
        longest=40,
    ),
}
"""The suites, by name."""
