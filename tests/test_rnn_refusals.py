"""A `MemoryRNN` says what is wrong with its arguments."""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from networks import HIDDEN, INPUT, WIDTH, network, noise
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from ddstructs import MemoryRNN, Stack

BUILD: list[tuple[dict[str, Any], str]] = [
    ({"cell": "lsmt"}, "unknown cell 'lsmt': choose from rnn, lstm, gru, deep, or pass a module"),
    ({"cell": nn.GRUCell(INPUT, HIDDEN)}, "the cell has input_size 3, but 7 was expected"),
    ({"cell": nn.GRUCell(INPUT + WIDTH, 6)}, "the cell has hidden_size 6, but 5 was expected"),
    ({"cell": nn.Identity()}, "the cell has input_size None, but 7 was expected"),
    ({"cell": nn.LSTM(INPUT + WIDTH, HIDDEN)}, "the cell is an nn.LSTM, which takes whole sequences"),
    ({"push_bias": [1.0, 2.0]}, "push_bias has 2 numbers, but this Stack has 1 heads"),
    ({"read_noise": -1.0}, "read_noise is -1.0, but a finite number from 0 was expected"),
    ({"read_noise": float("nan")}, "read_noise is nan"),
    ({"read_noise": float("inf")}, "read_noise is inf"),
    ({"cell": "lstm", "state_noise": -1.0}, "state_noise is -1.0, but a finite number from 0 was expected"),
    ({"state_noise": 1.0}, "state_noise is 1.0, but RNNCell has no state besides its output: use 0"),
    ({"signal_noise": -1.0}, "signal_noise is -1.0, but a finite number from 0 was expected"),
    ({"read_gate": True, "read_skip": False}, "read_skip is off: turn it on"),
    ({"pop_bias": []}, "pop_bias has 0 numbers, but this Stack has 1 heads"),
    ({"pop_bias": math.inf}, "pop_bias is inf, but finite numbers were expected"),
    ({"hard": 1}, "hard is 1, but True or False was expected"),
    ({"batch_first": "no"}, "batch_first is 'no', but True or False was expected"),
    ({"read_gate": "no"}, "read_gate is 'no', but True or False was expected"),
    ({"read_noise": "1"}, "read_noise is '1', but a finite number from 0 was expected"),
    ({"signal_noise": None}, "signal_noise is None, but a finite number from 0 was expected"),
]


@pytest.mark.parametrize(("options", "message"), BUILD)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        MemoryRNN(INPUT, HIDDEN, Stack(WIDTH), **options)
    assert "\n" not in str(caught.value)


def packed(x: Tensor, sizes: list[int], order: list[int] | None = None) -> PackedSequence:
    """The steps of all rows, packed by hand."""
    back = None if order is None else torch.tensor(order)
    return PackedSequence(x.flatten(0, 1), torch.tensor(sizes), back, back)


CALL: list[tuple[Callable[[MemoryRNN, Tensor], object], type[Exception], str]] = [
    (lambda rnn, x: rnn(x[..., :2]), ValueError,
     "x has shape (2, 5, 2), but (batch, time, 3) or (time, 3) was expected"),
    (lambda rnn, x: rnn(x[0, 0]), ValueError, "x has shape (3,), but (batch, time, 3) or (time, 3) was expected"),
    (lambda rnn, x: rnn(x[None]), ValueError, "x has shape (1, 2, 5, 3), but"),
    (lambda rnn, x: rnn.unroll(x[0]), ValueError, "x has shape (5, 3), but (batch, time, 3) was expected"),
    (lambda rnn, x: rnn(x[:, :0]), ValueError, "x has no time steps"),
    (lambda rnn, x: rnn(x.float()), TypeError, "x is torch.float32, but the parameters are torch.float64"),
    (lambda rnn, x: rnn(x.long()), TypeError, "x is torch.int64, but the parameters are torch.float64"),
    (lambda rnn, x: rnn(x.to("meta")), ValueError, "x is on meta, but this network is on cpu"),
    (lambda rnn, x: rnn(x, None, [5]), ValueError, "lengths has shape (1,), but one for each of 2 rows was expected"),
    (lambda rnn, x: rnn(x, None, [[5, 5]]), ValueError, "lengths has shape (1, 2), but one for each of 2 rows"),
    (lambda rnn, x: rnn(x, None, "abc"), TypeError, "lengths is 'abc', but the number of steps of each row"),
    (lambda rnn, x: rnn(x, None, [5, 6]), ValueError, "lengths has 6, but x has 5 steps: 0..5 was expected"),
    (lambda rnn, x: rnn(x, None, torch.tensor([-1, 2])), ValueError, "lengths has -1, but x has 5 steps"),
    (lambda rnn, x: rnn(x, None, [1.5, 2.0]), TypeError, "lengths are torch.float32, but they count steps"),
    (lambda rnn, x: rnn(x, None, torch.tensor([True, False])), TypeError, "lengths are torch.bool"),
    (lambda rnn, x: rnn(pack_sequence([x[0]]), None, [5]), ValueError, "a PackedSequence has its own lengths"),
    (lambda rnn, x: rnn(x, rnn(x[:1])[1]), ValueError, "x has batch 2, but the state has batch 1"),
    (lambda rnn, x: rnn(x[0], rnn(x)[1]), ValueError, "x has batch 1, but the state has batch 2"),
    (lambda rnn, x: rnn(pack_sequence([x[0]]), rnn(x)[1]), ValueError, "x has batch 1, but the state has batch 2"),
    (lambda rnn, x: rnn(pack_sequence([x[0, :, :2]])), ValueError, "shape (5, 2), but 3 features for each step"),
    (lambda rnn, x: rnn(pack_sequence([x[0].repeat(1, 30)])), ValueError, "shape (5, 90), but 3 features"),
    (lambda rnn, x: rnn(pack_sequence([x[0, :, 0]])), ValueError, "shape (5,), but 3 features for each step"),
    (lambda rnn, x: rnn.path(pack_sequence([x[0, :, :2]])), ValueError, "shape (5, 2), but 3 features"),
    (lambda rnn, x: rnn(packed(x, [2, 2, 2, 5])), ValueError, "the batch_sizes of the PackedSequence do not fit"),
    (lambda rnn, x: rnn(packed(x, [5, 3, 2, 1])), ValueError, "PackedSequence do not fit its 10 steps"),
    (lambda rnn, x: rnn(packed(x, [10, 0])), ValueError, "the batch_sizes of the PackedSequence do not fit"),
    (lambda rnn, x: rnn(packed(x, [5, 5], [4, 3, 2, 1, 0, 0])), ValueError, "the indices of the PackedSequence are"),
    (lambda rnn, x: rnn(packed(x, [5, 5], [4, 3, 2, 1, 9])), ValueError, "indices of the PackedSequence are not those"),
    (lambda rnn, x: rnn(x, (x, x)), TypeError, "state is a tuple, but a MemoryRNN continues from a state"),
    (lambda rnn, x: rnn(x, network(cell="lstm")(x)[1]), ValueError,
     "the state has hidden sizes [5, 5] and reads of [1, 4], but this network has [5] and [1, 4]"),
    (lambda rnn, x: rnn(x, rnn(x)[1].to(dtype=torch.float32)), TypeError,
     "x is torch.float64, but the state is torch.float32: use state.to(dtype=x.dtype)"),
    (lambda rnn, x: rnn(x, rnn(x)[1].to("meta")), ValueError, "x is on cpu, but the state is on meta: use state.to"),
    (lambda rnn, x: rnn(x, network("deque")(x)[1]), ValueError, "the state has hidden sizes [5] and reads of [2, 4]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), CALL)
def test_what_does_not_fit_is_refused(
    call: Callable[[MemoryRNN, Tensor], object], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=re.escape(message)) as caught:
        call(network(), noise(2, 5, INPUT))
    assert "\n" not in str(caught.value)


def test_a_refusal_names_the_axes_in_the_order_of_the_network() -> None:
    with pytest.raises(ValueError, match=re.escape("but (time, batch, 3) or (time, 3) was expected")):
        network(batch_first=False)(noise(2, 5, 4))


def test_a_reset_that_does_not_fit_is_refused() -> None:
    rnn, x = network(), noise(2, 4, INPUT)
    packed = pack_padded_sequence(x, torch.tensor([4, 2]), batch_first=True)
    none = torch.zeros(2, 4, dtype=torch.bool)
    for came, reset, error, message in (
        (x, none[:, :3], ValueError, "reset has shape (2, 3), but (batch, time) is (2, 4)"),
        (x, none.int(), TypeError, "reset is torch.int32, but a bool tensor was expected"),
        (x, [False], TypeError, "reset is list, but a bool tensor was expected"),
        (x[0], none, ValueError, "reset has shape (2, 4), but (time) is (4,)"),
        (packed, none, ValueError, "reset goes with a padded x and lengths, not with a PackedSequence"),
    ):
        with pytest.raises(error) as caught:
            rnn(came, reset=reset)
        assert str(caught.value) == message
    with pytest.raises(ValueError, match=re.escape("reset has shape (2, 4), but (time, batch) is (4, 2)")):
        network(batch_first=False)(x.transpose(0, 1), reset=none)
    with pytest.raises(TypeError, match=r"^reset is list, but a bool tensor was expected$"):
        network(batch_first=False)(x.transpose(0, 1), reset=[False])
