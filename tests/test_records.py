"""The result files: damage is reported in one line that names the file, and nothing is lost."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import TINY, refused, tiny_runs, write_recipe

from ddstructs import InputError, __main__
from ddstructs.experiments import train
from ddstructs.experiments.engine import Report
from ddstructs.experiments.plots import plot
from ddstructs.experiments.records import read_records
from ddstructs.experiments.results import line, render
from ddstructs.experiments.runs import Run
from ddstructs.experiments.store import Store
from ddstructs.experiments.suites import SUITES

FILES = ("record.json", "long.json", "settings.json", "curve.jsonl", "lengths.json")

SUMMED = ("paper.jsonl", "curves.jsonl", "configs.jsonl")


def write(folder: Path) -> tuple[Run, Store]:
    """A store with one completed run."""
    run, store = tiny_runs(folder, seeds=1)[0], Store(folder / "out")
    names = ("coarse_train", "fine_train", "coarse_test", "fine_test", "coarse_hard_20")
    record = run.key | dict.fromkeys(names, 1.0) | {"updates": 6, "seconds": 0.5, "restarts": 0, "commit": "abc"}
    curve = b'{"updates": 3, "val_fine": 0.5}\n{"updates": 6, "val_fine": 1.0}\n'
    lengths = json.dumps([{"length": n, "sequences": 2, "coarse": 1.0, "fine": 1.0} for n in (1, 2, 9)]).encode()
    store.add(run, record, {"curve.jsonl": curve, "lengths.json": lengths, "model/best.ckpt": b"weights"})
    store.add_long(run, {"coarse_hard_30": 1.0})
    store.collect()
    store.explain()
    return run, store


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Run, Store]:
    """A fresh copy for each test."""
    return write(tmp_path)


def content(out: Path) -> dict[str, bytes]:
    """The content of every result file except the lock."""
    return {str(path): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file() and path.name != ".lock"}


def summarize(store: Store) -> None:
    """Use records in every way."""
    store.check()
    records, _ = store.collect(), store.explain()
    [line(record) for record in records]
    groups = [(record["task"], record["memory"], record["cell"], record["config"]) for record in records]
    render(SUITES["paper"], records, groups, len(records), len(records), "ddstructs", [])


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "empty": (lambda record: "", "JSON was expected"),
    "not JSON": (lambda record: "<<<<<<< HEAD", "JSON was expected, but it is b'<<<<<<< HEAD'"),
    "zeros": (lambda record: "\0" * 100, "JSON was expected"),
    "cut short": (lambda record: json.dumps(record)[:-9], "JSON was expected"),
    "not an object": (lambda record: [1], r"an object was expected, but it is '\[1\]'"),
    "a missing key": (
        lambda record: {**record, "task": None} and {k: v for k, v in record.items() if k != "task"},
        "task not found",
    ),
    "a missing score": (lambda record: {k: v for k, v in record.items() if k != "fine_test"}, "fine_test not found"),
    "text for a number": (lambda record: record | {"coarse_test": "good"}, "coarse_test is 'good', but a number"),
    "a bool for a number": (lambda record: record | {"updates": True}, "updates is 'True', but an integer"),
    "a fraction of an update": (lambda record: record | {"updates": 1.5}, "updates is '1.5', but an integer"),
    "a number for text": (lambda record: record | {"commit": 3}, "'commit' is '3', but text was expected"),
    "a terminal escape": (lambda record: record | {"commit": "\x1b[31m"}, "but text was expected"),
    "NaN": (lambda record: record | {"seconds": float("nan")}, "a finite number was expected, but NaN was found"),
    "infinity": (lambda record: json.dumps(record).replace("0.5", "1e999"), "seconds is 'inf', but a number"),
    "another run": (lambda record: record | {"seed": 9}, "is the record of another run, Copying-Stack-rnn-9-"),
    "no score": (lambda record: record | {"coarse_hard_x": 1.0}, "'coarse_hard_x' is not a score"),
    "too deep": (lambda record: "[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_record_ends_the_command_in_one_line_and_changes_nothing(
    name: str,
    stored: tuple[Run, Store],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, store = stored
    damage, message = DAMAGES[name]
    path = store.folder(run) / "record.json"
    damaged = damage(json.loads(path.read_text()))
    path.write_text(damaged if isinstance(damaged, str) else json.dumps(damaged))
    before = content(store.out)
    recipe = write_recipe(tmp_path / "recipe.yaml", TINY)
    monkeypatch.delattr(train, "execute")
    for option in ([], ["--dry_run"]):
        command = ["ddstructs", "reproduce", f"--recipe={recipe}", f"--out={store.out}", *option]
        monkeypatch.setattr(sys, "argv", command)
        assert __main__.main() == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert str(path) in said
    with pytest.raises(InputError, match=message):
        store.check()
    assert content(store.out) == before


@pytest.mark.parametrize("name", ["RESULTS.md", "configs.jsonl", "lengths.png"])
def test_a_folder_in_the_place_of_a_file_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=f"{name} is a folder, but a file is written there: move it away"):
        Store(tmp_path, "paper").check()


@pytest.mark.parametrize("name", ["settings.json", "curve.jsonl", "lengths.json"])
def test_a_missing_file_of_a_run_is_told(name: str, stored: tuple[Run, Store]) -> None:
    run, store = stored
    (store.folder(run) / name).unlink()
    with pytest.raises(InputError, match=f"cannot read .*{name}: No such file"):
        store.check()


def test_a_folder_without_a_record_is_not_done_and_is_done_again(
    stored: tuple[Run, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_reproduce import work

    run, store = stored
    record = store.record(run)
    (store.folder(run) / "record.json").unlink()
    assert not store.is_done(run)
    assert not store.lacks_long(run)
    done = train.Done({name: value for name, value in record.items() if name != "coarse_hard_30"}, {})

    def execute(run: Run, accelerator: str, report: Report) -> train.Done:
        return done

    monkeypatch.setattr(train, "execute", execute)
    assert work([run], store) == [done.record]
    assert [path.name for path in sorted(store.folder(run).iterdir())] == ["record.json", "settings.json"]


@pytest.mark.parametrize("name", SUMMED)
@pytest.mark.parametrize("damage", ["<<<<<<< HEAD", "5", "", "{}", '{"task": "Copying"}'])
def test_a_damaged_line_of_the_results_is_refused_and_left_as_it_is(
    name: str, damage: str, stored: tuple[Run, Store]
) -> None:
    path = stored[1].out / name
    path.write_text(f"{path.read_text()}{damage}\n")
    before = content(stored[1].out)
    for action in (stored[1].check, lambda: summarize(stored[1])):
        assert (refused(action) or "").startswith(f"{path}, line 2 is damaged: ")
    assert content(stored[1].out) == before


def test_a_word_is_said_for_every_damaged_file(tmp_path: Path) -> None:
    draw = random.Random(0)
    _, store = write(tmp_path)
    whole = content(store.out)
    names = [name for name in whole if name.endswith(("json", "jsonl"))]
    assert {Path(name).name for name in names} == {*FILES, *SUMMED}
    parts = [b"{", b"]", b"\n", b"null", b"NaN", b"1e999", b'"x"', b"-1", b"\x00", b"\xff", b"{}", b"[[1]]", b"true"]
    taken = 0
    for _ in range(250):
        name = draw.choice(names)
        damaged = bytearray(whole[name])
        at = draw.randrange(len(damaged))
        damaged[at : at + draw.choice([0, 1, 3, 40])] = draw.choice(parts)
        shutil.rmtree(store.out)
        for path, bytes_ in whole.items():
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(damaged if path == name else bytes_)
        before = content(store.out)
        refusal = refused(lambda: summarize(store))
        if refusal is None:
            taken += 1
        else:
            assert "\n" not in refusal
            assert Path(name).name in refusal
            assert content(store.out) == before
    assert 0 < taken < 250


def test_values_of_another_type_are_refused_or_harmless(tmp_path: Path) -> None:
    draw = random.Random(1)
    run, store = write(tmp_path)
    values = [None, -1, 10**30, 1.5, "x", "", [], {}, [[1]], [[1, 2]], {"a": None}, True, "a\x1b[0m", float("inf")]
    for file in (*(store.folder(run) / name for name in FILES), *(store.out / name for name in SUMMED)):
        text = file.read_text()
        for _ in range(25):
            records = [json.loads(text)] if file.suffix == ".json" else [json.loads(each) for each in text.splitlines()]
            victim: Any = draw.choice(records)
            while isinstance(victim, list) or (isinstance(victim, dict) and draw.random() < 0.3):
                inner = [
                    part
                    for part in (victim if isinstance(victim, list) else victim.values())
                    if isinstance(part, dict | list) and part
                ]
                if not inner:
                    break
                victim = draw.choice(inner)
            victim[draw.choice(sorted(victim)) if isinstance(victim, dict) else 0] = draw.choice(values)
            file.write_text("".join(json.dumps(record) + "\n" for record in records))
            refusal = refused(lambda: summarize(store))
            assert refusal is None or ("\n" not in refusal and file.name in refusal)
        file.write_text(text)
        if file.parent == store.out:
            for name in SUMMED:
                (store.out / name).unlink(missing_ok=True)
            summarize(store)


def test_the_results_of_the_repository_are_whole(tmp_path: Path) -> None:
    results = Path(__file__).parent.parent / "results"
    for name in SUMMED:
        assert len(read_records(results / name)) > 40
        shutil.copy(results / name, tmp_path)
    store = Store(tmp_path)
    records, curves = store.collect(), store.explain()
    assert all((tmp_path / name).read_bytes() == (results / name).read_bytes() for name in SUMMED)
    assert len(plot(records[:3], curves[:3], tmp_path)) == 3
