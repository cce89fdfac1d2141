"""Wrong words by the hundred, drawn from the types of the options: each is refused in one line that names it."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from ddstructs.cli.fields import TRAINER, fields
from ddstructs.registry.annotations import described
from ddstructs.registry.catalog import COMMANDS, MODELS
from ddstructs.registry.source import parameters
from ddstructs.registry.spec import OBJECTS

NUMBERS = ("x", "", "nan", "-inf", "1e400", "-1000", "[[", "9" * 30, "{a: 1}", "null null")

SECTIONS = {
    "data": parameters("ddstructs.tasks.reversal:Reversal"),
    **{f"model {name}": fields(target) for name, target in MODELS.items()},
    "model.memory": parameters("ddstructs.tape:Tape"),
    "trainer": fields(TRAINER),
}

FIT = ("fit", "--data=Reversal", "--model.memory=Tape")


def wrong(annotation: ast.expr | None) -> list[str]:
    """Values that are none of a type."""
    words = described(annotation, OBJECTS) or ""
    if "text" in words or "path" in words or "names with values" in words or not words:
        return []
    if "number" not in words:
        return ["", "x x", "[[", "3.5"]
    finite = "finite number" in words  # any size will do, and in a bias any sign
    fine = ["9" * 30] * finite + ["-1000"] * (finite and words.startswith("a finite number or"))
    return [value for value in NUMBERS if value not in fine]


def cases() -> Iterator[tuple[str, list[str]]]:
    """What each error must name, and what is typed."""
    for section, known in SECTIONS.items():
        section, _, model = section.partition(" ")
        fit = [*FIT, f"--model={model}"] if model else [*FIT]
        for name, each in known.items():
            option = f"--{section}.{name}"
            for value in wrong(each.annotation):
                yield option, [*fit, f"{option}={value}"]
            yield f"{option}x", [*fit, f"{option}x=1"]
    for command, target in COMMANDS.items():
        own = parameters(target)
        if [*own] == ["arguments"]:
            continue
        for name, each in own.items():
            for value in wrong(each.annotation):
                yield f"--{name}", [command, f"--{name}={value}"]
            yield f"--{name}x", [command, f"--{name}x=1"]
    for command in ("validate", "test", "predict"):
        yield "--ckpt_path", [command]
        yield "--ckpt_path", [command, "--ckpt_path="]
        yield "--model.hiden_size", [command, "--ckpt_path=none", "--data.text=a", "--model.hiden_size=3"]
    for content in ("empty", "binary", "list", "text", "broken", "doubled", "folder", "missing"):
        yield content, [*FIT, f"--config={content}"]


PROGRAM = """
import contextlib, io, json, os, sys
from pathlib import Path
sys.modules["torch"] = None  # importing it fails
from ddstructs.cli.main import main
said = []
for arguments in json.load(sys.stdin):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except BaseException as error:
            code = repr(error)
    said.append([code, out.getvalue(), err.getvalue(), sorted(os.listdir())])
print(json.dumps(said))
"""


def test_every_mistake_is_reported_in_a_line_without_torch(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "list").write_text("[1, 2]")
    (tmp_path / "text").write_text("word")
    (tmp_path / "broken").write_text("a: [1\nb: 2")
    (tmp_path / "doubled").write_text("data: Reversal\ndata: Copying")
    (tmp_path / "folder").mkdir()
    before, typed = sorted(each.name for each in tmp_path.iterdir()), list(cases())
    assert len(typed) >= 200
    given = json.dumps([arguments for _, arguments in typed])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, input=given, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    faults = []
    for (name, arguments), (code, out, err, left) in zip(typed, json.loads(done.stdout), strict=True):
        right = code == 2 and not out and err.count("\n") == 1 and name.lstrip("-") in err and left == before
        if not right or "unicode string" in err:
            faults.append((arguments, code, out[:100], err[:300]))
    assert not faults, "\n".join(map(str, faults))
