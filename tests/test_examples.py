"""The claims of the scripts in examples/, with small settings and one seed."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from examples import binary_addition, binary_sequences, from_a_code, text_lines, when_to_pop, when_to_push_and_pop

ROOT = Path(__file__).parents[1]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The path of a figure, in a folder that does not exist yet."""
    return tmp_path / "figures" / "figure.png"


def is_drawn(figure: Path) -> bool:
    """Whether the file is a PNG with content."""
    content = figure.read_bytes()
    return content.startswith(b"\x89PNG") and len(content) > 5000


@pytest.mark.parametrize("seed", range(5))
def test_three_pops_learn_to_reverse(seed: int) -> None:
    start = torch.rand(3, generator=torch.Generator().manual_seed(seed))
    learned = when_to_pop.learn(start, updates=200)
    assert torch.allclose(learned.reads[-1], when_to_pop.WANTED, atol=1e-3)
    assert torch.allclose(learned.pops[-1], torch.tensor([0.0, 1.0, 1.0]), atol=1e-2)


def test_pops_of_zero_never_learn() -> None:
    learned = when_to_pop.learn(torch.zeros(3), updates=50)
    assert learned.pops.eq(0).all()


def test_push_and_pop_learn_to_reverse_without_being_0_or_1() -> None:
    learned = when_to_push_and_pop.learn(seed=0, highest_pop=0.25, updates=300)
    assert torch.allclose(learned.reads, when_to_push_and_pop.WANTED, atol=1e-3)
    assert (learned.push - learned.push.round()).abs().max() > 0.1


def test_an_empty_stack_teaches_nothing() -> None:
    learned = when_to_push_and_pop.learn(seed=0, highest_pop=1.0, updates=300)
    assert learned.reads.eq(0).all()


def test_weights_on_a_code_reverse_what_they_never_saw() -> None:
    learned = from_a_code.learn(seed=0, pop_bias=-1.0, updates=600)
    assert learned.error < 0.1
    push, pop = learned.signals[-1].round()
    assert push.tolist() == [1, 1, 1, 0, 0, 0]
    assert pop[1:].tolist() == [0, 0, 0, 1, 1]  # the first meets an empty stack


def test_a_push_that_is_always_1_leaves_the_pops_at_a_half() -> None:
    run = binary_sequences.learn(seed=0, growth=1.05, longest=12, updates=300)
    assert run.push.eq(1).all()
    assert run.slope == 0
    assert run.halves == 1
    assert run.unpopped == run.right < 0.95


def test_a_push_left_alone_learns_to_pop() -> None:
    run = binary_sequences.learn(seed=2, growth=1.0, start=8, longest=12, updates=300)
    assert run.lengths[-1] == 12
    assert run.right > 0.99
    assert run.halves < 0.2
    assert run.unpopped < 0.7


def test_an_elman_cell_adds_numbers_longer_than_it_was_trained_on() -> None:
    result = binary_addition.learn(seed=0, updates=600)
    assert result.test_coarse == 1
    assert binary_addition.look(result.model, "1011 + 110")[0] == "10001"


def test_lines_never_seen_come_out_reversed() -> None:
    train, test = text_lines.split(ROOT / "LICENSE")  # a text that does not change
    assert not set(train) & set(test)
    assert max(map(len, test)) > 3 * 24
    result = text_lines.learn(train, seed=0, updates=200, longest=24)
    assert text_lines.reverse(result.model, test) == [line[::-1] for line in test]


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        (when_to_pop, ["--updates", "20"]),
        (when_to_push_and_pop, ["--updates", "20", "--seeds", "2"]),
        (from_a_code, ["--updates", "20", "--seeds", "2"]),
        (binary_sequences, ["--updates", "4", "--seeds", "1"]),
        (binary_addition, ["--updates", "50", "--seeds", "1"]),
        (text_lines, ["--updates", "2", "--longest", "8", "--file", str(ROOT / "LICENSE")]),
    ],
)
def test_each_script_prints_and_draws(
    script: ModuleType, arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.main([*arguments, "--seed", "3", "--out", str(out)])
    assert is_drawn(out)
    assert str(out) in capsys.readouterr().out
