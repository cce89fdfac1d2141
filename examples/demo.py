"""Watch a network learn to use a stack, and reverse text that it has never seen.

Run it with `make demo TEXT="A string to reverse"`, or `python -m examples.demo "A string to reverse"`.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import time
import warnings
from pathlib import Path

import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, RichProgressBar
from rich.console import Console
from rich.table import Table

from ddstructs import Controller, Stack, Trace, diagnose, trace
from ddstructs.tasks import Reversal
from ddstructs.tasks.lines import printable, read_lines

CHECKPOINT = "runs/demo/reversal.ckpt"
PAGE = "runs/demo/trace.html"


def train(seed: int, updates: int, lines: list[str]) -> tuple[Trainer, Trace]:
    """Train a network with a stack on reversal, until it is perfect on sequences longer than those of training.

    Returns:
        The trainer, and a trace of some lines of text before training.
    """
    seed_everything(seed, verbose=False)
    task = Reversal(val_lengths=(65, 128), eval_size=200, batches_per_epoch=25)
    model = Controller(Stack(64), task.input_symbols, task.output_symbols)
    before = trace(model, lines, task=task, title="before training")
    best = ModelCheckpoint("runs/demo", "reversal", monitor="val_coarse", mode="max", enable_version_counter=False)
    perfect = EarlyStopping("val_coarse", mode="max", stopping_threshold=0.9999, patience=updates)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=updates // task.batches_per_epoch,
        callbacks=[best, perfect, RichProgressBar()],
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    Path(CHECKPOINT).unlink(missing_ok=True)  # of an earlier run
    trainer.fit(model, task)
    return trainer, before


def accuracy(task: Reversal, hard: bool = False) -> dict[str, float]:
    """Coarse and fine accuracy of the trained controller on the test set of a task."""
    model = Controller.load_from_checkpoint(CHECKPOINT, hard=hard)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    return dict(trainer.test(model, task, verbose=False)[0])


def main() -> None:
    """Train, test, and reverse a sentence."""
    parser = argparse.ArgumentParser(description="Watch a network learn to use a stack.")
    parser.add_argument("text", nargs="?", default=os.environ.get("TEXT") or "A neural stack reverses this sentence.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--updates", type=int, default=2000, help="maximum number of updates")
    arguments = parser.parse_args()
    if arguments.updates < 25:
        parser.error(f"--updates is {arguments.updates}, but at least 25 was expected")
    if not arguments.text.isascii():
        parser.error(f"{arguments.text!r} is not ASCII: the symbols of the task are the 128 ASCII characters")

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*|.*num_workers.*|.*exists and is not empty.*")
    torch.set_num_threads(1)  # the matrices are too small for more threads
    console = Console()

    console.print("Training a recurrent network with a neural stack to reverse sequences of 8 to 64 symbols.")
    console.print("It starts with short ones, and stops when all of 200 longer ones (65 to 128) come out right.\n")
    start = time.perf_counter()
    lines = [line[:100] for line in read_lines(arguments.text, None)][:10]  # as much as fits on the page
    trainer, before = train(arguments.seed, arguments.updates, lines)
    console.print(f"\n{trainer.global_step} updates in {time.perf_counter() - start:.1f} s, seed {arguments.seed}.\n")

    if trainer.callback_metrics["val_coarse"] < 1:
        console.print("It is not perfect yet: train longer with --updates, or try another --seed.\n")
    table = Table("source length", "sequences", "coarse", "fine", title="Accuracy on new sequences")
    for name, task, hard in (
        ("8-64", Reversal(test_lengths=(8, 64)), False),
        ("65-128", Reversal(test_lengths=(65, 128)), False),
        ("1000, push and pop rounded to 0 or 1", Reversal(test_lengths=(1000, 1000), eval_size=100), True),
    ):
        result = accuracy(task, hard)
        table.add_row(name, str(task.eval_size), f"{result['test_coarse']:.3f}", f"{result['test_fine']:.3f}")
    console.print(table)
    console.print(
        "coarse: the share of sequences without an error; fine: the share of each target before the first error\n"
    )

    task = Reversal(text=arguments.text)
    model = Controller.load_from_checkpoint(CHECKPOINT, hard=True)
    for batch in task.predict_dataloader():
        for line, row in zip(read_lines(arguments.text, None), model.decode(batch).tolist(), strict=True):
            answer = task.decode([symbol for symbol in row if 0 <= symbol < task.target_symbols])
            console.print("in ", printable(line), markup=False, highlight=False)
            console.print("out", printable(answer), markup=False, highlight=False)

    after = trace(
        Controller.load_from_checkpoint(CHECKPOINT), lines, task=task, title=f"after {trainer.global_step} updates"
    )
    before.save_html(PAGE, other=after)
    console.print(f"\nHow the memory is used, without rounding:\n{diagnose(after)}", highlight=False)

    console.print(
        f"\nTo see it push, pop and read step by step, open {PAGE} in a browser.", highlight=False, soft_wrap=True
    )
    console.print(f"The checkpoint is {CHECKPOINT}. Try next:", highlight=False)
    for command in (
        'make demo TEXT="Any text of yours"',
        f".venv/bin/ddstructs predict --ckpt_path {CHECKPOINT} --data.text {shlex.quote(arguments.text)}",
        f".venv/bin/ddstructs trace --ckpt_path {CHECKPOINT} --text {shlex.quote(arguments.text)} --out trace.html",
        ".venv/bin/ddstructs list",
        ".venv/bin/ddstructs fit --data Copying --model.memory Queue",
    ):
        console.print(f"  {command}", markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
