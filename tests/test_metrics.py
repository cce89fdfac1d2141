"""The accuracies of the paper, compared with a plain count."""

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ddstructs import CoarseAccuracy, FineAccuracy

PADDING = -100

rows = st.lists(st.sampled_from([0, 1, 2, PADDING]), max_size=6)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """An output and a target, often nearly equal: truncated, longer, or with one symbol changed."""
    target = draw(rows)
    output = draw(st.one_of(rows, st.just(list(target))))
    if output == target and output and draw(st.booleans()):
        place = draw(st.integers(0, len(output) - 1))
        output = output[:place] + draw(rows) + output[place + 1 :]
    return output, target


batches = st.lists(pairs(), min_size=1, max_size=5)


def real(row: list[int]) -> list[int]:
    return [symbol for symbol in row if symbol != PADDING]


def coarse_by_hand(output: list[int], target: list[int]) -> float:
    return float(real(output) == real(target))


def fine_by_hand(output: list[int], target: list[int]) -> float:
    said, wanted = real(output), real(target)
    if not wanted:
        return float(not said)
    right = 0
    while right < min(len(said), len(wanted)) and said[right] == wanted[right]:
        right += 1
    return right / len(wanted)


BY_HAND = [(CoarseAccuracy, coarse_by_hand), (FineAccuracy, fine_by_hand)]


def tensor(batch: list[list[int]]) -> Tensor:
    """Rows of different lengths, padded at the end."""
    width = max(map(len, batch))
    rows = [row + [PADDING] * (width - len(row)) for row in batch]
    return torch.tensor(rows, dtype=torch.int64).reshape(len(batch), width)


def split(batch: list[tuple[list[int], list[int]]]) -> tuple[Tensor, Tensor]:
    return tensor([output for output, _ in batch]), tensor([target for _, target in batch])


@given(batches)
@pytest.mark.parametrize(("kind", "by_hand"), BY_HAND)
def test_an_accuracy_is_the_mean_of_a_count_by_hand(
    kind: type[CoarseAccuracy | FineAccuracy],
    by_hand: Callable[[list[int], list[int]], float],
    batch: list[tuple[list[int], list[int]]],
) -> None:
    expected = sum(by_hand(*pair) for pair in batch) / len(batch)
    assert kind(aligned=False)(*split(batch)).item() == pytest.approx(expected, abs=1e-6)


@given(st.lists(batches, min_size=1, max_size=4))
@pytest.mark.parametrize("kind", [CoarseAccuracy, FineAccuracy])
def test_two_metrics_merged_are_one_metric_on_everything(
    kind: type[CoarseAccuracy | FineAccuracy], parts: list[list[tuple[list[int], list[int]]]]
) -> None:
    whole, left, right = (kind(aligned=False) for _ in range(3))
    left.update(*split(parts[0]))
    for i, part in enumerate(parts):
        whole.update(*split(part))
        if i:
            right.update(*split(part))
    if len(parts) > 1:
        left.merge_state(right)
    assert left.compute().item() == pytest.approx(whole.compute().item(), abs=1e-6)
    assert whole.compute().item() == pytest.approx(kind(aligned=False)(*split(list(chain(*parts)))).item(), abs=1e-6)


CASES = [
    ("right", [1, 2, 3, 9], [1, 2, 3, 9], 1, 1),
    ("first wrong", [0, 2, 3, 9], [1, 2, 3, 9], 0, 0),
    ("last wrong", [1, 2, 3, 3], [1, 2, 3, 9], 0, 0.75),
    ("right again after an error", [1, 0, 3, 9], [1, 2, 3, 9], 0, 0.25),
    ("too short", [1, 2], [1, 2, 3, 9], 0, 0.5),
    ("too long", [1, 2, 3, 9, 1], [1, 2, 3, 9], 0, 1),
    ("nothing said", [], [1, 2, 3, 9], 0, 0),
    ("nothing asked", [1], [], 0, 0),
    ("nothing at all", [], [], 1, 1),
    ("padding in front", [PADDING, 1, 9], [1, 9], 1, 1),
    ("padding in between", [1, 9], [1, PADDING, PADDING, 9], 1, 1),
]


@pytest.mark.parametrize(("output", "target", "coarse", "fine"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_the_words_of_the_paper_mean(output: list[int], target: list[int], coarse: float, fine: float) -> None:
    assert CoarseAccuracy()(tensor([output]), tensor([target])).item() == coarse
    assert FineAccuracy()(tensor([output]), tensor([target])).item() == fine


def test_an_accuracy_starts_anew_after_a_reset() -> None:
    metric, one, two = CoarseAccuracy(), torch.ones(3, 4, dtype=torch.int64), torch.full((3, 4), 2)
    metric.update(one, two)
    metric.reset()
    metric.update(one, one)
    assert metric.compute().item() == 1


@pytest.mark.parametrize("kind", [CoarseAccuracy, FineAccuracy])
@pytest.mark.parametrize(
    ("output", "target"), [((2, 4), (3, 4)), ((4,), (4,)), ((2, 4, 7), (2, 4)), ((2, 4), (2, 4, 7))]
)
def test_shapes_that_do_not_fit_are_refused(
    kind: type[CoarseAccuracy | FineAccuracy], output: tuple[int, ...], target: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"output and target have shapes .* but \(batch, time\) was expected"):
        kind().update(torch.zeros(output, dtype=torch.int64), torch.zeros(target, dtype=torch.int64))


@given(batches)
@pytest.mark.parametrize(("kind", "by_hand"), BY_HAND)
def test_aligned_outputs_count_where_the_target_has_a_symbol(
    kind: type[CoarseAccuracy | FineAccuracy],
    by_hand: Callable[[list[int], list[int]], float],
    batch: list[tuple[list[int], list[int]]],
) -> None:
    target = tensor([target for _, target in batch])
    output = torch.where(target == PADDING, 7, target)
    for row, (said, _) in enumerate(batch):
        for place, symbol in enumerate(said[: target.shape[1]]):
            output[row, place] = 5 if symbol == 0 else output[row, place]
    masked = torch.where(target == PADDING, PADDING, output)
    expected = sum(by_hand(*pair) for pair in zip(masked.tolist(), target.tolist(), strict=True)) / len(batch)
    assert kind(aligned=True)(output, target).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("kind", [CoarseAccuracy, FineAccuracy])
def test_a_batch_that_may_be_aligned_or_not_is_refused(kind: type[CoarseAccuracy | FineAccuracy]) -> None:
    output, target = torch.tensor([[7, 7, 1, 2]]), torch.tensor([[PADDING, PADDING, 1, 2]])
    with pytest.raises(ValueError, match=r"pass aligned=True .* or aligned=False"):
        kind().update(output, target)
    assert kind(aligned=True)(output, target) == 1
    assert kind(aligned=False)(output, target) == 0
    assert kind()(torch.where(target == PADDING, PADDING, output), target) == 1
    with pytest.raises(ValueError, match="equal shapes were expected with aligned=True"):
        kind(aligned=True).update(output[:, 1:], target)


@pytest.mark.parametrize("kind", [CoarseAccuracy, FineAccuracy])
def test_an_empty_batch_adds_nothing_and_no_sequences_score_0(kind: type[CoarseAccuracy | FineAccuracy]) -> None:
    metric, none, one = kind(), torch.zeros(0, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.int64)
    assert metric(none, none).item() == 0
    metric.update(one, one)
    metric.update(none, none)
    assert metric.compute().item() == 1


@pytest.mark.parametrize("kind", [CoarseAccuracy, FineAccuracy])
@pytest.mark.parametrize("output", [[[1, 2]], torch.zeros(1, 2), None, torch.zeros(1, 2, dtype=torch.complex64)])
def test_what_is_no_tensor_of_symbols_is_refused(kind: type[CoarseAccuracy | FineAccuracy], output: Any) -> None:
    symbols = torch.zeros(1, 2, dtype=torch.int64)
    for aligned in (None, True, False):
        for pair in ((output, symbols), (symbols, output)):
            with pytest.raises(TypeError, match=r"^(output|target) is \S.*, but a tensor of symbols was expected"):
                kind(aligned=aligned).update(*pair)
