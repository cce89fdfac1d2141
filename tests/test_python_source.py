"""The text of Python's standard library: its split, its rows, and the brackets and blocks that its code closes."""

from __future__ import annotations

import re
from itertools import pairwise, product
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pytest
import torch
from commands import refusal
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from benchmarks import text
from ddstructs import NoMemory, SequenceModel
from ddstructs.cli.main import main
from ddstructs.errors import InputError
from ddstructs.tasks.batch import START
from ddstructs.tasks.python_code import Closing, Dedent, closings, dedents
from ddstructs.tasks.python_source import PythonSource, encode, split_of
from ddstructs.tasks.task import Split
from ddstructs.training.checkpoint import read

STRING = (
    r"""(?s:'''(?:\\.|.)*?'''|\"\"\"(?:\\.|.)*?\"\"\")|'(?:\\(?s:.)|[^\\'\n])*'|"(?:\\(?s:.)|[^\\"\n])*"|\#[^\n]*"""
)
"""A string or a comment of Python."""


@pytest.fixture(scope="module")
def task() -> PythonSource:
    return PythonSource(context=64, batch_size=3, batches_per_epoch=2, eval_size=7)


def test_no_file_is_in_two_splits(task: PythonSource) -> None:
    splits: tuple[Split, ...] = ("train", "val", "test")
    train, val, test = ({file for file in task.files[split] if len(file) > 1000} for split in splits)
    assert train
    assert val
    assert test
    assert not train & val
    assert not train & test
    assert not val & test


def test_the_split_of_a_file_depends_on_its_path_alone() -> None:
    paths = [PurePosixPath(f"a/{i}.py") for i in range(2000)]
    splits = [split_of(path) for path in paths]
    assert splits == [split_of(path) for path in paths]
    assert 120 < splits.count("val") < 280
    assert 120 < splits.count("test") < 280


def test_the_steps_of_a_split_are_its_files(task: PythonSource) -> None:
    parts = [file for file in bytes_of(task.symbols["val"]) if file]
    assert parts == [file for file in task.files["val"] if file]


def bytes_of(symbols: npt.NDArray[np.int16]) -> list[bytes]:
    ends = np.flatnonzero(symbols == START)
    return [bytes((symbols[a + 1 : b] - 1).tolist()) for a, b in pairwise(ends)]


def test_the_target_of_a_step_is_the_next_byte_or_the_end(task: PythonSource) -> None:
    length = len(task.files["val"][0])
    batch = task.rows("val", np.array([0, length - 10]))
    file = task.files["val"][0] + b"\0"
    assert batch.inputs[0].tolist() == [START, *(1 + byte for byte in file[:63])]
    assert batch.targets[0].tolist() == list(file[:64])
    assert batch.targets[1, :11].tolist() == [*file[length - 10 : length], 256]
    assert batch.inputs[1, 11] == START


def test_training_rows_depend_on_the_seed_and_go_on() -> None:
    def rows(seed: int) -> list[torch.Tensor]:
        task = PythonSource(context=16, batch_size=2, batches_per_epoch=2, seed=seed)
        return [batch.inputs for _ in range(2) for batch in task.train_dataloader()]

    first, again, other = rows(1), rows(1), rows(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert len({tuple(each.flatten().tolist()) for each in first}) == 4


def test_a_row_longer_than_the_text_is_refused() -> None:
    task = PythonSource(context=10**9)
    for rows in (task.train_dataloader, task.val_dataloader):
        with pytest.raises(InputError, match=r"context is 1000000000, but the text of .* choose a shorter context"):
            next(iter(rows()))


def test_validation_rows_follow_each_other(task: PythonSource) -> None:
    rows = torch.cat([batch.inputs for batch in task.val_dataloader()])
    assert len(task.val_dataloader()) == 3
    assert rows.flatten().tolist() == task.symbols["val"][: 7 * 64].tolist()


def test_brackets_are_those_that_a_plain_lexer_finds(task: PythonSource) -> None:
    """In every file of the test split; in newer Pythons, brackets within f-strings count as well."""
    for file in task.files["test"]:
        code = re.sub(STRING.encode(), lambda found: b" " * len(found[0]), file)
        expected, opened = [], list[int]()
        for position, byte in enumerate(code):
            if byte in b"([{":
                opened.append(position)
            elif byte in b")]}":
                expected.append(Closing(position, chr(byte), len(opened), position - opened.pop()))
        found = closings(file)
        inside = {each.position for each in found} - {each.position for each in expected}
        assert [each._replace(depth=0) for each in found if each.position not in inside] == [
            each._replace(depth=0) for each in expected
        ]
        assert all(not code[position : position + 1].strip() for position in inside)  # within strings


@pytest.mark.parametrize("inside", ["{x[0]}", "{f'{(1, 2)}'}", "{x:{w[0]}}", "{{", "x"])
def test_brackets_in_an_f_string_are_text(inside: str) -> None:
    source = f'g(f"{inside}", [y])\nif z:\n    f"{inside}"\ng()\n'.encode()
    assert [closing.symbol for closing in closings(source)] == ["]", ")", ")"]
    assert [(dedent.columns, dedent.level) for dedent in dedents(source)] == [((0,), 0)]


def test_bytes_are_counted_and_not_characters() -> None:
    assert closings("é = ('ü')".encode()) == [Closing(10, ")", 1, 5)]


@given(st.lists(st.integers(0, 4), max_size=12), st.integers(1, 4))
def test_dedents_are_the_blocks_that_end(depths: list[int], width: int) -> None:
    """A program whose lines lie at given depths, where each may be one deeper than the line before it, at most."""
    lines, expected, last, position, depth = list[str](), [], dict[int, int](), 0, 0
    depths = [0, *depths]
    for i, wanted in enumerate(depths):
        depth = min(wanted, depth + 1) if i else 0
        depths[i] = depth
    for depth, after in zip(depths, [*depths[1:], 0], strict=True):
        before = depths[len(lines) - 1] if lines else 0
        if depth < before:
            columns = tuple(width * level for level in range(before))
            expected.append(Dedent(position, columns, depth, position - last[depth]))
        last[depth] = position
        lines.append(" " * (width * depth) + ("if x:" if after > depth else "x") + "\n")
        position += len(lines[-1])
    assert dedents("".join(lines).encode()) == expected


def test_comments_and_continued_lines_close_nothing() -> None:
    source = b"if a:\n    if b:\n        f(\n1)\n# c\n\n        g\n    h\n"
    assert dedents(source) == [Dedent(source.index(b"    h"), (0, 4), 1, source.index(b"    h") - 6)]


@pytest.mark.parametrize("columns", [(0, 4), (0, 2, 5), (0, 1, 2, 3)])
def test_a_dedent_is_right_if_the_model_would_write_its_indentation(columns: tuple[int, ...]) -> None:
    for stays in product([False, True], repeat=columns[-1] + 1):
        written = next((level for level, column in enumerate(columns[:-1]) if not stays[column]), len(columns) - 1)
        for level in range(len(columns)):
            dedent = Dedent(3, columns, level, 1)
            assert text.is_right(dedent, torch.tensor([False] * 5 + list(stays)), begin=2) == (level == written)


@pytest.mark.parametrize("count", [0, 3, 4, 21])
def test_each_byte_is_predicted_from_a_window(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "CONTEXT", 8)
    torch.manual_seed(0)
    model = SequenceModel(NoMemory(), 257, 257, ["attention"], 8, 2).double().eval()
    steps = encode((b"f(x)[0] = {1: 2}\n    end")[:count])
    said = text.predict(model, steps)
    padded = torch.from_numpy(np.pad(steps, (4, 8))).long()
    for i in range(count + 1):
        first = 4 * (i // 4)
        logits = model(padded[None, first : i + 5])[0, -1]
        target = torch.tensor(256 if steps[i + 1] == START else int(steps[i + 1]) - 1)
        torch.testing.assert_close(said.nats[i], cross_entropy(logits, target))
        probability = logits.softmax(0)
        assert said.bracket[i] == probability[text.BRACKETS].argmax()
        assert said.stays[i] == (probability[32] > 1 - probability[32] - probability[10])


TINY = (
    *("--data", "PythonSource", "--data.context", "16", "--data.batch_size", "2", "--data.batches_per_epoch", "2"),
    *("--data.eval_size", "4", "--model.hidden_size", "8", "--model.embedding_size", "4", "--model.memory", "Stack"),
    *("--model.memory.width", "4"),
)


def fitted(epochs: int, *more: str) -> Path:
    folder = Path("run")
    assert (
        main(("fit", *TINY, "--trainer.max_epochs", f"{epochs}", "--trainer.default_root_dir", f"{folder}", *more)) == 0
    )
    return max(folder.rglob("last.ckpt"), key=lambda path: path.stat().st_mtime_ns)


def test_the_command_line_trains_on_it_and_refuses_text_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = f"{fitted(1)}"
    said = capsys.readouterr().out
    assert re.search(r"After 2 updates: loss [0-9.]+ on validation sequences\.\n", said)
    assert main(("test", "--ckpt_path", path)) == 0
    assert "test_loss" in capsys.readouterr().out
    assert "PythonSource takes no text" in refusal(capsys, "predict", "--ckpt_path", path, "--data.text", "import re")
    assert "PythonSource takes no text" in refusal(capsys, "trace", "--ckpt_path", path, "--text", "import re")


def test_a_resumed_run_goes_on_with_the_rows_that_are_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for name in ("whole", "resumed"):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        path = fitted(2) if name == "whole" else fitted(2, "--ckpt_path", f"{fitted(1)}")
        weights.append(read(path)["state_dict"])
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
