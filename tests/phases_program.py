"""Run by a test in a separate process, because triton reads `TRITON_INTERPRET` when it is imported."""

import torch
from problems import LAYOUTS, Problem, assert_equal_results, solve

from ddstructs.ops import cpu, logs, operators, reference
from ddstructs.ops import triton as kernels
from ddstructs.ops.layout import Inputs


def equal(problem: Problem) -> None:
    assert_equal_results(solve(operators.scan, problem), solve(reference.scan, problem))


def equal_to_the_engine(problem: Problem) -> None:
    """With the same results as on the CPU, where these are not numbers too."""
    inputs = Inputs(*problem.inputs)
    pushes, takes = ([int(head[end]) for head in problem.layout] for end in (0, 1))
    grad, came = problem.weights[0], []
    for kernel in (kernels, cpu):
        reads, strengths, log = kernel.forward(inputs, pushes, takes)
        came.append([reads, strengths, *kernel.backward(grad, None, inputs, log, pushes, takes)])
    torch.testing.assert_close(*came, equal_nan=True)


if __name__ == "__main__":
    operators.KERNELS["cpu"] = "ddstructs.ops.triton"
    torch.set_num_threads(1)
    # The room for chunks, of which a graph knows only the bound.
    for time in range(5000):
        span = logs.steps_per_chunk(time)
        assert -(-time // span) * (span + 1) <= 2 * time + 1
    # A stack of several chunks, some of whose pops and reads reach into chunks before.
    assert logs.steps_per_chunk(20) < 10
    for seed, signals in enumerate(("quarters", "hard", "random")):
        equal(Problem.draw("stack", signals, seed=seed, time=20, slots=seed))
    # NaN and infinity, which nothing hides.
    for layout in ("stack", "deque"):
        spoilt = Problem.draw(layout, "quarters", time=9, slots=2)
        _, _, push, pop, _ = spoilt.inputs
        push[0, 2, 0], pop[1, 4, 0], pop[1, 7, 0] = torch.nan, torch.nan, torch.inf
        equal_to_the_engine(spoilt)
    # Windows of more tiles than the logs have room for, in some rows.
    logs.SIZE = 2
    for layout in LAYOUTS:
        problem = Problem.draw(layout, "never pop", time=6, slots=3)
        problem.inputs[2][0] = 1.0
        problem.inputs[1][0] = 1.0
        equal(problem)
    print("equal")
