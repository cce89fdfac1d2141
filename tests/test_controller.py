"""The controller under Lightning: it learns, resumes, spreads over processes, and decodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from ddstructs import Bank, Controller, Deque, InputError, Memory, NoMemory, Queue, Stack
from ddstructs.tasks import IGNORE, Batch, BinaryAddition, Copying, Reversal, Task

SMALL: dict[str, Any] = {"batch_size": 4, "eval_size": 7, "eval_batch_size": 2, "test_lengths": (9, 12)}


def trainer(folder: Path, **settings: Any) -> Trainer:
    """A trainer that says nothing."""
    quiet: dict[str, Any] = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "accelerator": "cpu",
    }
    return Trainer(default_root_dir=folder, **quiet | settings)


def controller(task: Task, memory: Memory, **settings: Any) -> Controller:
    """A small controller, the same each time."""
    seed_everything(0, verbose=False)
    sizes: dict[str, Any] = {"hidden_size": 16, "embedding_size": 8}
    return Controller(memory, task.input_symbols, task.output_symbols, **sizes | settings)


def class_name(thing: object) -> str:
    """The name of a case."""
    return type(thing).__name__


def reversal(**settings: Any) -> Reversal:
    """Reversal of short sequences over eight symbols."""
    defaults: dict[str, Any] = {"symbols": 8, "train_lengths": (1, 8), "batches_per_epoch": 6, "seed": 3}
    return Reversal(**defaults | SMALL | settings)


@pytest.mark.parametrize(
    "memory", [Stack(4), Queue(4), Deque(4), Bank([Stack(4), Queue(4)]), NoMemory()], ids=class_name
)
def test_any_memory_fits_and_its_checkpoint_builds_it_again(memory: Memory, tmp_path: Path) -> None:
    task = reversal()
    model = controller(task, memory)
    fitted = trainer(tmp_path, max_steps=3)
    fitted.fit(model, task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    again = Controller.load_from_checkpoint(tmp_path / "a.ckpt")
    inputs = next(iter(task.test_dataloader())).inputs
    assert str(again.rnn.memory) == str(memory)
    assert not again.training
    assert torch.equal(again(inputs), model.eval()(inputs))


def test_any_cell_fits(tmp_path: Path) -> None:
    task = reversal()
    for cell in ("rnn", "lstm", "gru", nn.GRUCell(8 + 4, 16)):
        fitted = trainer(tmp_path, max_steps=1)
        fitted.fit(controller(task, Stack(4), cell=cell), task)
        fitted.save_checkpoint(tmp_path / "a.ckpt")
        assert Controller.load_from_checkpoint(tmp_path / "a.ckpt").rnn.hidden_size == 16


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


@pytest.mark.parametrize("hard", [False, True])
def test_fractions_of_real_steps_are_penalized_in_training_alone(hard: bool, tmp_path: Path) -> None:
    class Losses(Callback):
        def on_train_batch_end(
            self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
        ) -> None:
            self.batch, self.loss = batch, float(outputs["loss"])

    def run(penalty: float) -> tuple[Controller, Losses, float]:
        task, losses = reversal(eval_size=2, curriculum=False), Losses()
        model = controller(task, Deque(4), read_noise=0.0, learning_rate=1e-12, signal_penalty=penalty, hard=hard)
        trainer(tmp_path, max_steps=1, callbacks=[losses]).fit(model, task)
        return model, losses, trainer(tmp_path).test(model, task, verbose=False)[0]["test_loss"]

    model, plain, tested = run(0.0)
    _, penalized, tested_too = run(0.7)
    batch = plain.batch
    assert len(set(batch.lengths.tolist())) > 1, "some rows are padded"
    actions = model.rnn.unroll(model.embed(batch.inputs)).actions
    fractions = [
        float(4 * signal * (1 - signal))
        for row, steps in enumerate(batch.lengths.tolist())
        for kind in (actions.push, actions.pop)
        for signal in kind[row, :steps].detach().flatten()
    ]
    assert penalized.loss - plain.loss == pytest.approx(0.7 * sum(fractions) / len(fractions), abs=1e-5)
    assert (max(fractions) == 0) == hard
    assert tested == pytest.approx(tested_too)


@pytest.mark.parametrize("stop", [4, 6, 9])
def test_a_resumed_run_is_the_uninterrupted_one(stop: int, tmp_path: Path) -> None:
    """Bit for bit, from the middle of an epoch and from its end, through stages of the curriculum and a fresh start."""

    def fit(steps: int, ckpt_path: Path | None = None) -> tuple[Trainer, Reversal]:
        task = reversal(start_length=2, patience=5)
        model = controller(task, Stack(4), decay_steps=20)
        fitted = trainer(tmp_path, max_steps=steps)
        fitted.fit(model, task, ckpt_path=ckpt_path, weights_only=True)
        return fitted, task

    whole, whole_task = fit(14)
    fit(stop)[0].save_checkpoint(tmp_path / "a.ckpt")
    torch.manual_seed(99)
    resumed, task = fit(14, tmp_path / "a.ckpt")
    assert task.stages == whole_task.stages
    assert task.drawn == whole_task.drawn
    assert task.stages.restarts > 0
    one, other = (t.lightning_module.state_dict() for t in (whole, resumed))
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name
    states = [list(t.optimizers[0].state.values()) for t in (whole, resumed)]
    for mine, others in zip(*states, strict=True):
        assert all(torch.equal(mine[key], others[key]) for key in mine)


@pytest.mark.parametrize("stop", [3, 6, 9, 11])
def test_a_run_that_max_steps_stopped_goes_on_where_it_was(stop: int, tmp_path: Path) -> None:
    """From the checkpoint that is written as the run ends, to the end of the last epoch, bit for bit."""

    def fit(ckpt_path: Path | None = None, **settings: Any) -> Trainer:
        task, saving = reversal(), ModelCheckpoint(tmp_path / "saved", "last", enable_version_counter=False)
        fitted = trainer(tmp_path, callbacks=[saving], enable_checkpointing=True, **settings)
        fitted.fit(controller(task, Stack(4)), task, ckpt_path=ckpt_path, weights_only=True)
        return fitted

    whole = fit(max_epochs=3)
    with warnings.catch_warnings(action="ignore"):  # that the folder is not empty
        fit(max_epochs=3, max_steps=stop)
        torch.manual_seed(99)
        resumed = fit(tmp_path / "saved/last.ckpt", max_epochs=3)
    assert whole.global_step == resumed.global_step == 18
    for name, weight in whole.lightning_module.state_dict().items():
        assert torch.equal(weight, resumed.lightning_module.state_dict()[name]), name


@pytest.mark.parametrize("before", [{}, {"decay_steps": 20}])
@pytest.mark.parametrize(
    "after", [{"learning_rate": 1e-4}, {"decay_steps": 40}, {"decay_steps": None, "learning_rate": 0.1}]
)
def test_a_resumed_run_has_the_rate_that_is_set(before: dict[str, Any], after: dict[str, Any], tmp_path: Path) -> None:
    """The rate of each update is that of a run which had the new settings from its start."""

    class Rates(Callback):
        def __init__(self) -> None:
            self.seen: list[float] = []

        def on_train_batch_start(
            self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
        ) -> None:
            self.seen.append(trainer.optimizers[0].param_groups[0]["lr"])

    def fit(steps: int, ckpt_path: Path | None = None, **settings: Any) -> tuple[Trainer, list[float]]:
        task, rates = reversal(), Rates()
        fitted = trainer(tmp_path, max_steps=steps, callbacks=[rates], limit_val_batches=0)
        fitted.fit(controller(task, Stack(4), **settings), task, ckpt_path=ckpt_path, weights_only=True)
        return fitted, rates.seen

    fit(7, **before)[0].save_checkpoint(tmp_path / "a.ckpt")
    _, seen = fit(12, tmp_path / "a.ckpt", **before | after)
    _, whole = fit(12, **before | after)
    start = 7 if "decay_steps" in before or after.get("decay_steps") is None else 0  # a schedule that is new begins
    assert seen == pytest.approx(whole[start:][: len(seen)])
    assert len(seen) == 5


@pytest.mark.parametrize("change", ["weights alone", "NaN in a weight", "NaN in the optimizer", "no loops", "others"])
def test_a_checkpoint_that_no_run_can_go_on_from_is_refused(change: str, tmp_path: Path) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=2)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt", weights_only=change == "weights alone")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    if change == "NaN in a weight":
        content["state_dict"]["embed.weight"][0, 0] = float("nan")
    elif change == "NaN in the optimizer":
        content["optimizer_states"][0]["state"][0]["exp_avg"][0, 0] = float("inf")
    elif change == "no loops":
        del content["loops"]
    elif change == "others":
        content["optimizer_states"][0]["state"][0]["exp_avg"] = torch.zeros(2)
    torch.save(content, tmp_path / "a.ckpt")
    before = torch.nn.utils.parameters_to_vector((model := controller(task, Stack(4))).parameters()).clone()
    with pytest.raises(InputError, match=r"^\S.* (only weights|not finite|is damaged).*$"):
        trainer(tmp_path, max_steps=4).fit(model, reversal(), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert torch.equal(torch.nn.utils.parameters_to_vector(model.parameters()), before)


@pytest.mark.parametrize(
    ("memory", "settings"),
    [(Queue(4), {}), (Stack(5), {}), (Stack(4), {"cell": "gru"}), (Stack(4), {"hidden_size": 9})],
)
def test_a_trainer_does_not_load_the_weights_of_another_model(
    memory: Memory, settings: dict[str, Any], tmp_path: Path
) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    other = controller(task, memory, **settings)
    for use in (trainer(tmp_path).test, trainer(tmp_path, max_steps=2).fit):
        with pytest.raises(InputError, match=r"are of a controller with \w+ \S+, not \S+: keep .* as it is, or train"):
            use(other, task, ckpt_path=tmp_path / "a.ckpt", weights_only=True)


def test_a_checkpoint_that_was_only_tested_leaves_the_random_numbers_of_a_later_fit_alone(tmp_path: Path) -> None:
    task = reversal()
    model = controller(task, Stack(4))
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(model, task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    trainer(tmp_path).test(model, task, ckpt_path=tmp_path / "a.ckpt", weights_only=True, verbose=False)
    before = torch.manual_seed(99).get_state()
    model.on_train_start()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("steps", "start"), [(1, 0), (2, 1), (4, 0)])
def test_each_fresh_start_is_the_next_that_the_memory_names(steps: int, start: int, tmp_path: Path) -> None:
    task, deque = reversal(start_length=2, patience=2), Deque(4)  # it is lost with every second batch
    model = controller(task, deque, learning_rate=1e-9)
    trainer(tmp_path, max_steps=steps).fit(model, task)
    assert model.rnn.to_action is not None
    biases = torch.tensor([*deque.starts[start].push, *deque.starts[start].pop])
    torch.testing.assert_close(model.rnn.to_action.bias[:4].detach(), biases)


def test_a_seed_gives_the_same_run(tmp_path: Path) -> None:
    def fit() -> Tensor:
        task = reversal(seed=None)
        model = controller(task, Stack(4))
        trainer(tmp_path, max_steps=3).fit(model, task)
        return nn.utils.parameters_to_vector(model.parameters())

    assert torch.equal(fit(), fit())


def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    """On 7 rows in batches of 2, so that the processes get unequal shares."""
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
    """With the symbols of a plain-Python decoder, which sees nothing of the target."""
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
    """Decode one row greedily, running over the whole prefix anew for each symbol."""
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


def test_a_checkpoint_of_another_task_is_refused(tmp_path: Path) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    other = Copying(symbols=8, **SMALL)
    with pytest.raises(InputError, match="for the task Reversal, but the data is Copying"):
        trainer(tmp_path).test(controller(other, Stack(4)), other, ckpt_path=tmp_path / "a.ckpt", verbose=False)


def test_only_the_first_batch_is_validated(tmp_path: Path) -> None:
    class Watched(Controller):
        seen: list[bool] = []  # noqa: RUF012  # of the test alone

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            self.seen.append(self._first_batch)
            return super().training_step(batch, batch_idx)

    task = reversal()
    trainer(tmp_path, max_steps=3, num_sanity_val_steps=0).fit(
        Watched(Stack(4), task.input_symbols, task.output_symbols), task
    )
    assert Watched.seen == [True, False, False]


def test_a_stack_learns_to_reverse(tmp_path: Path) -> None:
    """Sequences longer than any in training, as the README says."""
    seed_everything(0, verbose=False)
    task = Reversal(val_lengths=(65, 128), eval_size=100, batches_per_epoch=25)
    model = Controller(Stack(64), task.input_symbols, task.output_symbols)
    perfect = EarlyStopping("val_coarse", mode="max", stopping_threshold=0.9999, patience=100)
    trainer(tmp_path, max_epochs=40, callbacks=[perfect], num_sanity_val_steps=0).fit(model, task)
    result = trainer(tmp_path).test(model, Reversal(eval_size=100), verbose=False)[0]
    assert result["test_coarse"] >= 0.98


def test_no_memory_learns_to_add(tmp_path: Path) -> None:
    """Numbers of 8 digits in training, of up to 64 in the test."""
    task = BinaryAddition(batch_size=32, seed=0)
    model = controller(task, NoMemory(), hidden_size=32)
    trainer(tmp_path, max_epochs=8, limit_val_batches=0).fit(model, task)
    assert trainer(tmp_path).test(model, task, verbose=False)[0]["test_coarse"] == 1


def test_a_checkpoint_with_settings_of_its_own_is_refused(tmp_path: Path) -> None:
    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    content["hyper_parameters"]["wings"] = 2
    torch.save(content, tmp_path / "b.ckpt")
    with pytest.raises(InputError, match=r"do not build a Controller: .*wings"):
        Controller.load_from_checkpoint(tmp_path / "b.ckpt")


def test_no_path_is_taken_from_a_checkpoint(tmp_path: Path) -> None:
    """Lightning deletes the checkpoints it knows of as it saves new ones; a file must not tell it of others."""
    precious, folder = tmp_path / "precious", tmp_path / "checkpoints"
    precious.mkdir()

    def fit(steps: int, ckpt_path: Path | None = None) -> None:
        task = reversal(batches_per_epoch=1)
        saving = ModelCheckpoint(folder, monitor="val_fine", mode="max", save_last=True)
        fitted = trainer(tmp_path, max_steps=steps, callbacks=[saving], enable_checkpointing=True)
        fitted.fit(controller(task, Stack(4)), task, ckpt_path=ckpt_path, weights_only=True)

    fit(2)
    content = torch.load(folder / "last.ckpt", weights_only=True)
    states = [state for name, state in content["callbacks"].items() if name.startswith("ModelCheckpoint")]
    assert states, "there is something to attack"
    for state in states:
        victim = f"{folder}/../precious"
        state |= {"last_model_path": victim, "best_model_path": victim, "kth_best_model_path": victim}
        state |= {"best_k_models": {victim: torch.tensor(-1.0)}, "kth_value": torch.tensor(-1.0)}
    torch.save(content, tmp_path / "attack.ckpt")
    with warnings.catch_warnings(action="ignore"):  # that the folder is not empty
        fit(6, tmp_path / "attack.ckpt")
    assert precious.is_dir()


def test_a_fresh_start_has_the_first_learning_rate(tmp_path: Path) -> None:
    task = reversal(patience=3)
    model = controller(task, Stack(4), decay_steps=4)
    fitted = trainer(tmp_path, max_steps=3, limit_val_batches=0)
    fitted.fit(model, task)
    assert task.stages.restarts == 1
    assert fitted.optimizers[0].param_groups[0]["lr"] >= 0.7 * model.learning_rate, "one step of the decay at most"


def test_a_controller_of_other_symbols_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Reversal has 18 input and 9 output symbols"):
        trainer(tmp_path).test(Controller(Stack(4), 10, 5), reversal(), verbose=False)


def test_a_cell_of_ones_own_is_given_again_when_loading(tmp_path: Path) -> None:
    class Cell(nn.GRUCell):
        pass

    task = reversal()
    fitted = trainer(tmp_path, max_steps=1)
    fitted.fit(controller(task, Stack(4), cell=Cell(8 + 4, 16)), task)
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="is refused"):
        Controller.load_from_checkpoint(tmp_path / "a.ckpt")
    again = Controller.load_from_checkpoint(tmp_path / "a.ckpt", cell=Cell(8 + 4, 16))
    assert isinstance(again.rnn.cell, Cell)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_size": 0}, "hidden_size is 0, but a whole number of 1 or more was expected"),
        ({"decay_steps": 0}, "decay_steps is 0, but a whole number of 1 or more was expected"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0, but a finite number above 0 was expected"),
        ({"learning_rate": float("inf")}, "learning_rate is inf, but a finite number above 0 was expected"),
        ({"clip": -1.0}, "clip is -1.0, but a finite number above 0 was expected"),
        ({"signal_penalty": -0.1}, "signal_penalty is -0.1, but a finite number of 0 or more was expected"),
        ({"signal_penalty": float("nan")}, "signal_penalty is nan, but a finite number of 0 or more was expected"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        controller(reversal(), Stack(4), **settings)
