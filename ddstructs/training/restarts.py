"""Fresh starts: new weights for a model whose learning has stalled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from ddstructs.training.learner import Learner

__all__ = ["draw_weights", "start_afresh", "updates_since_start"]


def start_afresh(model: Learner, restarts: int, seed: int) -> None:
    """Draw new weights, and clear the state of the optimizer.

    Args:
        model: The model, in training.
        restarts: Number of fresh starts, this one included; it selects one of the memory's `starts`.
        seed: Seed of the weights. The random state of the run is not affected.
    """
    draw_weights(model, restarts, seed)
    for optimizer in model.trainer.optimizers:
        optimizer.state.clear()
        for group in optimizer.param_groups:
            group["lr"] = model.learning_rate
    for config in model.trainer.lr_scheduler_configs:
        config.scheduler.last_epoch = 0


def updates_since_start(model: Learner) -> int:
    """Number of updates since training began, or began afresh: Adam counts them, and its state is saved and cleared."""
    states = [state for optimizer in model.trainer.optimizers for state in optimizer.state.values()]
    return max((int(state.get("step", model.trainer.global_step)) for state in states), default=0)


def draw_weights(model: Learner, restarts: int, seed: int) -> None:
    """Draw new weights, as `start_afresh` does, for a model whose optimizer is not the trainer's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in reversed(list(model.modules())):  # a module after its parts, so that its own initialization wins
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
        for part in model.memory_modules:
            part.reset_parameters(restarts)
