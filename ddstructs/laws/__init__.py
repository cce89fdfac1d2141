"""The laws that every memory must keep, as functions to call from a test: a contract for plugins and our own memories.

A law takes a memory, draws actions for it with hypothesis (the extra `testing`), and raises an
`AssertionError` if the memory breaks it. One test runs them all:

    @pytest.mark.parametrize("law", ddstructs.laws.LAWS)
    def test_my_memory_keeps_the_law(law):
        law(MyMemory(width=3))

`hard_signals_are_discrete` is for memories that equal a discrete structure under hard signals; it also takes a model of
that structure in plain Python.

Example:
    >>> from ddstructs import Stack
    >>> from ddstructs.laws import a_cut_changes_nothing
    >>> a_cut_changes_nothing(Stack(width=2))
"""

from __future__ import annotations

from collections.abc import Callable

from ddstructs.laws.discrete import Model, hard_signals_are_discrete
from ddstructs.laws.inputs import a_memory_has_nothing_to_learn, every_dtype_works, wrong_actions_are_refused
from ddstructs.laws.sequences import (
    a_cut_changes_nothing,
    a_reset_begins_afresh,
    batches_do_not_mix,
    doing_nothing_changes_nothing,
    forward_is_step_in_a_loop,
)
from ddstructs.laws.states import (
    a_new_memory_is_empty,
    a_state_is_a_value,
    contents_are_tidy,
    detach_cuts_the_past,
    select_is_indexing,
)
from ddstructs.memory import Memory

__all__ = [
    "LAWS",
    "Model",
    "a_cut_changes_nothing",
    "a_memory_has_nothing_to_learn",
    "a_new_memory_is_empty",
    "a_reset_begins_afresh",
    "a_state_is_a_value",
    "batches_do_not_mix",
    "contents_are_tidy",
    "detach_cuts_the_past",
    "doing_nothing_changes_nothing",
    "every_dtype_works",
    "forward_is_step_in_a_loop",
    "hard_signals_are_discrete",
    "select_is_indexing",
    "wrong_actions_are_refused",
]

LAWS: tuple[Callable[[Memory], None], ...] = (
    a_new_memory_is_empty,
    a_memory_has_nothing_to_learn,
    forward_is_step_in_a_loop,
    a_cut_changes_nothing,
    a_reset_begins_afresh,
    doing_nothing_changes_nothing,
    batches_do_not_mix,
    a_state_is_a_value,
    detach_cuts_the_past,
    select_is_indexing,
    every_dtype_works,
    contents_are_tidy,
    wrong_actions_are_refused,
)
"""The laws that hold for every memory."""
