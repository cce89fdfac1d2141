"""Large tensors use the memory of earlier ones, and never that of one still in use."""

from __future__ import annotations

import pytest
import torch

from ddstructs.ops import pages
from ddstructs.ops.pages import empty, zeros

SHAPE = pages.LARGE // 4, 3


@pytest.fixture(autouse=True)
def nothing_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_unused", {})


def test_memory_is_used_again_once_nothing_refers_to_it() -> None:
    first = empty(SHAPE, torch.float32)
    part, address = first[5:], first.data_ptr()
    array = part.numpy()
    del first, part
    assert empty(SHAPE, torch.float32).data_ptr() != address  # the array refers to it
    del array
    again = empty(SHAPE, torch.float32)
    assert again.data_ptr() == address
    assert empty(SHAPE, torch.float32).data_ptr() != address


def test_a_tensor_of_zeros_is_zero_whatever_was_there() -> None:
    for value in (1.0, torch.nan):
        tensor = zeros(SHAPE, torch.float64)
        assert not tensor.any()
        tensor.fill_(value)
        del tensor


def test_a_tensor_owns_exactly_its_own_bytes() -> None:
    first = empty(SHAPE, torch.float64)
    del first
    smaller = empty((SHAPE[0] - 7, 3), torch.float64)
    assert smaller.untyped_storage().nbytes() == smaller.nbytes
    assert smaller.data_ptr() % 16 == 0


def test_a_block_much_larger_than_needed_is_not_used() -> None:
    large = empty((SHAPE[0] * 4, 3), torch.float32)
    address = large.data_ptr()
    del large
    assert empty(SHAPE, torch.float32).data_ptr() != address


def test_what_is_kept_is_limited_and_the_oldest_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    size = SHAPE[0] * SHAPE[1] * 4
    monkeypatch.setattr(pages, "KEPT", 2 * size)
    blocks = [empty(SHAPE, torch.float32) for _ in range(3)]
    addresses = [block.data_ptr() for block in blocks]
    while blocks:
        del blocks[0]
    assert sum(block.nbytes for block in pages._unused.values()) == 2 * size
    found = [empty(SHAPE, torch.float32) for _ in range(2)]
    assert [each.data_ptr() for each in found] == addresses[:0:-1]
