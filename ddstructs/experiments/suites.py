"""The suites that `ddstructs reproduce` runs: what each has, and what was published on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["SUITES", "Suite"]

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

    Attributes:
        recipe: The file of its recipe.
        tasks: Names of the tasks.
        memories: Names of the memories.
        cells: Names of the cells.
        out: Folder of the results.
        title: What the suite is called.
        score: What the score is, in a sentence.
        levels: The scores that seeds are counted at, from the best on.
        smaller: Whether smaller scores are better.
        source: Where the published figures come from, and whether each is a best or a mean.
        published: The published figures: by task, the score of each network.
        longest: The greatest length of training.
    """

    recipe: Path
    tasks: tuple[str, ...]
    memories: tuple[str, ...]
    cells: tuple[str, ...]
    out: Path
    title: str = ""
    score: str = ""
    levels: tuple[float, ...] = ()
    smaller: bool = False
    source: str = ""
    published: dict[str, dict[str, float]] = field(default_factory=dict)
    longest: int = 64

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


HERE = Path(__file__).parent

SUITES = {
    "paper": Suite(
        recipe=HERE / "recipe.yaml",
        tasks=("Reversal", "Copying", "BigramFlipping", "SVOtoSOV", "GenderConjugation"),
        memories=("Stack", "Queue", "Deque", "NoMemory"),
        cells=("rnn", "lstm"),
        out=Path("runs/reproduce"),
    ),
    "chomsky": Suite(
        recipe=HERE / "chomsky.yaml",
        tasks=(*REGULAR, *CONTEXT_FREE, *CONTEXT_SENSITIVE),
        memories=("Stack", "SuperpositionStack", "Tape", "NoMemory"),
        cells=("rnn", "lstm"),
        out=Path("runs/chomsky"),
        title="the Chomsky suite",
        score="the mean over the test lengths, 41 to 500, of the share of answer symbols that are right",
        levels=(0.99995, 0.99, 0.9),
        source=(
            "Delétang et al. 2022, *Neural Networks and the Chomsky Hierarchy*, table 1: each is the **best** of ten "
            "seeds and of a sweep of learning rates, after a million updates in batches of 128, of a network with 256 "
            "units. They are from memory of the paper, and were not checked against a copy"
        ),
        longest=40,
        published=_table("RNN Stack-RNN Tape-RNN Transformer LSTM", CHOMSKY),
    ),
}
"""The suites, by name."""
