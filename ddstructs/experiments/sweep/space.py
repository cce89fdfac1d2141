"""The search space: settings and their ranges."""

from __future__ import annotations

from optuna.trial import BaseTrial

from ddstructs.experiments.recipe import Settings

__all__ = ["suggest"]


def suggest(trial: BaseTrial, heads: int, cell: str) -> Settings:
    """Suggest settings by section of the recipe, which provides all others.

    Args:
        trial: Suggests the values.
        heads: Number of heads of the memory; each has its own biases.
        cell: Name of the recurrent cell.
    """
    model = {
        "learning_rate": trial.suggest_float("learning_rate", 1e-3, 2e-2, log=True),
        "hidden_size": trial.suggest_categorical("hidden_size", [32, 64, 128]),
        "decay_steps": trial.suggest_categorical("decay_steps", [None, 1000, 4000]),
    }
    data = {
        "start_length": trial.suggest_categorical("start_length", [4, 8, 16]),
        "batch_size": trial.suggest_categorical("batch_size", [8, 16, 32]),
    }
    if not heads:
        return {"model": model, "data": data}
    biases = {
        f"{signal}_bias": [trial.suggest_float(f"{signal}_bias_{head}", -3.0, 1.0) for head in range(heads)]
        for signal in ("push", "pop")
    }
    model["read_noise"] = trial.suggest_float("read_noise", 0.0, 2.0)
    if cell == "lstm":
        model["state_noise"] = trial.suggest_categorical("state_noise", [0.0, 0.3, 1.0])
    model["signal_penalty"] = trial.suggest_float("signal_penalty", 0.002, 0.5, log=True)
    width = trial.suggest_categorical("width", [32, 64, 128])
    return {"model": model | biases, "data": data, "memory": {"width": width}}
