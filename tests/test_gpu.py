"""The kernels on a GPU equal the definition on the CPU; without one, `make gpu` says so."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from kinds import EVERYTHING
from problems import LAYOUTS, SIGNALS, Problem, assert_equal_results, assert_near, solve
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence
from torch.testing import assert_close

from ddstructs import MemoryLayer, MemoryRNN, ops
from ddstructs.actions import mapped
from ddstructs.nn import fused
from ddstructs.ops import operators, reference, strength_dtype

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def on_gpu(heads: Any, actions: Any, state: Any) -> Any:
    """The kernel on the GPU, between copies from and to the CPU."""
    found = operators.scan(heads, mapped(lambda part: part.cuda(), actions), state.to("cuda"))
    return tuple(part.to("cpu") for part in found)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("signals", SIGNALS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_kernels_equal_the_reference_on_a_gpu(layout: str, signals: str, dtype: torch.dtype) -> None:
    sizes = [(0, 2, 3), (1, 0, 1), (60, 3, 5)]
    if dtype == torch.float64:  # a gradient sums over all steps: in float32 the reference itself is off by 3e-5 then
        sizes.append((200, 0, 70))
    for seed, (time, slots, width) in enumerate(sizes):
        problem = Problem.draw(layout, signals, seed=seed, dtype=dtype, time=time, slots=slots, width=width)
        assert_equal_results(solve(on_gpu, problem), solve(reference.scan, problem))


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_operator_keeps_its_promises_on_a_gpu(layout: str, dtype: torch.dtype) -> None:
    problem = Problem.draw(layout, "mixed", dtype=dtype, time=20, slots=3)
    ends = ([int(head[end]) for head in problem.layout] for end in (0, 1))
    inputs = [part.detach().cuda().requires_grad_() for part in problem.inputs]
    # Without the check that outputs are the same each time, for a log has entries that are never written.
    checks = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.ddstructs.scan.default, (*inputs, *ends), test_utils=checks)


def results(kind: str, device: str) -> list[Tensor]:
    """The reads of a memory and the gradients of its actions, in float64."""
    memory = EVERYTHING[kind](3)
    torch.manual_seed(0)
    logits = torch.randn(2, 30, memory.signals.size, dtype=torch.float64)
    value = torch.randn(2, 30, memory.heads, 3, dtype=torch.float64)
    leaves = [each.to(device).requires_grad_() for each in (logits, value)]
    reads, _ = memory(memory.signals.action(leaves[0], leaves[1]))
    weights = torch.linspace(-1, 1, reads.numel(), dtype=torch.float64, device=device).view_as(reads)
    return [each.cpu() for each in (reads, *torch.autograd.grad((reads * weights).sum(), leaves))]


@needs_gpu
@pytest.mark.parametrize("kind", EVERYTHING)
def test_every_memory_on_a_gpu_equals_its_definition(kind: str) -> None:
    came = results(kind, "cuda")
    with ops.using("reference"):
        expected = results(kind, "cpu")
    assert_near(came, expected, torch.float64)


@needs_gpu
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("kind", ["stack", "queue", "deque", "tape"])
def test_a_network_on_a_gpu_equals_the_one_on_the_cpu(kind: str, cell: str) -> None:
    network = MemoryRNN(4, 5, EVERYTHING[kind](3), cell, batch_first=True, dtype=torch.float64)
    x = torch.randn(2, 20, 4, dtype=torch.float64)

    def outcome(device: str) -> list[Tensor]:
        network.to(device).zero_grad()
        output, _ = network(x.to(device))
        output.sin().sum().backward()
        return [each.cpu() for each in (output.detach(), *(p.grad for p in network.parameters() if p.grad is not None))]

    assert_near(outcome("cuda"), outcome("cpu"), torch.float64)


@needs_gpu
@pytest.mark.parametrize("options", [{"cell": "deep"}, {"signal_skip": True}], ids=["deep", "signal_skip"])
def test_what_has_no_loop_on_a_gpu_runs_step_by_step(options: dict[str, Any]) -> None:
    network = MemoryRNN(4, 5, EVERYTHING["stack"](3), batch_first=True, **options).cuda()
    x = torch.randn(2, 20, 4, device="cuda")
    assert network.path(x).name == "loop"
    assert network(x)[0].shape == (2, 20, 5)


def steps(network: MemoryRNN, x: Tensor, **options: Any) -> list[Tensor]:
    """All that comes out of a run that continues from another, with all gradients."""
    torch.manual_seed(0)  # for the noise
    x = x.detach().requires_grad_()
    first = network.unroll(x[:, :5])
    found = network.unroll(x[:, 5:], first.state, **options)
    values, strengths = network.memory.contents(found.state.memory)
    kept = values, torch.where(strengths > 0, strengths, 0)  # a dead slot may have a gradient, and any may be there
    results = [found.output, *found.actions[:2], found.reads, *found.state.hidden, found.state.read, *kept]
    loss = torch.stack([part.sin().sum() for part in results]).sum()
    grads = torch.autograd.grad(loss, [x, *network.parameters()], materialize_grads=True)
    return [part.detach() for part in (*results, *grads)]


RUNS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "noise": ("stack", "lstm", {"read_noise": 0.5, "state_noise": 0.5, "signal_noise": 0.5}, {}),
    "padding": ("deque", "gru", {"learn_initial": False, "value_skip": False}, {"lengths": [0, 15, 9]}),
    "resets": ("queue", "lstm", {"output_layer": True}, {"lengths": [15, 2, 15], "reset": True}),
    "hard": ("stack", "gru", {"hard": True, "read_gate": True}, {"reset": True}),
}
"""A memory, a cell, options of the network and options of the run."""


@needs_gpu
@pytest.mark.parametrize("name", RUNS)
def test_all_steps_at_once_equal_the_loop_on_a_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, cell, options, at_run = RUNS[name]
    network = MemoryRNN(4, 5, EVERYTHING[memory](3), cell, device="cuda", dtype=torch.float64, **options)
    x = torch.randn(3, 20, 4, device="cuda", dtype=torch.float64)
    assert network.path(x).name == "compiled"
    if "reset" in at_run:
        at_run = at_run | {"reset": torch.rand(3, 15) < 0.3}
    came = steps(network, x, **at_run)
    monkeypatch.setattr(fused, "fits", lambda *_: False)
    assert_near(came, steps(network, x, **at_run), torch.float64)


@needs_gpu
@pytest.mark.parametrize(
    ("batch", "cell", "hidden", "width"),
    [(3, "lstm", 64, 64), (200, "lstm", 64, 64), (3, "gru", 70, 20), (3, "rnn", 300, 33), (200, "rnn", 300, 33)],
)
def test_a_wide_network_on_a_gpu_is_repeatable_and_equals_the_one_on_the_cpu(
    batch: int, cell: str, hidden: int, width: int
) -> None:
    network = MemoryRNN(7, hidden, EVERYTHING["stack"](width), cell, batch_first=True)
    x = torch.randn(batch, 20, 7)  # 200 are more rows than a GPU of today has multiprocessors
    came = steps(network.cuda(), x.cuda())
    again = steps(network, x.cuda())
    assert all(mine.equal(other) for mine, other in zip(came, again, strict=True))
    expected = steps(network.cpu(), x)
    for mine, other in zip(came, expected, strict=True):
        torch.testing.assert_close(mine.cpu(), other, rtol=1e-3, atol=1e-3 * float(other.abs().max()))


@needs_gpu
def test_packed_rows_on_a_gpu_equal_the_rows_alone() -> None:
    network = MemoryRNN(4, 5, EVERYTHING["stack"](3), "lstm", device="cuda", dtype=torch.float64)
    rows = [torch.randn(time, 4, device="cuda", dtype=torch.float64) for time in (4, 9, 6)]
    came, _ = network(pack_sequence(rows, enforce_sorted=False))
    assert_near(unpack_sequence(came), [network(row)[0] for row in rows], torch.float64)


@needs_gpu
@pytest.mark.parametrize("kind", ["stack", "queue", "deque", "superposition", "tape"])
def test_a_layer_on_a_gpu_equals_the_one_on_the_cpu(kind: str) -> None:
    layer = MemoryLayer(6, EVERYTHING[kind](3), num_heads=2, dtype=torch.float64)
    x = torch.randn(2, 20, 6, dtype=torch.float64)

    def outcome(device: str) -> list[Tensor]:
        layer.to(device).zero_grad()
        output, state = layer(x.to(device), lengths=[20, 13])
        last, _ = layer(x[:, :1].to(device), state)
        (output.sin().sum() + last.sin().sum()).backward()
        return [each.cpu() for each in (output.detach(), *(p.grad for p in layer.parameters() if p.grad is not None))]

    assert_near(outcome("cuda"), outcome("cpu"), torch.float64)


@needs_gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", ["stack", "queue", "deque"])
def test_steps_without_gradients_on_a_gpu_equal_the_reference(kind: str, dtype: torch.dtype) -> None:
    from ddstructs.ops import cuda_steps  # imports triton

    memory, time, turns = EVERYTHING[kind](70), 150, {60: 40, 100: 30}
    wide = strength_dtype(dtype)  # in which the kernel computes, whatever values are stored in
    torch.manual_seed(0)
    logits = torch.randn(3, time, memory.signals.size, device="cuda", dtype=wide) * 2
    value = torch.randn(3, time, memory.heads, 70, device="cuda", dtype=dtype)
    mine, theirs = ([memory.initial_state(3, device="cuda", dtype=each)] for each in (dtype, wide))
    for t in range(time):
        action, at = memory.signals.action(logits[:, t], value[:, t]), turns.get(t, t)
        read, state = memory.step(action, mine[at])
        with ops.using("reference"):
            expected, definition = memory.step(action._replace(value=value[:, t].to(wide)), theirs[at])
        assert isinstance(state, cuda_steps.SharedState)
        assert_close(read, expected.to(dtype))
        mine, theirs = [*mine, state], [*theirs, definition]
    for state, definition in zip(mine, theirs, strict=True):  # at the end, for no step may change another state
        for now, then in zip(memory.contents(state), memory.contents(definition), strict=True):
            assert_close(now.to(wide), then, rtol=1e-5, atol=1e-6)
    found = io.BytesIO()
    torch.save(mine[-1], found)
    found.seek(0)
    assert_close(memory.contents(torch.load(found)), memory.contents(mine[-1]), rtol=0, atol=0)
    rows = torch.tensor([2, 0, 0], device="cuda")
    after = memory.emptied(mine[-1].select(rows), torch.tensor([False, True, False], device="cuda"))
    assert memory.contents(after).strengths.sum(1).gt(0).tolist() == [True, False, True]


@needs_gpu
def test_steps_with_gradients_on_a_gpu_go_on_from_steps_without() -> None:
    memory = EVERYTHING["deque"](3)
    action = memory.signals.action(torch.randn(2, memory.signals.size).cuda(), torch.randn(2, 2, 3).cuda())
    _, state = memory.step(action, memory.initial_state(2, device="cuda"))
    value = action.value.requires_grad_()
    read, after = memory.step(action._replace(value=value), state)
    memory.step(action._replace(value=value.detach()), state)  # takes the next places in the array
    (slope,) = torch.autograd.grad(read.sum(), value)
    with ops.using("reference"):
        expected, _ = memory.step(action._replace(value=value), state.slots())
    assert_close(read, expected)
    assert slope.equal(torch.autograd.grad(expected.sum(), value)[0])
    assert after.slots().values.requires_grad


class OutputOnly(nn.Module):
    """A layer without its state, for a CUDA graph takes and gives tensors."""

    def __init__(self, layer: MemoryLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.layer(x)[0]
        return output


@needs_gpu
@pytest.mark.filterwarnings("ignore:The AccumulateGrad node's stream")  # that of the run outside the graph
@pytest.mark.parametrize("kind", ["stack", "queue", "deque"])
def test_a_layer_in_a_cuda_graph_equals_the_one_outside(kind: str) -> None:
    layer = OutputOnly(MemoryLayer(6, EVERYTHING[kind](3), num_heads=2, device="cuda"))
    x, other = (torch.randn(2, 300, 6, device="cuda", requires_grad=True) for _ in range(2))

    def outcome(run: Callable[..., Any]) -> list[Tensor]:
        output = run(other)
        return [output.detach().clone(), *torch.autograd.grad(output.sin().sum(), [other, *layer.parameters()])]

    expected = outcome(layer)
    assert_near(outcome(torch.cuda.make_graphed_callables(layer, (x,))), expected, torch.float32)


@needs_gpu
@pytest.mark.filterwarnings("ignore")  # those of the compiler
@pytest.mark.parametrize("kind", ["stack", "queue", "deque"])
def test_a_layer_compiled_to_reduce_overhead_equals_itself(kind: str) -> None:
    # In float64, with random weights: signals that are the same in each step are at ties, which the last bit decides.
    layer = OutputOnly(MemoryLayer(6, EVERYTHING[kind](3), num_heads=2, device="cuda", dtype=torch.float64))
    nn.init.normal_(layer.layer.to_action.weight)
    compiled = torch.compile(layer, fullgraph=True, mode="reduce-overhead")
    inputs = [torch.randn(2, 300, 6, device="cuda", dtype=torch.float64) for _ in range(4)]  # two before the graph

    def outcome(run: Callable[..., Any], x: Tensor) -> list[Tensor]:
        torch.compiler.cudagraph_mark_step_begin()
        x = x.clone().requires_grad_()
        output = run(x)
        grads = torch.autograd.grad(output.sin().sum(), [x, *layer.parameters()])
        return [part.detach().clone() for part in (output, *grads)]

    for x in inputs:
        assert_near(outcome(compiled, x), outcome(layer, x), torch.float64)


@needs_gpu
@pytest.mark.parametrize("cell", ["rnn", "layers"])
def test_a_run_on_a_gpu_is_trained_and_tested_there_and_says_so(
    cell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_suite_runs import layered, silent, small_run

    from ddstructs.experiments import testing, train
    from ddstructs.experiments.build import restore
    from ddstructs.experiments.measure import metric_of
    from ddstructs.experiments.sections import Testing, read_section

    run = small_run(tmp_path) if cell == "rnn" else layered(tmp_path, "Stack", ["memory", "attention"])
    devices = set()

    def watch(model: Any, *rest: Any) -> float:
        devices.add(model.device.type)
        return metric_of(model, *rest)

    monkeypatch.setattr(testing, "metric_of", watch)
    done = train.execute(run, "gpu", silent)
    assert devices == {"cuda"}
    assert done.record["device"] == torch.cuda.get_device_name()
    (tmp_path / "best.ckpt").write_bytes(done.files["model/best.ckpt"])
    model = restore(run, tmp_path / "best.ckpt")
    on_cpu, _ = testing.at_each_length(run, model, read_section(Testing, run.settings["test"]))
    assert devices == {"cuda", "cpu"}
    for name, score in on_cpu.items():
        assert done.record[name] == pytest.approx(score, abs=0.02), "but for an answer at a tie"


@needs_gpu
def test_a_run_of_the_paper_on_a_gpu_is_trained_and_tested_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_reproduce import silent
    from tiny import tiny_runs

    from ddstructs.experiments import testing, train
    from ddstructs.experiments.build import restore
    from ddstructs.experiments.measure import measure
    from ddstructs.experiments.sections import Testing, read_section

    run, devices = tiny_runs(tmp_path)[0], []

    def watch(model: Any, task: Any) -> Any:
        devices.append(model.device.type)
        return measure(model, task)

    monkeypatch.setattr(testing, "measure", watch)
    done = train.execute(run, "gpu", silent)
    assert devices == ["cuda"] * 3, "on the lengths of training, on longer ones, and rounded"
    assert done.record["device"] == torch.cuda.get_device_name()
    (tmp_path / "best.ckpt").write_bytes(done.files["model/best.ckpt"])
    model = restore(run, tmp_path / "best.ckpt")
    on_cpu, _ = testing.of_the_paper(run, model, read_section(Testing, run.settings["test"]))
    for name, score in on_cpu.items():
        assert done.record[name] == pytest.approx(score, abs=0.1), "but for a sequence or two at a tie"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_benchmark_says_so_and_measures_nothing() -> None:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "benchmarks.gpu"]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "There is no GPU here: make gpu needs CUDA and a torch that was built for it.\n"
