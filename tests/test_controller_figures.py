"""The figures of a test: those of the target alone, in one process as in two, by decoding as by teacher forcing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from controllers import controller, reversal, trainer

from ddstructs import Controller, Stack
from ddstructs.tasks import IGNORE, BinaryAddition, Reversal, Task


def test_the_loss_is_that_of_the_target_and_the_end_alone(tmp_path: Path) -> None:
    task = reversal(eval_size=2)
    model = controller(task, Stack(4)).eval()
    batch = next(iter(task.test_dataloader()))
    logits = model(batch.inputs).detach().log_softmax(-1)
    losses = []
    for row in range(len(batch.inputs)):
        symbols = (batch.inputs[row, : batch.lengths[row]]).tolist()
        source = [symbol - 2 for symbol in symbols[1 : symbols.index(1)]]
        for i, symbol in enumerate([*source[::-1], task.target_symbols]):
            losses.append(-logits[row, 1 + len(source) + i, symbol])
    result = trainer(tmp_path).test(model, task, verbose=False)[0]
    assert result["test_loss"] == pytest.approx(float(torch.stack(losses).mean()))


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    """With 7 rows in batches of 2, so that the processes get unequal shares."""
    script = tmp_path / "script.py"
    script.write_text("""
import json
import sys
import warnings
from pytorch_lightning import Trainer, seed_everything
from ddstructs import Controller, Stack
from ddstructs.tasks import BinaryAddition

seed_everything(0, verbose=False)
task = BinaryAddition(eval_size=7, eval_batch_size=2, test_lengths=(1, 9))
model = Controller(Stack(4), task.input_symbols, task.output_symbols, hidden_size=8)
quiet = dict.fromkeys(["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"], False)
trainer = Trainer(accelerator="cpu", devices=int(sys.argv[1]), strategy=sys.argv[2], **quiet)
result = trainer.test(model, task, verbose=False)[0]
if trainer.is_global_zero:
    print(json.dumps(result))
""")

    def measure(*arguments: str) -> dict[str, float]:
        command = [sys.executable, str(script), *arguments]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return result

    one, two = measure("1", "auto"), measure("2", "ddp")
    assert one.keys() == two.keys()
    assert 0 < one["test_fine"] < 1, "a measure that could differ"
    for name in one:
        assert two[name] == pytest.approx(one[name], rel=1e-6), name


@pytest.mark.parametrize("kind", [Reversal, BinaryAddition])
def test_greedy_decoding_gives_the_figures_of_teacher_forcing(kind: type[Task], tmp_path: Path) -> None:
    """With the symbols of a plain-Python decoder that does not see the target."""
    settings: dict[str, Any] = {"eval_size": 30, "test_lengths": (1, 4), "batches_per_epoch": 5, "seed": 0}
    if kind is Reversal:
        settings["symbols"] = 2
    task = kind(**settings)
    model = controller(task, Stack(4), hidden_size=32)
    trainer(tmp_path, max_epochs=4).fit(model, task)
    result = trainer(tmp_path).test(model, task, verbose=False)[0]
    coarse, fine, rows = 0.0, 0.0, 0
    assert model.training, "decoding is without noise even so"
    answers = [model.decode(batch) for batch in task.test_dataloader()]
    model.eval()
    for batch, decoded in zip(task.test_dataloader(), answers, strict=True):
        for row in range(len(decoded)):
            output = [symbol for symbol in decoded[row].tolist() if symbol != IGNORE]
            target = [symbol for symbol in batch.targets[row].tolist() if symbol != IGNORE]
            assert output == plain_decode(model, batch.inputs[row].tolist(), batch.targets[row].tolist())
            right = next((i for i, (a, b) in enumerate(zip(output, target)) if a != b), min(len(output), len(target)))  # noqa: B905  # lengths may differ
            coarse += output == target
            fine += right / len(target)
            rows += 1
    assert 0 < fine < rows, "a model that is neither perfect nor useless"
    assert result["test_coarse"] == pytest.approx(coarse / rows)
    assert result["test_fine"] == pytest.approx(fine / rows)


def plain_decode(model: Controller, inputs: list[int], targets: list[int]) -> list[int]:
    """Decode one row greedily, running the whole prefix again for each symbol."""
    source = inputs[: inputs.index(1) + 1]
    first = model.input_symbols - (model.output_symbols - 1)

    def answers(prefix: list[int]) -> list[int]:
        with torch.no_grad():
            return [int(a) for a in model(torch.tensor([prefix])).argmax(-1)[0]]

    output = [answers(source)[i] for i in range(len(source) - 1) if targets[i] != IGNORE]
    prefix = list(source)
    longest = 2 * len(prefix)
    while len(prefix) < longest + len(source):
        symbol = answers(prefix)[-1]
        output.append(symbol)
        if symbol == model.output_symbols - 1:
            break
        prefix.append(symbol + first)
    return output
