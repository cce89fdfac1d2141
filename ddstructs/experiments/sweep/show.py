"""The progress and the results of a study, for the terminal."""

from __future__ import annotations

from collections import Counter

import optuna
import yaml
from optuna.trial import FrozenTrial

from ddstructs.experiments.sweep.study import Sweep, ended

__all__ = ["line", "summary"]


def line(trial: FrozenTrial) -> str:
    """A finished trial in one line."""
    if "error" in trial.user_attrs:
        return f"trial {trial.number}: FAILED: {trial.user_attrs['error']}"
    value = trial.value if trial.value is not None else trial.intermediate_values[max(trial.intermediate_values)]
    return f"trial {trial.number}: score {value:.3f}, {trial.state.name.lower()}"


def summary(sweep: Sweep, study: optuna.Study) -> str:
    """The number of trials by state, the errors, and the best settings in the form of a recipe."""
    states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    lines = [f"{sweep.name}: {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}"]
    lines += [line(trial) for trial in ended(study) if "error" in trial.user_attrs]
    if "complete" not in states:
        return "\n".join([*lines, "No trial was completed."])
    best = study.best_trial
    lines.append(
        f"The best is trial {best.number}, score {best.value:.3f} (above 1: every seed correct; nearer 2: sooner)."
    )
    lines.append("In a recipe:\n")
    return (
        "\n".join(lines) + "\n" + yaml.safe_dump(_rule(sweep, best), sort_keys=False, default_flow_style=None).rstrip()
    )


def _rule(sweep: Sweep, best: FrozenTrial) -> list[dict[str, object]]:
    """The settings of a trial, as an entry of `exceptions` in a recipe."""
    where = {"task": sweep.task, "memory": sweep.memory, "cell": sweep.cell}
    because = f"trial {best.number} of a sweep over {sweep.trials}, score {best.value:.3f}"
    return [{"where": where, "because": because, **best.user_attrs["settings"]}]
