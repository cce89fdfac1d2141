"""The work of an experiment: execute every run that is not done, and store the results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ddstructs.experiments.commit import commit
from ddstructs.experiments.engine import Engine, Failure
from ddstructs.experiments.records import Record
from ddstructs.experiments.runs import Run
from ddstructs.experiments.store import Store

__all__ = ["test_long_sequences", "train_and_test"]


def train_and_test(runs: Sequence[Run], store: Store, engine: Engine, accelerator: str) -> Iterator[Record]:
    """Execute every run that is not done, and yield the record of each after it is stored.

    Args:
        runs: The runs.
        store: Where their results are.
        engine: Executes them.
        accelerator: `cpu` or `gpu`.

    Raises:
        InputError: If the recipe does not fit its classes; then nothing is executed.
    """
    from ddstructs.experiments import train  # imports torch, which takes seconds

    train.check(runs)
    left = {run.name: run for run in runs if not store.is_done(run)}
    for name, run in left.items():
        engine.submit(name, train.execute, run, accelerator)
    for name, result in engine.completed():
        run = left[name]
        if isinstance(result, Failure):
            store.add(run, run.key | {"error": result.reason, "commit": commit()}, {})
        else:
            store.add(run, result.record, result.files)
        store.collect()
        yield store.record(run)


def test_long_sequences(runs: Sequence[Run], store: Store, engine: Engine, accelerator: str) -> Iterator[str]:
    """Test every trained run at the lengths for `--long`, and yield a line about each."""
    from ddstructs.experiments import train

    left = {run.name: run for run in runs if store.lacks_long(run)}
    for name, run in left.items():
        engine.submit(name, train.test_long, run, store.checkpoint(run), accelerator)
    for name, result in engine.completed():
        run = left[name]
        if isinstance(result, Failure):
            yield f"{run}: FAILED on long sequences: {result.reason}"
        else:
            store.add_long(run, result)
            store.collect()
            yield f"{run}: " + ", ".join(
                f"{name.removeprefix('coarse_hard_')} long {x:.3f}" for name, x in result.items()
            )
