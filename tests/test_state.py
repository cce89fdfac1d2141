"""States are pytrees: they can be exported, saved, loaded with `weights_only`, and used in parallel training."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from kinds import EVERYTHING
from torch.utils import _pytree

from ddstructs import MemoryRNN, NoMemory, RNNState, ops

WIDTH = 3


def network(kind: str) -> MemoryRNN:
    torch.manual_seed(0)
    return MemoryRNN(2, 5, NoMemory() if kind == "none" else EVERYTHING[kind](WIDTH), batch_first=True)


def run(rnn: MemoryRNN) -> RNNState:
    state: RNNState = rnn(torch.randn(2, 4, 2))[1]
    return state


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("kind", [*EVERYTHING, "none"])
def test_a_state_is_saved_and_loaded_with_weights_alone(kind: str, kernel: str) -> None:
    rnn, file = network(kind), io.BytesIO()
    with ops.using(kernel):  # type: ignore[arg-type]  # a parameter of the test
        state = run(rnn)
    torch.save(state, file)
    file.seek(0)
    back, x = torch.load(file, weights_only=True), torch.randn(2, 3, 2)
    assert isinstance(back, RNNState)
    torch.testing.assert_close(rnn(x, back)[0], rnn(x, state)[0])


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("kind", [*EVERYTHING, "none"])
def test_a_state_is_a_tree_with_all_of_its_tensors(kind: str, kernel: str) -> None:
    rnn, x = network(kind), torch.randn(2, 3, 2)
    with ops.using(kernel):  # type: ignore[arg-type]  # a parameter of the test
        state = run(rnn)
    back = _pytree.tree_map_only(torch.Tensor, torch.Tensor.clone, state)
    assert isinstance(back, RNNState)
    torch.testing.assert_close(rnn(x, back)[0], rnn(x, state)[0])
    detached = _pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, state)
    assert not any(part.requires_grad for part in _pytree.tree_leaves(detached) if isinstance(part, torch.Tensor))
    assert any(part.requires_grad for part in _pytree.tree_leaves(state) if isinstance(part, torch.Tensor))
    leaves, spec = _pytree.tree_flatten(state)
    assert _pytree.tree_flatten(_pytree.tree_unflatten(leaves, spec))[1] == spec


@pytest.mark.parametrize("kind", ["stack", "deque+stack", "none"])
def test_a_network_is_exported_with_its_state(kind: str) -> None:
    rnn, x = network(kind), torch.randn(2, 4, 2)
    for state in (rnn.initial_state(2).detach(), run(rnn).detach()):
        exported = torch.export.export(rnn, (x, state)).module()
        output, after = exported(x, state)
        expected, expected_after = rnn(x, state)
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(rnn(x, after)[0], rnn(x, expected_after)[0])


PROGRAM = """
import os, sys, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from ddstructs import MemoryRNN, Stack

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
torch.manual_seed(0)
network = DistributedDataParallel(MemoryRNN(3, 5, Stack(4), "lstm", batch_first=True))
optimizer, state = torch.optim.SGD(network.parameters(), 0.1), None
torch.manual_seed(1 + rank)
for step in range(4):
    output, state = network(torch.randn(2, 6, 3), state)
    state = state.detach()
    optimizer.zero_grad()
    output.square().sum().backward()
    optimizer.step()
    initial = network.module.initial.grad
    assert initial is not None and (step == 0 or not initial.any())
    own = torch.nn.utils.parameters_to_vector(network.parameters()).detach()
    all = [torch.zeros_like(own) for _ in range(2)]
    dist.all_gather(all, own)
    assert torch.equal(*all), f"weights differ after step {step}"
dist.destroy_process_group()
"""


def test_processes_that_carry_a_state_train_in_step(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(rank), f"{tmp_path}/meeting"], env=environment, stderr=subprocess.PIPE)
        for rank in range(2)
    ]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error.decode()


def test_a_first_state_that_is_not_used_gets_no_gradient_in_one_process() -> None:
    rnn = network("stack")
    state = run(rnn).detach()
    rnn(torch.randn(2, 3, 2), state)[0].sum().backward()
    assert rnn.initial is not None
    assert rnn.initial.grad is None
