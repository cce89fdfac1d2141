"""Run by a test in a separate process, because triton reads `TRITON_INTERPRET` when it is imported."""

import torch
from problems import LAYOUTS, Problem, assert_equal_results, solve

from ddstructs.ops import operators, reference

if __name__ == "__main__":
    operators.KERNELS["cpu"] = "ddstructs.ops.triton"
    torch.set_num_threads(1)
    for layout in LAYOUTS:
        for seed, signals in enumerate(["mixed"] if layout == "odd" else ["quarters", "rarely push"]):
            problem = Problem.draw(layout, signals, seed=seed, time=6, slots=seed % 3, width=3)
            assert_equal_results(solve(operators.scan, problem), solve(reference.scan, problem))
    single = Problem.draw("deque", "mixed", dtype=torch.float32, time=6, slots=2)
    assert_equal_results(solve(operators.scan, single), solve(reference.scan, single))
    emptied = Problem.draw("deque", "mixed", time=6, slots=2)
    emptied.inputs[3][0, 3, 0] = emptied.inputs[3][1, 0, 0] = torch.inf
    assert_equal_results(solve(operators.scan, emptied), solve(reference.scan, emptied))
    for empty in ({"time": 0, "slots": 2}, {"batch": 0}):
        problem = Problem.draw("deque", "random", **empty)  # type: ignore[arg-type]
        assert_equal_results(solve(operators.scan, problem), solve(reference.scan, problem))
    print("equal")
