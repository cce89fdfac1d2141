"""Reads, strengths and gradients equal those of the paper's equations, at ties as elsewhere."""

import paper
import pytest
import torch
from hypothesis import assume
from kinds import KINDS, LINES, parts
from torch import Tensor

from ddstructs import Action, Contents, Deque, Queue, Stack, ops
from ddstructs.testing import EXACT, assert_close, cotangent, for_all_actions, gradients, leaves

pytestmark = pytest.mark.usefixtures("kernel")


def expected_results(kind: str, actions: Action) -> tuple[Tensor, Action, float]:
    """Reads, the gradients of their weighted sum, and the distance from the nearest tie."""
    reads = torch.zeros_like(actions.value)
    slopes = Action(*(torch.zeros_like(part) for part in actions))
    weight = cotangent(reads)
    margin = float("inf")
    for line, heads, part in parts(kind, actions):
        for row in range(len(reads)):
            result = paper.run(line, part, row)
            margin = min(margin, result.margin)
            own = Action(*(slope[row, :, heads] for slope in slopes))
            for t, of_heads in enumerate(result.weights):
                for h, slots in enumerate(of_heads):
                    c = weight[row, t, heads][h]
                    for (i, j), number in slots.items():
                        v = part.value[row, i, j]
                        reads[row, t, heads][h] += number.value * v
                        own.value[i, j] += number.value * c
                        for (name, step, head), slope in number.slope.items():
                            getattr(own, name)[step, head] += slope * (v @ c)
    return reads, slopes, margin


@pytest.mark.parametrize("signals", [EXACT, ("generic",)], ids=["at ties", "away from ties"])
@pytest.mark.parametrize("kind", KINDS)
def test_reads_and_gradients_are_the_papers(kind: str, signals: tuple[str, ...]) -> None:
    memory = KINDS[kind](2)

    def check(actions: Action) -> None:
        inputs = leaves(actions)
        reads, _ = memory(inputs)
        slopes = gradients((reads * cotangent(reads)).sum(), inputs)
        expected, expected_slopes, _ = expected_results(kind, actions)
        assert_close(reads, expected, "reads")
        for name, slope, right in zip(Action._fields, slopes, expected_slopes, strict=True):
            assert_close(slope, right, f"gradient of {name}")

    for_all_actions(memory, check, signals=signals, max_time=5, max_examples=30)


@pytest.mark.parametrize("line", LINES)
def test_contents_and_their_gradients_are_the_papers(line: str) -> None:
    memory = LINES[line](2)

    def check(actions: Action) -> None:
        inputs = leaves(actions)
        values, strengths = memory.contents(memory(inputs)[1])
        live = strengths > 0  # ignores padding
        slopes = gradients((strengths * cotangent(strengths))[live].sum(), inputs)
        expected = Contents(torch.zeros_like(values), torch.zeros_like(strengths))
        expected_slopes = Action(*(torch.zeros_like(part) for part in actions))
        for row in range(len(values)):
            slots = [slot for slot in paper.run(line, actions, row).strengths if slot[1].value > 0]
            for place, ((i, j), number) in enumerate(slots):
                expected.values[row, place] = actions.value[row, i, j]
                expected.strengths[row, place] = number.value
                for (name, step, head), by in number.slope.items():
                    getattr(expected_slopes, name)[row, step, head] += by * cotangent(strengths)[row, place]
        for name, came, right in zip(Contents._fields, (values, strengths), expected, strict=True):
            assert_close(came, right, name)
        for name, slope, right in zip(Action._fields, slopes, expected_slopes, strict=True):
            assert_close(slope, right, f"gradient of {name}")

    for_all_actions(memory, check, max_time=5)


@pytest.mark.parametrize("line", LINES)
def test_gradients_are_the_slopes_of_the_reads(line: str) -> None:
    memory = LINES[line](2)

    def reads(push: Tensor, pop: Tensor, value: Tensor) -> Tensor:
        result: Tensor = memory(Action(push, pop, value))[0]
        return result

    def check(actions: Action) -> None:
        *_, margin = expected_results(line, actions)
        assume(margin > 1e-4 and actions.value.numel() > 0)
        assert torch.autograd.gradcheck(reads, tuple(leaves(actions)), eps=1e-6)

    for_all_actions(memory, check, signals=("generic",), max_time=3, max_examples=5)


def column(*numbers: float) -> Tensor:
    """A signal of one row and one head; shape `(1, time, 1)`."""
    return torch.tensor(numbers, dtype=torch.float64).view(1, -1, 1)


def test_figure_1_of_the_paper() -> None:
    stack, v = Stack(3), torch.eye(3, dtype=torch.float64)
    actions = Action(column(0.8, 0.5, 0.9), column(0, 0.1, 0.9), v.view(1, 3, 1, 3))
    expected_reads = [0.8 * v[0], 0.5 * v[1] + 0.5 * v[0], 0.9 * v[2] + 0.1 * v[0]]
    expected_contents = [([0.8], [0]), ([0.7, 0.5], [0, 1]), ([0.3, 0.9], [0, 2])]
    state = stack.initial_state(1, dtype=torch.float64)
    for t in range(3):
        read, state = stack.step(Action(*(part[:, t] for part in actions)), state)
        assert_close(read[0, 0], expected_reads[t], f"read {t}")
        strengths, pushed = expected_contents[t]
        assert_close(stack.contents(state).strengths[0], torch.tensor(strengths, dtype=torch.float64), f"strengths {t}")
        assert_close(stack.contents(state).values[0], v[pushed], f"values {t}")


# Values are 1 and then 20, and the loss is r_1 + 10 r_2. Gradients are worked out by hand from the equations.
STACK = [
    # min(d, 1) is a tie, and belongs to d.
    ("a push of one is read", [1, 0], [0, 0], [11, 200], [0, 0]),
    # Below, the bound max(0, 1 - d_2) is a tie, and belongs to 0.
    ("a push of one hides what is below", [1, 1], [0, 0], [1, 200], [0, 0]),
    # min(1/2, 1 - 1/2) is a tie, and belongs to the strength, not to the bound.
    ("a unit that ends where a value ends", [0.5, 0.5], [0, 0], [11, 200], [0, 0]),
    # No tie: the weight of value 1 is 1 - d_2.
    ("a unit that ends inside a value", [1, 0.5], [0, 0], [1, 190], [0, 0]),
    # max(0, 1 - u_2) is a tie, and belongs to 0: step 2 feels neither the push nor the pop.
    ("a pop of all there is", [1, 0.5], [0, 1], [1, 200], [0, 0]),
    # No tie: max(0, -1/2) is 0.
    ("a pop of more than there is", [0.5, 0.5], [0, 1], [1, 200], [0, 0]),
    # max(0, u_2) is a tie, and belongs to 0: such a pop is not felt.
    ("a pop of nothing", [0.5, 0], [0, 0], [11, 200], [0, 0]),
    # No tie: the weight of value 1 is d_1 - u_2.
    ("a pop of a part", [0.5, 0], [0, 0.25], [11, 200], [0, -10]),
]
QUEUE = [
    # min(d_1, 1) is a tie, and belongs to d_1; behind it the bound max(0, 1 - d_1) is one, and belongs to 0.
    ("a push of one hides what is behind", [1, 1], [0, 0], [11, 0], [0, 0]),
    # min(d_2, 1 - d_1) is a tie, and belongs to the strength d_2.
    ("a unit that ends where a value ends", [0.5, 0.5], [0, 0], [11, 200], [0, 0]),
    # No tie: the weights are d_1 - u_2 and 1 - (d_1 - u_2).
    ("a unit that ends inside a value", [1, 1], [0, 0.5], [-189, 0], [0, 190]),
    # The same tie as two above, with d_1 - u_2 in front.
    ("a pop that brings the unit to an end", [1, 0.5], [0, 0.5], [11, 200], [0, -10]),
    # max(0, 1 - u_2) is a tie, and belongs to 0; min(d_2, 1) is one, and belongs to d_2.
    ("a pop of all there is", [1, 1], [0, 1], [1, 200], [0, 0]),
    # max(0, u_2) is a tie, and belongs to 0.
    ("a pop of nothing", [0.5, 0], [0, 0], [11, 200], [0, 0]),
]
Case = tuple[str, list[float], list[float], list[float], list[float]]


@pytest.mark.parametrize(
    ("memory", "case"),
    [*((Stack(1), case) for case in STACK), *((Queue(1), case) for case in QUEUE)],
    ids=[f"{kind}: {case[0]}" for kind, cases in (("stack", STACK), ("queue", QUEUE)) for case in cases],
)
def test_a_tie_belongs_to_the_left(memory: Stack | Queue, case: Case) -> None:
    _, push, pop, push_slope, pop_slope = case
    inputs = leaves(Action(column(*push), column(*pop), column(1, 20)[..., None]))
    reads, _ = memory(inputs)
    slopes = gradients((reads * column(1, 10)[..., None]).sum(), inputs)
    assert slopes.push.flatten().tolist() == push_slope
    assert slopes.pop.flatten().tolist() == pop_slope


@pytest.mark.parametrize("kernel", ["reference", "auto"])
def test_a_push_of_nothing_is_felt_by_the_next_pop_alone(kernel: ops.Kernel) -> None:
    """The pop takes u - d of what is below, and in the step before max(0, 0 - 0) was a tie, which belongs to 0."""
    for pause, slope in ((0, 1.0), (1, 0.0)):
        nothing = [0.0] * (2 + pause)
        push, pop, value = column(0.5, *nothing), column(*nothing, 0.25), column(1, *[3.0] * (2 + pause))
        inputs = leaves(Action(push, pop, value[..., None]))
        with ops.using(kernel):
            reads, _ = Stack(1)(inputs)
        assert gradients(reads[:, -1].sum(), inputs).push.flatten()[1] == slope


@pytest.mark.parametrize(
    ("push", "pop", "push_slope", "pop_slope"),
    [
        # The top pop leaves the tie max(0, 1/2 - u_top), which belongs to 0; the bottom keeps d_bottom - u_bottom.
        ([0.5, 0.5], [0.5, 0.25], [0, 1], [0, -1]),
        # The top pop takes a quarter of the bottom value too, which keeps d_bottom - (u_top - d_top) - u_bottom.
        ([0.5, 0.5], [0.75, 0.125], [1, 1], [-1, -1]),
        # Of that the bottom pop takes the rest: a tie, which belongs to 0.
        ([0.5, 0.5], [0.75, 0.25], [0, 0], [0, 0]),
        # The order of the pops is felt where nothing was pushed. The top pop puts the empty bottom slot to
        # max(0, 0 - 0), a tie, so that the bottom pop finds no d_bottom in its way: the top keeps d_top - u_bottom.
        ([0.5, 0], [0, 0.25], [20, 0], [0, -20]),
        # Nothing has been there before the top pop: the bottom keeps d_bottom - (u_top - d_top).
        ([0, 0.5], [0.25, 0], [1, 1], [-1, 0]),
    ],
)
def test_a_tie_of_a_deque_belongs_to_the_left(
    push: list[float], pop: list[float], push_slope: list[float], pop_slope: list[float]
) -> None:
    pushes = torch.tensor([[push, [0, 0]]], dtype=torch.float64)
    pops = torch.tensor([[[0, 0], pop]], dtype=torch.float64)
    value = torch.tensor([20, 1, 0, 0], dtype=torch.float64).view(1, 2, 2, 1)  # 20 on top of 1, then nothing
    inputs = leaves(Action(pushes, pops, value))
    reads, _ = Deque(1)(inputs)
    slopes = gradients(reads[0, 1, 0].sum(), inputs)
    assert slopes.push[0, 0].tolist() == push_slope
    assert slopes.pop[0, 1].tolist() == pop_slope
