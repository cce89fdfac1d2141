"""One hypothesis profile for all tests: the same examples in every run, however slow the machine is."""

import signal
from collections.abc import Iterator
from typing import get_args

import pytest
import torch
from hypothesis import HealthCheck, settings

from ddstructs import ops

settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")
torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background; the commands under test would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", params=get_args(ops.Kernel))
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run a test with the default kernels, and again with the reference."""
    with ops.using(request.param):
        yield request.param
