"""A `SequenceModel` decodes from its states as it runs over whole sequences, learns, and is saved as plain data."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer, seed_everything
from torch import Tensor, nn

from ddstructs import Bank, Controller, InputError, Memory, NoMemory, Queue, SequenceModel, Stack, Tape
from ddstructs.cli.export import export
from ddstructs.nn.attention import CausalAttention
from ddstructs.nn.layer import MemoryLayer
from ddstructs.nn.recurrent import Recurrent
from ddstructs.tasks import Batch, MarkedReversalModel, MarkedReversalRecognition, Reversal
from ddstructs.tasks.batch import IGNORE
from ddstructs.training.restarts import start_afresh

DIM = 8

LAYERS = {
    "memory": ["memory"],
    "attention": ["attention"],
    "recurrent": ["recurrent"],
    "mixture": ["attention", "memory", "recurrent", "memory"],
}

OPTIONS: list[dict[str, Any]] = [
    {},
    {"feed_forward": 16, "position": "learned"},
    {"position": "none", "cell": "gru"},
]


def model(layers: Any = ("memory",), memory: Memory | None = None, **options: Any) -> SequenceModel:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {"layers": layers, "embed_dim": DIM, "num_heads": 2} | options
    made = SequenceModel(memory or Stack(4), 9, 5, **arguments)
    return made.double().eval()


def symbols(*shape: int) -> Tensor:
    return torch.randint(9, shape, generator=torch.Generator().manual_seed(1))


def same(got: Any, expected: Any) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "options", [{}, {"feed_forward": 16, "position": "learned"}, {"position": "none", "cell": "gru"}]
)
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_one_symbol_at_a_time_equals_the_whole_sequence(layers: list[str], options: dict[str, Any]) -> None:
    made, x = model(layers, **options), symbols(3, 7)
    whole, state, pieces = made(x), None, []
    for first, end in ((0, 3), *((t, t + 1) for t in range(3, 7))):
        logits, _, state = made.run(x[:, first:end], state)
        pieces.append(logits)
    same(torch.cat(pieces, dim=1), whole)


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_padding_between_two_pieces_changes_nothing(layers: list[str]) -> None:
    made, x = model(layers), symbols(3, 6)
    lengths = [4, 1, 2]
    _, _, state = made.run(x[:, :4], lengths=lengths)
    after, _, state = made.run(x[:, 4:], state)
    for row, n in enumerate(lengths):
        alone = torch.cat([x[row : row + 1, :n], x[row : row + 1, 4:]], dim=1)
        same(after[row : row + 1], made(alone)[:, n:])


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_rows_of_a_state_are_picked_and_reordered(layers: list[str]) -> None:
    made, x = model(layers), symbols(3, 5)
    _, _, state = made.run(x[:, :4])
    rows = torch.tensor([2, 0, 2, 1])
    same(made.run(x[rows, 4:], state.select(rows)).logits, made.run(x[:, 4:], state).logits[rows])


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_nothing_is_seen_of_later_symbols(layers: list[str]) -> None:
    made, x = model(layers), symbols(2, 6)
    other = torch.cat([x[:, :4], 8 - x[:, 4:]], dim=1)
    same(made(other)[:, :4], made(x)[:, :4])


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = CausalAttention(DIM, 2, "none"), nn.MultiheadAttention(DIM, 2, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.in_proj.weight,
            "in_proj_bias": ours.in_proj.bias,
            "out_proj.weight": ours.out_proj.weight,
            "out_proj.bias": ours.out_proj.bias,
        }
    )
    x = torch.randn(2, 5, DIM)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    torch.testing.assert_close(ours(x)[0], theirs(x, x, x, attn_mask=mask, is_causal=True)[0])


def test_padding_before_a_sequence_moves_no_position() -> None:
    torch.manual_seed(0)
    attention, x = CausalAttention(DIM, 2).double(), torch.randn(1, 4, DIM, dtype=torch.float64)
    before = torch.randn(1, 3, DIM, dtype=torch.float64)
    _, state = attention(before)
    none_real = replace(state, real=torch.zeros_like(state.real))
    same(attention(x, none_real)[0], attention(x)[0])


def test_any_module_is_a_layer() -> None:
    made = model([nn.Linear(DIM, DIM), "memory", Recurrent(DIM, "rnn"), MemoryLayer(DIM, Queue(3), 2)])
    x = symbols(2, 5)
    _, told, state = made.run(x[:, :4])
    assert [type(each.memory) for each in told] == [Stack, Queue]
    same(made.run(x[:, 4:], state).logits, made(x)[:, 4:])


@pytest.mark.parametrize("memory", [Stack(4), Bank([Stack(4), Queue(4)]), Tape(4)], ids=["stack", "bank", "tape"])
def test_the_penalty_and_the_metrics_are_of_real_steps(memory: Memory) -> None:
    made = model(["memory", "memory"], memory).float()
    inputs, targets, lengths = symbols(2, 5), torch.zeros(2, 5, dtype=torch.int64), torch.tensor([5, 2])
    batch = Batch(inputs, targets, lengths)
    padding = torch.full((2, 2), IGNORE)
    longer = Batch(torch.cat([inputs, inputs[:, :2]], dim=1), torch.cat([targets, padding], dim=1), lengths)
    penalty = [made.scoring.penalty("train", made.run(each.inputs).actions, each) for each in (batch, longer)]
    torch.testing.assert_close(penalty[0], penalty[1])
    assert penalty[0] is not None
    assert 0 < penalty[0] < 1


@pytest.mark.parametrize("task", [MarkedReversalModel, MarkedReversalRecognition])
def test_it_runs_on_every_kind_of_task(task: Any, tmp_path: Path) -> None:
    data = task(train_lengths=(1, 5), test_lengths=(1, 5), batch_size=2, batches_per_epoch=2, eval_size=4)
    made = SequenceModel(Stack(4), data.input_symbols, data.output_symbols, ["attention", "memory"], DIM, 2)
    trainer(tmp_path, max_epochs=1).fit(made, data)
    out = trainer(tmp_path).predict(made, data)
    assert out


def trainer(folder: Path, **options: Any) -> Trainer:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    return Trainer(default_root_dir=folder, accelerator="cpu", **quiet, **options)


@pytest.mark.parametrize("heads", [1, 4])
def test_one_layer_learns_to_reverse_and_comes_back_from_a_checkpoint(tmp_path: Path, heads: int) -> None:
    seed_everything(1000, verbose=False)
    task = Reversal(symbols=8, train_lengths=(1, 8), val_lengths=(1, 16), batch_size=16, eval_size=50, patience=None)
    made = SequenceModel(Stack(32), task.input_symbols, task.output_symbols, embed_dim=64, num_heads=heads)
    runner = trainer(tmp_path, max_epochs=6)
    runner.fit(made, task)
    assert runner.callback_metrics["val_coarse"] == 1
    runner.save_checkpoint(tmp_path / "a.ckpt")
    again = SequenceModel.load_from_checkpoint(tmp_path / "a.ckpt", hard=True)
    assert all(worker.hard for worker in again.memory_modules)
    batch = task.assemble(*task.sources(["abcdefghgfa"]))
    decoded = again.decode(batch)
    assert decoded[decoded != IGNORE].tolist() == batch.targets[batch.targets != IGNORE].tolist()


def test_a_fresh_start_begins_as_a_new_model_does(tmp_path: Path) -> None:
    task = Reversal(symbols=2, train_lengths=(1, 2), batch_size=2, batches_per_epoch=2, eval_size=2)
    made = SequenceModel(Stack(4), task.input_symbols, task.output_symbols, embed_dim=64)
    trainer(tmp_path, max_epochs=1).fit(made, task)
    start_afresh(made, 1, seed=5)
    assert made.embed.weight.std().item() == pytest.approx(0.1, rel=0.2)
    layer = made.memory_modules[0]
    assert isinstance(layer, MemoryLayer)
    signals = layer.num_heads * layer.memory.signals.size
    assert not layer.to_action.weight[:signals].any()
    assert layer.to_action.weight[signals:].all()


def test_a_checkpoint_of_another_model_is_refused_in_one_line(tmp_path: Path) -> None:
    task = Reversal(symbols=2, train_lengths=(1, 2), batch_size=2, batches_per_epoch=1, eval_size=2)
    made = SequenceModel(Stack(4), task.input_symbols, task.output_symbols, embed_dim=DIM)
    runner = trainer(tmp_path, max_epochs=1)
    runner.fit(made, task)
    runner.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"^[^\n]*a\.ckpt is of a SequenceModel, but a Controller was expected[^\n]*$"):
        Controller.load_from_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"^model is a SequenceModel, but a Controller was expected: other networks"):
        export(str(tmp_path / "a.ckpt"), str(tmp_path / "a.onnx"))


def test_a_state_of_other_layers_is_refused() -> None:
    one, two = model(), model(["memory", "attention"])
    state = two.run(symbols(1, 3)).state
    with pytest.raises(ValueError, match=r"^state is of 2 layers, but this model has 1$"):
        one.run(symbols(1, 3), state)
    wrong: Any = 3
    with pytest.raises(TypeError, match=r"^state is of type int, but that of an earlier outcome was expected$"):
        one.run(symbols(1, 3), wrong)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.LSTM(DIM, DIM), "the output of LSTM has type tuple, but a tensor of shape (1, 3, 8) was expected"),
        (nn.Linear(DIM, 5), "the output of Linear has shape (1, 3, 5), but a tensor of shape (1, 3, 8) was expected"),
        (Stack(4), "the layer is a Stack, which takes actions: use MemoryLayer(8, Stack(...))"),
        (MemoryLayer(4, Stack(4)), "the layer has embed_dim 4, but this block has embed_dim 8"),
    ],
    ids=["tuple", "size", "memory", "another size"],
)
def test_a_layer_that_does_not_fit_is_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{re.escape(message)}"):
        model([layer])(symbols(1, 3))


@pytest.mark.parametrize("options", [{"position": "rotery"}, {"cell": "lst"}], ids=["position", "cell"])
def test_a_choice_that_is_not_used_is_checked_as_well(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^(position|cell) is '(rotery|lst)', but "):
        model(["memory"], **options)


def test_modules_that_a_file_may_not_name_are_given_again(tmp_path: Path) -> None:
    task = Reversal(symbols=2, train_lengths=(1, 2), batch_size=2, batches_per_epoch=1, eval_size=2)
    made = SequenceModel(Stack(4), task.input_symbols, task.output_symbols, [nn.Linear(DIM, DIM), "memory"], DIM)
    runner = trainer(tmp_path, max_epochs=1)
    runner.fit(made, task)
    runner.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match=r"^[^\n]*Linear[^\n]*$"):
        SequenceModel.load_from_checkpoint(tmp_path / "a.ckpt")
    again = SequenceModel.load_from_checkpoint(tmp_path / "a.ckpt", layers=[nn.Linear(DIM, DIM), "memory"])
    x = torch.randint(task.input_symbols, (2, 5))
    torch.testing.assert_close(again(x), made.eval()(x))


BUILD: list[tuple[dict[str, Any], str]] = [
    ({"layers": ["memoyr"]}, "unknown layer 'memoyr': choose from attention, memory, recurrent, or pass a module"),
    ({"layers": []}, "layers is [], but a list of one or more was expected"),
    ({"layers": "memory"}, "layers is 'memory', but a list of one or more was expected"),
    ({"memory": NoMemory()}, "NoMemory has no heads"),
    ({"layers": ["attention"], "embed_dim": 6, "num_heads": 4}, "embed_dim is 6, which is not divisible into 4 heads"),
    ({"layers": ["attention"], "position": "absolute"}, "position is 'absolute', but rotary, learned, none"),
    ({"layers": ["recurrent"], "cell": "lsmt"}, "cell is 'lsmt', but a recurrent layer has rnn, lstm, gru"),
    ({"learning_rate": 0.0}, "learning_rate is 0.0, but"),
    ({"embed_dim": 0}, "embed_dim is 0, but"),
]


@pytest.mark.parametrize(("options", "message"), BUILD)
def test_bad_settings_get_one_line(options: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"memory": Stack(4), "input_symbols": 9, "output_symbols": 5} | options
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(message)}"):
        SequenceModel(**arguments)


def test_more_steps_than_learned_positions_are_refused() -> None:
    made = model(["attention"], position="learned", max_length=4)
    _, _, state = made.run(symbols(2, 4))
    with pytest.raises(ValueError, match=r"^there are 5 steps, but 4 positions: raise max_length"):
        made.run(symbols(2, 1), state)
