"""Text given to a transduction: a source in each line, read, answered and refused."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transductions import REARRANGING, Rearranging, equal, rows, small

from ddstructs import InputError
from ddstructs.tasks import BigramFlipping, BinaryAddition, Copying, Reversal, Transduction
from ddstructs.tasks.lines import printable


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
