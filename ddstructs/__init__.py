"""Differentiable data structures for PyTorch: a stack, a queue and a deque that a network learns to use.

A name is imported when it is first used, so `import ddstructs` costs nothing, and `ddstructs.Stack` no Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddstructs.bank import Bank, NoMemory
    from ddstructs.controller import Controller
    from ddstructs.deque import Deque
    from ddstructs.errors import InputError
    from ddstructs.memory import Action, Contents, Memory, State, harden
    from ddstructs.metrics import CoarseAccuracy, FineAccuracy
    from ddstructs.queue import Queue
    from ddstructs.rnn import MemoryRNN, RNNState
    from ddstructs.stack import Stack

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Bank",
    "CoarseAccuracy",
    "Contents",
    "Controller",
    "Deque",
    "FineAccuracy",
    "InputError",
    "Memory",
    "MemoryRNN",
    "NoMemory",
    "Queue",
    "RNNState",
    "Stack",
    "State",
    "harden",
]

_HOME = {
    "Action": "memory",
    "Bank": "bank",
    "CoarseAccuracy": "metrics",
    "Contents": "memory",
    "Controller": "controller",
    "Deque": "deque",
    "FineAccuracy": "metrics",
    "InputError": "errors",
    "Memory": "memory",
    "MemoryRNN": "rnn",
    "NoMemory": "bank",
    "Queue": "queue",
    "RNNState": "rnn",
    "Stack": "stack",
    "State": "memory",
    "harden": "memory",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ddstructs' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"ddstructs.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
