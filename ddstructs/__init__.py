"""Differentiable data structures for PyTorch: stacks, queues, deques, tapes and others that a network learns to use.

Names are imported on first use: `import ddstructs` loads nothing else, and `ddstructs.Stack` does not load Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddstructs.actions import Action, Choice, harden
    from ddstructs.bank import Bank, NoMemory
    from ddstructs.deque import Deque
    from ddstructs.errors import InputError
    from ddstructs.experiments.advice import settings_for
    from ddstructs.export.onnx import to_onnx
    from ddstructs.export.runner import OnnxRunner
    from ddstructs.memory import Memory
    from ddstructs.nn.agreement import Agreement, check_agreement
    from ddstructs.nn.deep import DeepCell
    from ddstructs.nn.layer import LayerState, MemoryLayer
    from ddstructs.nn.rnn import MemoryRNN, RNNState
    from ddstructs.queue import Queue
    from ddstructs.signals import Start
    from ddstructs.stack import Stack
    from ddstructs.state import Contents, State
    from ddstructs.structure import Structure
    from ddstructs.superposition import SuperpositionStack
    from ddstructs.tape import Tape
    from ddstructs.training.controller import Controller
    from ddstructs.training.metrics import CoarseAccuracy, FineAccuracy
    from ddstructs.training.sequence_model import SequenceModel
    from ddstructs.view.callback import TraceCallback
    from ddstructs.view.diagnose import Diagnosis, diagnose
    from ddstructs.view.plot import plot_lengths, plot_signals, plot_trace
    from ddstructs.view.record import trace
    from ddstructs.view.trace import Trace

__version__ = "0.2.0"

__all__ = [
    "Action",
    "Agreement",
    "Bank",
    "Choice",
    "CoarseAccuracy",
    "Contents",
    "Controller",
    "DeepCell",
    "Deque",
    "Diagnosis",
    "FineAccuracy",
    "InputError",
    "LayerState",
    "Memory",
    "MemoryLayer",
    "MemoryRNN",
    "NoMemory",
    "OnnxRunner",
    "Queue",
    "RNNState",
    "SequenceModel",
    "Stack",
    "Start",
    "State",
    "Structure",
    "SuperpositionStack",
    "Tape",
    "Trace",
    "TraceCallback",
    "check_agreement",
    "diagnose",
    "harden",
    "plot_lengths",
    "plot_signals",
    "plot_trace",
    "settings_for",
    "to_onnx",
    "trace",
]

_HOME = {
    "Action": "actions",
    "Agreement": "nn.agreement",
    "Bank": "bank",
    "Choice": "actions",
    "CoarseAccuracy": "training.metrics",
    "Contents": "state",
    "Controller": "training.controller",
    "DeepCell": "nn.deep",
    "Deque": "deque",
    "Diagnosis": "view.diagnose",
    "FineAccuracy": "training.metrics",
    "InputError": "errors",
    "LayerState": "nn.layer",
    "Memory": "memory",
    "MemoryLayer": "nn.layer",
    "MemoryRNN": "nn.rnn",
    "NoMemory": "bank",
    "OnnxRunner": "export.runner",
    "Queue": "queue",
    "RNNState": "nn.rnn",
    "SequenceModel": "training.sequence_model",
    "Stack": "stack",
    "Start": "signals",
    "State": "state",
    "Structure": "structure",
    "SuperpositionStack": "superposition",
    "Tape": "tape",
    "Trace": "view.trace",
    "TraceCallback": "view.callback",
    "check_agreement": "nn.agreement",
    "diagnose": "view.diagnose",
    "harden": "actions",
    "plot_lengths": "view.plot",
    "plot_signals": "view.plot",
    "plot_trace": "view.plot",
    "settings_for": "experiments.advice",
    "to_onnx": "export.onnx",
    "trace": "view.record",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ddstructs' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"ddstructs.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
