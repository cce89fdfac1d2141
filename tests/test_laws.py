"""Every memory keeps every law."""

from collections.abc import Callable

import pytest
from kinds import EVERYTHING

from ddstructs import Memory, NoMemory
from ddstructs.laws import LAWS


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("kind", EVERYTHING)
def test_every_structure_keeps_the_law(law: Callable[[Memory], None], kind: str) -> None:
    law(EVERYTHING[kind](3))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_no_memory_keeps_the_law(law: Callable[[Memory], None]) -> None:
    law(NoMemory())
