"""Missing settings are filled in: the width, the symbols, and the recipe of the results."""

from __future__ import annotations

import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks import layer_languages
from ddstructs import Controller, InputError, Memory, NoMemory, Queue, Stack, settings_for
from ddstructs.cli.main import main
from ddstructs.experiments import build
from ddstructs.experiments.recipe import RECIPE, read_recipe
from ddstructs.experiments.runs import every_run
from ddstructs.registry.describe import describe
from ddstructs.registry.plugins import named
from ddstructs.tasks import BigramFlipping, Copying, Rearrangement, Reversal, Task

TASKS = ["Reversal", "Copying", "BigramFlipping", "SVOtoSOV", "GenderConjugation"]

RECIPE_OF_RESULTS = read_recipe(RECIPE)

VALIDATION = ("val_lengths", "eval_size", "batches_per_epoch")
"""Arguments of a task that belong to the run: the sections `training` and `test` of a recipe."""


def of_a_recipe(task: str, memory: str, cell: str) -> tuple[dict[str, Any], Task]:
    """The hyperparameters of the controller that `reproduce` trains, and its task."""
    (run,) = every_run(RECIPE_OF_RESULTS, [task], [memory], [cell], [0])
    its = build.task_of(run)
    return dict(build.learner_of(run, its).hparams), its


def of_ones_own(task: str, memory: str, cell: str) -> tuple[dict[str, Any], Task]:
    """The same of a controller with the defaults and `settings_for`."""
    settings = settings_for(task, memory, cell)
    kind = named("memory", memory)
    width = {} if kind is NoMemory else {"width": 64}
    own: Memory = kind(**width | settings["memory"])
    its: Task = named("task", task)(**settings["data"])
    sizes: dict[str, Any] = {"input_symbols": its.input_symbols, "output_symbols": its.output_symbols, "cell": cell}
    return dict(Controller(own, **sizes | settings["model"]).hparams), its


@pytest.mark.parametrize("task", TASKS)
def test_what_is_known_of_a_task_a_memory_and_a_cell_is_what_reproduce_trains(task: str) -> None:
    for memory, cell in product(["Stack", "Queue", "Deque"], ["rnn", "lstm", "gru"]):
        (stated, its), (own, mine) = of_a_recipe(task, memory, cell), of_ones_own(task, memory, cell)
        assert own == stated, (task, memory, cell)
        data, expected = (describe(each)["init_args"] for each in (mine, its))
        assert {name: value for name, value in data.items() if name not in VALIDATION} == {
            name: value for name, value in expected.items() if name not in VALIDATION
        }


def test_what_a_memory_rules_out_is_not_among_what_is_known() -> None:
    for task, cell in product(TASKS, ["rnn", "lstm"]):
        of_ones_own(task, "NoMemory", cell)
        assert "state_noise" not in settings_for(task, "NoMemory", cell)["model"]


def test_only_settings_that_depart_from_the_defaults_are_known() -> None:
    nothing: dict[str, Any] = {"memory": {}, "model": {}, "data": {}}
    assert settings_for("Copying", "Bank", "gru") == settings_for("Reversal", "Tape") == nothing
    assert settings_for("Copying", "SuperpositionStack", "lstm") == nothing | {"model": {"state_noise": 1.0}}
    assert settings_for("BigramFlipping", "Queue", "lstm")["model"] == {"read_gate": True, "signal_penalty": 0.05}


def test_few_symbols_begin_with_short_sources_and_an_lstm_then_has_less_noise_on_its_state() -> None:
    short: dict[str, Any] = {"memory": {}, "model": {}, "data": {"start_length": 6}}
    for memory, cell in product(["Stack", "Deque"], ["rnn", "gru"]):
        assert settings_for("Reversal", memory, cell, symbols=2) == short
    assert settings_for("Reversal", "Stack", "lstm", symbols=2) == short | {"model": {"state_noise": 0.3}}
    for cell in ("rnn", "lstm", "gru"):
        assert settings_for("Reversal", "Stack", cell, 128) == settings_for("Reversal", "Stack", cell)


def test_fit_takes_what_is_known_of_few_symbols(tmp_path: Path) -> None:
    words = ["--data", "Reversal", "--data.symbols", "2", "--model.memory", "Stack", "--model.cell", "lstm"]
    limits = ["--trainer.max_steps", "1", "--trainer.limit_val_batches", "1", "--trainer.enable_progress_bar", "false"]
    main(["fit", *words, *limits, "--data.eval_size", "2", "--trainer.default_root_dir", str(tmp_path)])
    (config,) = tmp_path.rglob("config.yaml")
    stated = yaml.safe_load(config.read_text("utf-8"))
    assert stated["model"]["state_noise"] == 0.3
    assert stated["data"]["init_args"]["start_length"] == 6


@pytest.mark.parametrize("language", ["marked reversal", "Dyck-2"])
def test_memory_layers_model_a_language_with_the_settings_of_the_results(language: str) -> None:
    (kind, own), updates = layer_languages.LANGUAGES[language], 800
    network = layer_languages.NETWORKS["memory, noise in the first half"]
    stated = layer_languages.SETTINGS | network.settings | own | {"layers": network.layers, "train_lengths": [40, 80]}
    stated["noise_steps"] = stated.pop("noise_until") * updates
    known = settings_for(kind.__name__, "Stack", model="SequenceModel")
    departing = known["memory"] | known["model"] | known["data"]
    assert departing == {name: value for name, value in stated.items() if (name, value) != ("patience", 150)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("Copyin", "Stack", "rnn"), "'Copyin' is no task: choose from .*Copying"),
        (("Copying", "Stak", "rnn"), "'Stak' is no memory: choose from .*Stack"),
        (("Copying", "Stack", "tanh"), "'tanh' is no cell: choose from rnn, lstm, gru"),
    ],
)
def test_an_unknown_name_is_refused(names: tuple[str, str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        settings_for(*names)


def test_what_is_known_is_told_without_torch() -> None:
    program = "import sys, ddstructs; ddstructs.settings_for('Copying', 'Queue', 'lstm'); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def controller(symbols: int = 128, width: int = 64, **settings: Any) -> Controller:
    task = Copying(symbols=symbols)
    return Controller(Queue(width), task.input_symbols, task.output_symbols, **settings)


def test_the_defaults_for_128_symbols_and_width_64_are_those_of_the_results() -> None:
    assert (controller().rnn.read_noise, controller().signal_penalty) == (1.0, 0.2)


def test_the_noise_on_a_read_goes_with_the_distance_between_values() -> None:
    assert controller(width=16).rnn.read_noise == 0.5
    assert controller(width=256).rnn.read_noise == 1.0
    noises = [controller(width=width).rnn.read_noise for width in (1, 2, 4, 8, 32)]
    assert noises == sorted(noises)
    assert controller(width=4, read_noise=0.7).rnn.read_noise == 0.7


def test_the_penalty_is_the_same_share_of_the_loss_of_a_guess_for_any_number_of_symbols() -> None:
    few, many = controller(symbols=1).signal_penalty, controller(symbols=3).signal_penalty
    assert many == pytest.approx(2 * few)  # log 4, and log 2, with the end symbol
    assert controller(symbols=2, signal_penalty=0.2).signal_penalty == 0.2


def test_a_controller_says_what_its_defaults_came_to() -> None:
    model = Controller(Stack(16), 10, 1)
    assert (model.hparams["read_noise"], model.hparams["signal_penalty"]) == (0.5, 0.0)
    assert controller(width=64).hparams["read_noise"] == 1.0


@pytest.mark.parametrize("kind", [Copying, Reversal, BigramFlipping])
def test_the_fewer_the_symbols_the_longer_the_first_sources(kind: type[Rearrangement]) -> None:
    lengths = [kind(symbols=symbols).start_length for symbols in range(1, 129)]
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-1]) == (16, 4)
    assert kind(symbols=2, start_length=6).stages.stage == 6
    assert kind(symbols=2, train_lengths=(1, 10)).stages.stage == 10
