"""Differentiable data structures for PyTorch: a stack, a queue and a deque that a network learns to use."""

from ddstructs.bank import Bank, NoMemory
from ddstructs.deque import Deque
from ddstructs.memory import Action, Contents, Memory, State, harden
from ddstructs.queue import Queue
from ddstructs.rnn import MemoryRNN
from ddstructs.stack import Stack

__all__ = ["Action", "Bank", "Contents", "Deque", "Memory", "MemoryRNN", "NoMemory", "Queue", "Stack", "State", "harden"]
