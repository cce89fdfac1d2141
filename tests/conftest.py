"""One hypothesis profile for all tests: the same examples in every run, however slow the machine is."""

import torch
from hypothesis import HealthCheck, settings

settings.register_profile("same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("same")
torch.set_num_threads(1)
