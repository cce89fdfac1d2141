"""Binary addition with a plain Elman cell: what a network can do without an external memory.

The network reads two numbers, a pair of digits at a time, from the least significant on. In each step it outputs a
digit of the sum, and only has to remember the carry. A cell can hold one bit, so `NoMemory()` is enough. The network
is trained on numbers of 8 digits only, and tested on 9 to 64.

    python -m examples.binary_addition

After Andrew Trask 2015, *Anyone Can Learn To Code an LSTM-RNN in Python (Part 1: RNN)*: 8 digits, 16 hidden units.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from torch import Tensor

from ddstructs import Controller, NoMemory
from ddstructs.tasks import BinaryAddition

EXAMPLE = "1011 + 110"  # 11 + 6 = 17


class History(Callback):
    """Records the coarse accuracy, the share of validation sums without an error, after each epoch."""

    def __init__(self) -> None:
        self.coarse: list[float] = []

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.coarse.append(float(trainer.callback_metrics["val_coarse"]))


class Result(NamedTuple):
    """The trained controller, its accuracy after each epoch, and its accuracy on longer numbers."""

    model: Controller
    coarse: list[float]
    test_coarse: float


def learn(seed: int, updates: int) -> Result:
    """Train on 8 digits, test on 9 to 64."""
    seed_everything(seed, verbose=False)
    task = BinaryAddition(batches_per_epoch=50, eval_size=500)
    model = Controller(NoMemory(), task.input_symbols, task.output_symbols, hidden_size=16, embedding_size=8)
    history = History()
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=updates // task.batches_per_epoch,
        num_sanity_val_steps=0,
        callbacks=[history],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, task)
    test = trainer.test(model, task, verbose=False)[0]
    return Result(model, history.coarse, test["test_coarse"])


def look(model: Controller, text: str = EXAMPLE) -> tuple[str, Tensor]:
    """The sum of two numbers, and the hidden state in each step, shape `(time, hidden_size)`."""
    task = BinaryAddition(text=text)
    (batch,) = task.predict_dataloader()
    with torch.no_grad():
        hidden = model.rnn.unroll(model.embed(batch.inputs)).output[0]
    symbols = model.decode(batch)[0].tolist()
    return task.decode([symbol for symbol in symbols if 0 <= symbol < task.target_symbols]), hidden


def draw(results: list[Result], out: Path) -> None:
    """Draw the accuracy of every seed against the updates, and the hidden state during an addition."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    for result in results:
        left.plot(range(50, 50 * len(result.coarse) + 1, 50), result.coarse, alpha=0.7)
    left.set(xlabel="update", title="share of sums that are right (8 digits)", ylim=(-0.02, 1.02))
    answer, hidden = look(results[0].model)
    image = right.imshow(hidden.T.numpy(), aspect="auto", cmap="RdBu", vmin=-1, vmax=1)
    right.set(xlabel="step (0 is the start)", ylabel="hidden unit", title=f"{EXAMPLE} = {answer}")
    figure.colorbar(image, ax=right)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Add binary numbers without a memory.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path("runs/examples/binary_addition.png"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*|.*num_workers.*")

    results = []
    for seed in range(chosen.seed, chosen.seed + chosen.seeds):
        results.append(learn(seed, chosen.updates))
        _, coarse, longer = results[-1]
        print(
            f"seed {seed}: {coarse[-1]:.3f} of the sums of 8 digits are right, and {longer:.3f} of those of 9 to 64",
            flush=True,
        )
        for text in (EXAMPLE, "11111111 + 1"):
            print(f"  {text} = {look(results[-1].model, text)[0]}")
    draw(results, chosen.out)
    print("The figure is in", chosen.out)


if __name__ == "__main__":
    main()
