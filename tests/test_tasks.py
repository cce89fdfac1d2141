"""Each task against plain Python: its targets, the layout of its batches, its stream of sequences, its text."""

import io
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ddstructs import InputError
from ddstructs.tasks import (
    IGNORE,
    Batch,
    BigramFlipping,
    BinaryAddition,
    Copying,
    Curriculum,
    GenderConjugation,
    Rearrangement,
    Reversal,
    SVOtoSOV,
    Transduction,
)
from ddstructs.tasks.lines import printable

Row = list[int]
Rearranging = type[Copying | Reversal | BigramFlipping]

REARRANGING: list[Rearranging] = [Copying, Reversal, BigramFlipping]
TASKS: list[Any] = [*REARRANGING, BinaryAddition]


def flipped(source: Row) -> Row:
    return [symbol for a, b in zip(source[::2], source[1::2], strict=True) for symbol in (b, a)]


def added(source: Row) -> Row:
    """The digits of a sum, least significant first, as Python adds."""
    a = sum((symbol // 2) << i for i, symbol in enumerate(source))
    b = sum((symbol % 2) << i for i, symbol in enumerate(source))
    return [a + b >> i & 1 for i in range(len(source) + 1)]


TARGETS: dict[type[Transduction], Callable[[Row], Row]] = {
    Copying: lambda source: source,
    Reversal: lambda source: source[::-1],
    BigramFlipping: flipped,
    BinaryAddition: added,
}


def sources(kind: type[Transduction], symbols: int) -> st.SearchStrategy[list[Row]]:
    """Batches of sources of different length, empty ones too where they can be."""
    symbol = st.integers(0, symbols - 1)
    if kind is BigramFlipping:
        row = st.lists(st.tuples(symbol, symbol), max_size=4).map(lambda pairs: [s for pair in pairs for s in pair])
    else:
        row = st.lists(symbol, max_size=8)
    return st.lists(row, min_size=1, max_size=5)


def padded(rows: list[Row], junk: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    width = max(map(len, rows))
    source = torch.tensor([row + [junk] * (width - len(row)) for row in rows], dtype=torch.int64)
    return source.reshape(len(rows), width), torch.tensor([len(row) for row in rows])


def by_hand(task: Transduction, source: Row) -> tuple[Row, Row]:
    """Inputs and targets of a source, written symbol after symbol."""
    target = TARGETS[type(task)](source)
    said = [2 + symbol for symbol in source]
    answers = [2 + task.source_symbols + symbol for symbol in target]
    end = task.target_symbols
    if task.online:
        return [0, *said, 1, *answers[len(source) :]], [IGNORE, *target, end]
    return [0, *said, 1, *answers], [IGNORE] * (1 + len(source)) + [*target, end]


def rows(batch: Batch) -> list[Row]:
    """The sources in a batch."""
    cut = [row[1 : row.index(1)] for row in batch.inputs.tolist()]
    return [[symbol - 2 for symbol in row] for row in cut]


def length_of(batch: Batch) -> Row:
    return [len(row) for row in rows(batch)]


def small(kind: Any, **settings: Any) -> Transduction:
    task: Transduction = kind(**({"curriculum": False, "seed": 0} | settings))
    return task


def equal(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(p, q) for x, y in zip(a, b, strict=True) for p, q in zip(x, y, strict=True)
    )


# Targets and layout.


@pytest.mark.parametrize("kind", [*TASKS, SVOtoSOV, GenderConjugation])
def test_the_example_of_a_task_is_a_source(kind: Any) -> None:
    task = kind()
    target, lengths = task.transduce(*task.sources([task.example]))
    assert task.decode(target[0, : lengths[0]].tolist())


@given(st.data())
@pytest.mark.parametrize("kind", TASKS)
def test_targets_are_those_of_plain_python(kind: Any, data: st.DataObject) -> None:
    task = small(kind)
    batch = data.draw(sources(kind, task.source_symbols))
    target, lengths = task.transduce(*padded(batch, junk=task.source_symbols - 1))
    found = [row[:length] for row, length in zip(target.tolist(), lengths.tolist(), strict=True)]
    assert found == [TARGETS[kind](row) for row in batch]


@given(st.data())
@pytest.mark.parametrize("kind", TASKS)
def test_a_batch_is_laid_out_as_by_hand(kind: Any, data: st.DataObject) -> None:
    task = small(kind) if kind is BinaryAddition else small(kind, symbols=5)
    batch = data.draw(sources(kind, task.source_symbols))
    inputs, targets, lengths = task.assemble(*padded(batch, junk=1))
    expected = [by_hand(task, row) for row in batch]
    longest = max(len(said) for said, _ in expected)
    assert inputs.shape == targets.shape == (len(batch), longest)
    assert inputs.dtype == targets.dtype == lengths.dtype == torch.int64
    assert lengths.tolist() == [len(said) for said, _ in expected]
    assert inputs.tolist() == [said + [0] * (longest - len(said)) for said, _ in expected]
    assert targets.tolist() == [asked + [IGNORE] * (longest - len(asked)) for _, asked in expected]


@pytest.mark.parametrize("kind", TASKS)
def test_symbols_are_in_range_and_source_and_target_have_their_own(kind: Any) -> None:
    task = small(kind, train_lengths=(4, 4), batch_size=400)
    batch = next(iter(task.train_dataloader()))
    places = torch.arange(batch.inputs.shape[1])
    source = batch.inputs[:, 1:5]
    answers = batch.inputs[(places > 5) & (places < batch.lengths[:, None])]
    assert (int(source.min()), int(source.max())) == (2, 1 + task.source_symbols)
    assert (int(answers.min()), int(answers.max())) == (2 + task.source_symbols, task.input_symbols - 1)
    asked = batch.targets[batch.targets != IGNORE]
    assert (int(asked.min()), int(asked.max())) == (0, task.output_symbols - 1)
    assert ((batch.targets == task.output_symbols - 1).sum(1) == 1).all()


# Lengths.


@pytest.mark.parametrize("kind", TASKS)
def test_lengths_are_uniform_and_both_ends_occur(kind: Any) -> None:
    task = small(kind, train_lengths=(3, 10), batch_size=2000)
    lengths = length_of(next(iter(task.train_dataloader())))
    possible = [4, 6, 8, 10] if kind is BigramFlipping else list(range(3, 11))
    assert sorted(set(lengths)) == possible
    expected = len(lengths) / len(possible)
    assert all(abs(lengths.count(n) - expected) < 5 * expected**0.5 for n in possible)


@pytest.mark.parametrize("kind", TASKS)
def test_the_sets_have_the_lengths_that_were_asked_for(kind: Any) -> None:
    task = small(kind, train_lengths=(2, 6), test_lengths=(7, 12))
    for loader, low, high in (
        (task.val_dataloader(), 2, 12),
        (task.test_dataloader(), 7 + (kind is BigramFlipping), 12),
    ):
        lengths = [n for batch in loader for n in length_of(batch)]
        assert (len(lengths), min(lengths), max(lengths)) == (1000, low, high)
    lengths = [n for batch in small(kind, val_lengths=(4, 4)).val_dataloader() for n in length_of(batch)]
    assert set(lengths) == {4}


def test_the_defaults_are_those_of_the_paper() -> None:
    task = Reversal()
    assert (task.train_lengths, task.test_lengths, task.source_symbols) == ((8, 64), (65, 128), 128)
    addition = BinaryAddition()
    assert (addition.train_lengths, addition.test_lengths) == ((8, 8), (9, 64))


# The stream.


@pytest.mark.parametrize("kind", TASKS)
def test_one_seed_is_one_stream(kind: Any) -> None:
    settings = {"train_lengths": (2, 6), "batch_size": 4, "batches_per_epoch": 3}
    first, twin, other = small(kind, **settings), small(kind, **settings), small(kind, seed=1, **settings)
    epochs = [list(first.train_dataloader()) for _ in range(3)]
    again = [list(twin.train_dataloader()) for _ in range(3)]
    assert all(equal(a, b) for a, b in zip(epochs, again, strict=True))
    assert not any(equal(a, b) for a, b in pairwise(epochs))
    assert not equal(epochs[0], list(other.train_dataloader()))


def test_without_a_seed_it_is_that_of_torch() -> None:
    torch.manual_seed(5)
    free, fixed = small(Copying, seed=None), small(Copying, seed=5)
    torch.rand(3)
    assert equal([next(iter(free.train_dataloader()))], [next(iter(fixed.train_dataloader()))])


@pytest.mark.parametrize("kind", TASKS)
def test_the_sets_are_fixed_whatever_the_seed_and_the_size_of_a_batch(kind: Any) -> None:
    settings = {"train_lengths": (2, 6), "test_lengths": (2, 6)}
    one, two = small(kind, **settings), small(kind, seed=7, batch_size=3, eval_batch_size=333, **settings)
    list(zip(range(2), two.train_dataloader(), strict=False))
    torch.manual_seed(3)
    val, test = (
        [row for batch in loader for row in rows(batch)] for loader in (one.val_dataloader(), one.test_dataloader())
    )
    assert val == [row for batch in two.val_dataloader() for row in rows(batch)]
    assert test == [row for batch in two.test_dataloader() for row in rows(batch)]
    assert val != test
    assert len(val) == len(test) == 1000


@given(cut=st.integers(0, 7), accuracies=st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_a_saved_state_resumes_the_stream_where_it_was(cut: int, accuracies: list[float]) -> None:
    settings = {"train_lengths": (2, 9), "batch_size": 2, "curriculum": True, "batches_per_epoch": 100}
    whole, part, rest = small(Copying, **settings), small(Copying, **settings), small(Copying, **settings, seed=None)

    def draw(task: Transduction, accuracies: list[float]) -> list[Batch]:
        batches = []
        for accuracy, batch in zip(accuracies, task.train_dataloader(), strict=False):
            batches.append(batch)
            task.stages.observe(accuracy)
        return batches

    expected = draw(whole, accuracies)
    before = draw(part, accuracies[:cut])
    rest.load_state_dict(part.state_dict())
    assert equal(before + draw(rest, accuracies[cut:]), expected)
    assert rest.stages == whole.stages


def test_loading_a_state_twice_gives_one_future() -> None:
    task = small(Reversal, curriculum=True)
    state = task.state_dict()
    first = [next(iter(task.train_dataloader())) for _ in range(3)]
    for _ in range(100):
        task.stages.observe(1.0)
    task.load_state_dict(state)
    assert equal([next(iter(task.train_dataloader())) for _ in range(3)], first)


# The curriculum.


@given(longest=st.integers(1, 200), start=st.integers(1, 50), shortest=st.integers(1, 30))
def test_stages_grow_to_the_last_and_keep_lengths_in_proportion(longest: int, start: int, shortest: int) -> None:
    shortest = min(shortest, longest)
    curriculum = Curriculum(longest, start)
    stages = [curriculum.stage]
    for _ in range(400):
        low, high = curriculum.lengths(shortest)
        assert 1 <= low <= high <= longest
        assert high == max(1, int(curriculum.stage))
        curriculum.observe(1.0)
        stages.append(curriculum.stage)
    assert stages[0] == min(start, longest)
    assert stages[-1] == longest
    assert all(a == b or b == min(longest, 1.5 * a) for a, b in pairwise(stages))
    assert curriculum.finished
    assert curriculum.lengths(shortest) == (shortest, longest)


def test_a_stage_ends_when_the_running_accuracy_passes_the_threshold() -> None:
    curriculum, running = Curriculum(longest=16, threshold=0.5, momentum=0.5), 0.0
    for accuracy in (0.4, 0.8, 0.2, 0.5):
        running = 0.5 * running + 0.5 * accuracy
        curriculum.observe(accuracy)
        assert curriculum.accuracy == running
        assert (curriculum.stage, curriculum.finished) == (4, False)
    curriculum.observe(1.0)
    assert (curriculum.stage, curriculum.batches) == (6, 0)


def test_a_stage_that_does_not_end_has_stalled_and_every_second_restart_doubles_the_patience() -> None:
    curriculum = Curriculum(longest=16, patience=5)
    for restarts, patience in enumerate((5, 5, 10, 10, 20)):
        for _ in range(patience):
            assert not curriculum.stalled
            curriculum.observe(0.0)
        assert curriculum.stalled
        curriculum.restart()
        assert (curriculum.stage, curriculum.accuracy, curriculum.restarts) == (4, 0, restarts + 1)


def test_patience_is_of_each_stage_half_as_much_after_the_first_and_ends_with_the_last() -> None:
    curriculum = Curriculum(longest=6, patience=6, momentum=0.0)
    for accuracy in (0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0):
        curriculum.observe(accuracy)
        assert not curriculum.stalled
    assert curriculum.finished
    later = Curriculum(longest=9, patience=6, stage=6.0)
    for _ in range(3):
        assert not later.stalled
        later.observe(0.0)
    assert later.stalled
    endless = Curriculum(longest=6, patience=None)
    for _ in range(1000):
        endless.observe(0.0)
    assert not endless.stalled


@pytest.mark.parametrize("kind", TASKS)
def test_without_a_curriculum_sources_are_as_long_as_asked_for_from_the_start(kind: Any) -> None:
    task = small(kind, train_lengths=(8, 64))
    assert (task.stages.stage, task.stages.finished, task.stages.stalled) == (64, True, False)


@pytest.mark.parametrize("kind", REARRANGING)
def test_batches_grow_so_that_symbols_stay_about_equal(kind: Rearranging) -> None:
    task = small(kind, curriculum=True, batch_size=64)
    sizes = []
    while not task.stages.finished:
        lengths = length_of(next(iter(task.train_dataloader())))
        assert max(lengths) <= task.stages.stage
        sizes.append((len(lengths), sum(lengths)))
        stage = task.stages.stage
        while task.stages.stage == stage and not task.stages.finished:
            task.stages.observe(1.0)
    assert len(sizes) == 8
    assert sizes[0][0] == 16 * 64
    assert sizes[-1][0] == 64
    symbols = [symbols for _, symbols in sizes]
    assert max(symbols) < 1.75 * min(symbols)


def test_fresh_seeds_differ_and_recur() -> None:
    task, twin, other = small(Copying), small(Copying), small(Copying, seed=1)
    first = task.fresh_seed()
    assert first == twin.fresh_seed() != other.fresh_seed()
    task.stages.restart()
    assert task.fresh_seed() != first


# Text.


@given(st.text(st.characters(codec="ascii"), max_size=12))
@pytest.mark.parametrize("kind", [Copying, Reversal])
def test_text_becomes_symbols_and_back(kind: type[Copying | Reversal], text: str) -> None:
    task = kind()
    assert task.encode(text) == [ord(char) for char in text]
    assert task.decode(task.encode(text)) == text
    source = torch.tensor([task.encode(text)], dtype=torch.int64)
    target, _ = task.transduce(source, torch.tensor([len(text)]))
    assert task.decode(target[0].tolist()) == (text if kind is Copying else text[::-1])


@given(st.integers(0, 2**70), st.integers(0, 2**70))
def test_binary_additions_in_text_add_up(a: int, b: int) -> None:
    task = BinaryAddition()
    source = torch.tensor([task.encode(f" {a:b} + {b:b}")])
    target, lengths = task.transduce(source, torch.tensor([source.shape[1]]))
    assert int(task.decode(target[0, : int(lengths)].tolist()), 2) == a + b


def predicted(**settings: Any) -> list[str]:
    task = Reversal(**settings)
    return [task.decode(row) for batch in task.predict_dataloader() for row in rows(batch)]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("abc", ["abc"]),
        ("", [""]),
        ("a\nbcd\n\ne", ["a", "bcd", "", "e"]),
        ("a\r\nb\n", ["a", "b"]),
        ("page\x0cfeed and\x1c a separator", ["page\x0cfeed and\x1c a separator"]),
    ],
)
def test_text_is_taken_a_line_each(
    text: str, lines: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predicted(text=text) == lines
    assert predicted(text=text, eval_batch_size=1) == lines
    if text:
        file = tmp_path / "lines.txt"
        file.write_bytes(text.encode())
        assert predicted(file=str(file)) == lines
        monkeypatch.setattr("sys.stdin", io.StringIO(text))
        assert predicted(file="-") == lines


def test_a_byte_order_mark_is_no_symbol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "lines.txt"
    file.write_bytes("\ufeffabc\nd".encode())
    assert predicted(file=str(file)) == ["abc", "d"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\ufeffabc"))
    assert predicted(file="-") == ["abc"]


def test_a_tab_is_printed_as_itself_and_what_commands_a_terminal_is_not() -> None:
    assert printable("a\tb\x1b[2J\n") == "a\tb\\x1b[2J\\n"


@pytest.mark.parametrize("symbols", [1, 2, 10, 26, 100, 127, 128])
@pytest.mark.parametrize("kind", REARRANGING)
def test_every_symbol_is_a_character_of_its_own_and_the_example_is_made_of_them(
    kind: Rearranging, symbols: int
) -> None:
    task = kind(symbols=symbols)
    text = task.decode([*range(symbols)])
    assert len(set(text)) == symbols
    assert [task.source_name(symbol) for symbol in range(symbols)] == [*text]
    assert task.example.isprintable()
    source, lengths = task.sources([task.example])
    assert source.max() < symbols
    assert lengths.item() == len(task.example)


def test_without_text_the_test_set_is_predicted() -> None:
    task = small(Copying, test_lengths=(3, 4))
    assert equal(list(task.predict_dataloader()), list(task.test_dataloader()))


REFUSED: list[tuple[Callable[[Path], Transduction], str]] = [
    (lambda path: Copying(text="naïve"), "'ï' is outside ASCII, the symbols of Copying"),
    (lambda path: Copying(symbols=4, text="ade"), "'e' is outside 'abcd', the symbols of Copying"),
    (lambda path: BigramFlipping(text="ab\nabc"), "'abc' has 3 characters, but BigramFlipping takes a multiple of 2"),
    (lambda path: BinaryAddition(text="12 + 3"), "'12 + 3' is not a binary addition such as 1101 + 101"),
    (lambda path: BinaryAddition(text=""), "'' is not a binary addition"),
    (lambda path: Copying(text="a", file=str(path / "text")), "both a text and a file were given"),
    (lambda path: Copying(text="", file="-"), "both a text and a file were given"),
    (lambda path: Copying(symbols=4, text="ab\nae"), "the text, line 2: 'e' is outside"),
    (lambda path: Copying(file=str(path / "lines")), "lines, line 3: 'é' is outside ASCII"),
    (lambda path: Copying(file=str(path / "none")), "none: No such file or directory"),
    (lambda path: Copying(file=str(path)), "Is a directory"),
    (lambda path: Copying(file=str(path / "empty")), "empty is empty, but one line or more was expected"),
    (lambda path: Copying(file=str(path / "binary")), "binary is not UTF-8 text (byte 2)"),
    (lambda path: Copying(file=str(path / "latin")), "latin is not UTF-8 text (byte 1)"),
    (lambda path: Copying(file="a\0b"), "cannot read a\\x00b"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_text_that_cannot_be_a_source_is_refused(
    make: Callable[[Path], Transduction], message: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_text("a")
    (tmp_path / "lines").write_text("a\nb\né\n", encoding="utf-8")
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(b"ab\xff\x00\x80")
    (tmp_path / "latin").write_bytes("naïve"[1:].encode("latin-1"))
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        make(tmp_path).predict_dataloader()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "standard input is empty"), (b"ab\xff", "standard input is not UTF-8 text (byte 2)")],
)
def test_standard_input_that_is_no_text_is_refused(
    content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
    with pytest.raises(InputError, match=re.escape(message)):
        Copying(file="-").predict_dataloader()


# Settings.

WRONG: list[tuple[Callable[[], Transduction], str]] = [
    (
        lambda: Copying(train_lengths=(9, 8)),
        "train_lengths is (9, 8), but 2 whole numbers of 1 or more in ascending order were",
    ),
    (lambda: Copying(val_lengths=(0, 8)), "val_lengths is (0, 8), but 2 whole numbers of 1 or more"),
    (lambda: BinaryAddition(test_lengths=(-3, 8)), "test_lengths is (-3, 8), but"),
    (lambda: BigramFlipping(train_lengths=(5, 5)), "train_lengths is 5..5, which holds no multiple of 2"),
    (lambda: BigramFlipping(test_lengths=(1, 1)), "test_lengths is 1..1, which holds no multiple of 2"),
    (lambda: Reversal(0), "symbols is 0, but a whole number from 1 to 128 was expected"),
    (lambda: Reversal(129), "symbols is 129, but a whole number from 1 to 128 was expected"),
    (lambda: Copying(batch_size=0), "batch_size is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(batches_per_epoch=0), "batches_per_epoch is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(eval_size=-1), "eval_size is -1, but a whole number of 1 or more was expected"),
    (lambda: Copying(eval_batch_size=0), "eval_batch_size is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(start_length=0), "start_length is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(patience=0), "patience is 0, but a whole number of 1 or more was expected"),
    (lambda: Copying(seed=-1), "seed is -1, but a whole number of 0 or more was expected"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_settings_that_make_no_task_are_refused(make: Callable[[], Transduction], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_one_length_and_one_symbol_are_enough() -> None:
    for task in (
        small(Copying, symbols=1, train_lengths=(1, 1)),
        small(BigramFlipping, symbols=1, train_lengths=(1, 2)),
    ):
        assert isinstance(task, Rearrangement)
        assert {symbol for row in rows(next(iter(task.train_dataloader()))) for symbol in row} == {0}
