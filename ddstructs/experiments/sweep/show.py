"""A worker of a study, with what it does and what was found on the terminal."""

from __future__ import annotations

from collections import Counter

import optuna
import yaml
from rich.console import Console
from rich.markup import escape

from ddstructs.experiments.sweep.study import Sweep, ended, open_study, work

__all__ = ["show"]


def show(sweep: Sweep) -> None:
    """Work on a study until it has enough trials; then print the best settings, in the form of a recipe."""
    console = Console(highlight=False)
    study = open_study(sweep)
    with console.status("") as status:

        def report(words: str) -> None:
            status.update(escape(f"{len(ended(study))} of {sweep.trials} trials; {words}"))

        work(sweep, report)
    states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    print(f"{sweep.name}: {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}")
    for trial in ended(study):
        if "error" in trial.user_attrs:
            print(f"trial {trial.number} failed: {trial.user_attrs['error']}")
    if "complete" not in states:
        print("No trial came to an end without an error.")
        return
    best = study.best_trial
    print(
        f"The best is trial {best.number}, worth {best.value:.3f}: from 1 to 2 is right, and 2 is soon. In a recipe:\n"
    )
    print(yaml.safe_dump(_exception(sweep, best), sort_keys=False, default_flow_style=None), end="")


def _exception(sweep: Sweep, best: optuna.trial.FrozenTrial) -> list[dict[str, object]]:
    """The settings of a trial as an exception in a recipe."""
    where = {"task": sweep.task, "memory": sweep.memory, "cell": sweep.cell}
    because = f"trial {best.number} of a sweep over {sweep.trials}, worth {best.value:.3f}"
    return [{"where": where, "because": because, **best.user_attrs["settings"]}]
