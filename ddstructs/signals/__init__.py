"""The signals of a memory: the controls in its actions, and the map from a network's logits to an action."""

from ddstructs.signals.abstract import Signals, Start
from ddstructs.signals.kinds import Choices, Mixed, PushPop, Raw, join

__all__ = ["Choices", "Mixed", "PushPop", "Raw", "Signals", "Start", "join"]
