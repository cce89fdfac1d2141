"""Recipes, and the options that select runs: their meaning, and one-line errors for anything else."""

from __future__ import annotations

import inspect
import json
import random
import re
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from tiny import TINY, changed, recipe_of, refused, tiny_runs, write_recipe

from ddstructs import Bank, Controller, InputError, Queue, SequenceModel, Stack
from ddstructs.experiments import build, sections, train
from ddstructs.experiments.recipe import RECIPE, read_recipe
from ddstructs.experiments.runs import Run, choose, every_run, parse_seeds
from ddstructs.experiments.suites import SUITES
from ddstructs.registry.arguments import fit_arguments
from ddstructs.registry.data import dump_yaml, load_yaml

TASKS = ["Copying", "Reversal", "BigramFlipping", "SVOtoSOV", "GenderConjugation"]

HEADLINES = {
    ("Reversal", "Stack", "rnn"): "45fd7a91",
    ("Reversal", "Stack", "lstm"): "4a1268ce",
    ("Copying", "NoMemory", "rnn"): "3a65af82",
    ("BigramFlipping", "Deque", "lstm"): "6b521858",
    ("SVOtoSOV", "Queue", "lstm"): "b46c0dc4",
    ("GenderConjugation", "Deque", "lstm"): "01a34ac9",
}
"""The configs of some published results."""


def test_the_runs_are_every_combination_seed_by_seed(tmp_path: Path) -> None:
    assert [run.name.rpartition("-")[0] for run in tiny_runs(tmp_path)] == [
        f"{task}-Stack-rnn-{seed}" for seed in (0, 1) for task in ("Copying", "Reversal")
    ]


def test_a_config_is_the_settings_of_a_run_and_nothing_else(tmp_path: Path) -> None:
    def config(recipe: object, **where: str) -> str:
        names = {"task": "Copying", "memory": "Stack", "cell": "rnn"} | where
        return Run(**names, seed=3, settings=recipe_of(tmp_path, recipe).settings(**names)).config

    other = json.loads(json.dumps(TINY))
    other["defaults"]["test"] = TINY["defaults"]["test"]
    other["exceptions"][1]["model"]["learning_rate"] = 0.2
    assert config(TINY) == config(TINY, task="Reversal") == config(other)
    assert config(TINY, cell="lstm") != config(other, cell="lstm")
    assert config(TINY, cell="lstm", task="Reversal") == config(TINY)


@pytest.mark.parametrize(("names", "config"), HEADLINES.items())
def test_published_results_keep_their_configs(names: tuple[str, str, str], config: str) -> None:
    task, memory, cell = names
    assert every_run(read_recipe(RECIPE), [task], [memory], [cell], [0])[0].config == config


def test_an_exception_overrides_and_null_is_the_default_of_the_class(tmp_path: Path) -> None:
    settings = recipe_of(tmp_path, TINY).settings(task="Copying", memory="NoMemory", cell="lstm")
    assert settings["memory"] == {}
    assert settings["test"]["hard"] == {}
    assert settings["model"] == {"hidden_size": 8, "embedding_size": 8, "learning_rate": 0.1}


def test_the_recipe_of_the_results_builds_every_run() -> None:
    for run in every_run(read_recipe(RECIPE), TASKS, ["Stack", "Queue", "Deque", "NoMemory"], ["rnn", "lstm"], [0]):
        model = cast("Controller", build.learner_of(run, build.task_of(run)))
        assert model.rnn.memory.heads == {"Deque": 2, "NoMemory": 0}.get(run.memory, 1)
        told = run.settings["model"]
        assert (model.rnn.read_noise, model.rnn.state_noise) == (told["read_noise"], told.get("state_noise", 0))
        assert (model.signal_penalty, model.rnn.read_gate is None) == (
            told["signal_penalty"],
            not told["read_gate"] or not model.rnn.memory.heads,
        )


@pytest.mark.parametrize("suite", SUITES)
def test_a_null_in_a_recipe_does_not_hide_a_number(suite: str) -> None:
    """It stands for the default, which is nothing for these settings; for `patience` it is 150, not unlimited."""
    nothing = {"push_bias", "pop_bias", "read_noise", "state_noise", "signal_noise", "signal_penalty", "decay_steps"}
    nothing |= {"width", "rounded", "rounded_every"}
    recipe = yaml.safe_load(SUITES[suite].recipe.read_text())
    its, others = (set(inspect.signature(model).parameters) for model in (SequenceModel, Controller))
    for section in (recipe["defaults"], *recipe["exceptions"], *recipe.get("budgets", {}).values()):
        lacking = others - its if section.get("where", {}).get("model") == "SequenceModel" else set()
        for name, settings in section.items():
            if name in ("memory", "model", "data", "training", "test"):
                assert {key for key, value in settings.items() if value is None} <= nothing | lacking


@pytest.mark.parametrize(
    ("exception", "message"),
    [
        ("{where: {task: Copying}, memory: {}}", "exception 1: .*because"),
        ("{where: {task: Copying}, because: x, training: {updates: 3}}", "unknown setting 'updates'"),
        ("{where: {task: Copying}, because: x, modle: {}}", "exception 1: unknown setting 'modle'"),
        ("{where: {task: Copying}, because: x, modle: {width: 3}}", "exception 1: unknown setting 'modle'"),
        ("{where: {tusk: Copying}, because: x}", "exception 1: unknown setting 'tusk'"),
        ("{where: Copying, because: x}", "exception 1: names with values were expected, not 'Copying'"),
        ("{where: {}, because: x}", "where is empty"),
        ("{because: x}", "where is empty"),
        ("{where: {task: Copyin}, because: x}", "where has the unknown task Copyin"),
        (
            "{where: {task: [Copying]}, because: x}",
            r"task is \['Copying'\], but text or null was",
        ),
        ("{where: {memory: Stak}, because: x}", "where has the unknown memory Stak"),
        ("{where: {cell: tanh}, because: x}", "where has the unknown cell tanh"),
        ("{where: {cell: 'rnn, layers'}, because: x}", "the cell layers and the model Controller, which no run has"),
        ("{where: {task: 'Copying,'}, because: x}", "where has an empty name among those of task: separate names by"),
        ("{where: {task: Copying, symbols: -4}, because: x}", "symbols in where is -4, but"),
        (
            "{where: {task: Copying}, because: x, data: {seed: 3}}",
            "data sets seed, which is that of the run: use --seeds",
        ),
        (
            "{where: {task: Copying}, because: x, data: {eval_size: 3}}",
            "use validation_size in training and size in test",
        ),
        (
            "{where: {task: Copying}, because: x, data: {text: ab}}",
            "data sets text, which only `ddstructs predict` reads",
        ),
        (
            "{where: {task: Copying}, because: x, data: {file: ab}}",
            "data sets file, which only `ddstructs predict` reads",
        ),
        ("{where: {task: Copying}, because: x, test: {rounded: true}}", "rounded is true, but without a metric only"),
        ("{where: {model: SequenceModel, cell: rnn}, because: x}", "the cell rnn and the model SequenceModel"),
        (
            "{where: {task: Copying}, because: x, training: 5}",
            "training is 5, but names with values were",
        ),
        ("{where: {task: Copying}, because: x, model: }", "model is None, but names with values were expected"),
        ("{where: {task: Copying}, because: x, model: {cell: gru}}", "use --cells"),
        ("{where: {task: Copying}, because: x, model: {memory: {class_path: Stack}}}", "memory in model is a mapping"),
        ("{where: {task: Copying}, because: x, test: {lengths: }}", "test in the exception for Copying: .*lengths"),
        ("{where: {task: Copying}, because: x, training: {max_updates: }}", "training in the exception .*max_updates"),
        ("a", "exception 1: names with values were expected, not 'a'"),
    ],
)
def test_an_exception_of_another_form_is_refused(exception: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        recipe_of(tmp_path, TINY | {"exceptions": [yaml.safe_load(exception)]})
    assert "\n" not in str(caught.value)
    assert "recipe.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [", "is not YAML"),
        ("", "names with values were expected"),
        ("[1]", "names with values were expected"),
        ("defaults: 3", "defaults is missing, or is not a mapping of the sections memory, model, data, training, test"),
        ("defaults: {memory: {}}", "the defaults: .*model"),
        ("exception: [{where: {task: Copying}, because: x}]", "unknown setting 'exception'"),
        ("exceptions: {a: 3}", "exceptions is not a list"),
        ("exceptions: text", "exceptions is not a list"),
        ("defaults: {foo: {}}", "the defaults: unknown setting 'foo'"),
        ("budgets: {default: {training: {max_updates: 5}}}", "a budget is named default, which stands for no budget"),
        ("1: 2", "names with values were expected"),
    ],
)
def test_a_recipe_of_another_form_is_refused(content: str, message: str, tmp_path: Path) -> None:
    data = yaml.safe_load(content) if "[" not in content[:5] else None
    if isinstance(data, dict) and not content.startswith(("defaults: 3", "defaults: {memory", "1")):
        data = data | {"defaults": TINY["defaults"] | data.get("defaults", {})}
        content = yaml.safe_dump(data)
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(tmp_path / "recipe.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("model", {"hiden_size": 3}, "the recipe does not fit Stack on Copying: .*hiden_size"),
        ("model", {"hiden_size": []}, "the recipe does not fit Stack on Copying: .*hiden_size"),
        ("model", {"signal_penalty": -1.0}, "the recipe does not fit Stack on Copying: signal_penalty is -1.0"),
        ("memory", {"width": -1}, "the recipe does not fit Stack: .*width"),
        ("data", {"start_length": 0}, "the recipe does not fit Copying: start_length is 0"),
        (
            "data",
            {"train_lengths": 5},
            "the recipe does not fit Copying: train_lengths is 5, but a list of two",
        ),
        (
            "data",
            {"train_lengths": [1, 8, 9]},
            "the recipe does not fit Copying: train_lengths is .* a list of two",
        ),
        (
            "data",
            {"batch_size": 2.5},
            "the recipe does not fit Copying: batch_size is 2.5, but a whole",
        ),
        (
            "model",
            {"learning_rate": "fast"},
            "the recipe does not fit Stack on Copying: learning_rate is 'fast', but",
        ),
        (
            "training",
            {"max_updates": "many"},
            "training in the defaults: max_updates is 'many', but a whole",
        ),
        ("training", {"validation_lengths": [9, 3]}, "the recipe does not fit Copying: val_lengths"),
        ("training", {"max_updates": 7, "validate_every": 2}, "max_updates is 7, but .* a multiple of validate_every"),
        ("training", {"validate_every": 0}, "validate_every is 0, but 1 or more was expected"),
        ("training", {"rounded_every": 2}, "rounded_every is 2, but validation is not rounded"),
        ("test", {"lengths": [6, 4]}, "the recipe does not fit Copying: test_lengths"),
        ("test", {"hard": {"foo": 2}}, "test in the defaults: hard is .*, but whole numbers with values were"),
        ("test", {"long": {8: "x"}}, "test in the defaults: long is .*, but whole numbers with values were"),
        ("test", {"long": {8: 0}}, "the size of long at 8 is 0, but 1 or more was expected"),
        ("test", {"hard": [8]}, "test in the defaults: hard is .8., but whole numbers with values were"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_before_anything_is_trained(
    section: str, values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        train.check(tiny_runs(tmp_path, recipe=changed(section, **values)))
    assert "\n" not in str(caught.value)


# Hostile and damaged files.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: &a [x]\n" + "".join(f"b{i}: &b{i} [*{x}, *{x}]\n" for i, x in enumerate(["a"])), None),
        (
            "b0: &b0 [x, x]\n" + "".join(f"b{i}: &b{i} [*b{i - 1}, *b{i - 1}]\n" for i in range(1, 15)),
            "it expands to more than 10000 parts",
        ),
        (
            "b0: &b0 {x: 1}\n" + "".join(f"b{i}: &b{i} {{<<: [*b{i - 1}, *b{i - 1}]}}\n" for i in range(1, 40)),
            "merge keys",
        ),
        ("a: &a [*a]", "nests deeper"),
        ("[" * 3000, "nests deeper"),
        ("x" * 1_000_001, "1000001 characters"),
        (f"a: {'9' * 5000}", "is not YAML"),
        ("a: 2020-13-45", "is not YAML"),
        ("a: 2020-01-01", "holds a date"),
        ("? [1]\n: 2", "is not YAML"),
        ("? 2020-01-01\n: 2", "holds a date"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("a: !!binary aGk=", "holds a bytes"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_yaml_is_read_within_limits(content: str, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(content)
    if message is None:
        assert load_yaml(tmp_path / "a.yaml", "a.yaml") == {"a": ["x"], "b0": [["x"], ["x"]]}
        return
    with pytest.raises(InputError, match=message) as caught:
        load_yaml(tmp_path / "a.yaml", "a.yaml")
    assert "\n" not in str(caught.value)


def test_a_number_needs_no_point(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("[5e-3, -1E+2, 5.e1, .5e1, 12, 5e, e3, '5e-3']")
    assert load_yaml(tmp_path / "a.yaml", "a.yaml") == [0.005, -100.0, 50.0, 5.0, 12, "5e", "e3", "5e-3"]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    values = {"b": [5e-3, "5e-3", "1E2", "12", 12, None, "null", True], "a": {"x": "yes", 3: ".5e1"}}
    assert load_yaml(dump_yaml(values), "the text") == values


def test_text_that_is_not_utf8_and_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not YAML"):
        load_yaml(tmp_path / "a.yaml", "a.yaml")
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(InputError, match="cannot read"):
            load_yaml(path, path.name)


def test_arguments_are_converted_and_nothing_unknown_is_passed_over() -> None:
    assert fit_arguments(sections.Testing, {"size": 9, "lengths": [1, 2]}) == {"size": 9, "lengths": (1, 2)}
    with pytest.raises(InputError, match="lengths is missing"):
        fit_arguments(sections.Testing, {"size": 9})
    values: list[Any] = [{}, [], None, 3, {"a": 1}]
    for unknown in values:
        with pytest.raises(InputError, match=r"unknown setting 'sizes'; did you mean size\?"):
            fit_arguments(sections.Testing, {"size": 9, "lengths": [1, 2], "sizes": unknown})


def test_damaged_recipes_are_read_or_refused_in_one_line(tmp_path: Path) -> None:
    draw, path = random.Random(0), tmp_path / "recipe.yaml"
    whole = [write_recipe(path, TINY).read_bytes(), RECIPE.read_bytes()]
    parts = [
        b"{",
        b"]",
        b": ",
        b"\n",
        b"- ",
        b"null",
        b"!!set",
        b"&a",
        b"*a",
        b"1e999",
        b".nan",
        b"'",
        b"\x00",
        b"\xff",
    ]
    read = 0
    for case in range(100):
        content = bytearray(whole[case % 10 == 0])
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(content))
            content[at : at + draw.choice([0, 1, 5, 80])] = draw.choice([b"", draw.choice(parts), content[:at][-30:]])
        path.write_bytes(content)
        refusal = refused(lambda: read_recipe(path))
        assert refusal is None or (str(path) in refusal and "\n" not in refusal)
        read += refusal is None
    assert 0 < read < 100


# The options.


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("777", [777]),
        ("0-3", [0, 1, 2, 3]),
        ("901,900,901", [901, 900]),
        ("5,0-2,1", [5, 0, 1, 2]),
        ("4294967295", [2**32 - 1]),
    ],
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: list[int]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    ["", "ten", "1;2", "-1", ",", "1,", "4294967296", "9-0", "0-10000", "1-2-3", "1.5", "0-", "99999999999999", "٣"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"--seeds is {text!r}")):
        parse_seeds(text)


def test_names_are_a_list_and_near_misses_are_told() -> None:
    assert choose("memory", "memories", "Queue, Stack,Queue") == ["Queue", "Stack"]
    with pytest.raises(InputError, match=r"did you mean Stack\?"):
        choose("memory", "memories", "Stak")
    with pytest.raises(InputError, match="unknown name 'Queue\\+'"):
        choose("memory", "memories", "Queue+")


def test_a_bank_is_named_by_its_members_which_have_the_same_settings(tmp_path: Path) -> None:
    recipe = changed("memory", width=6)
    recipe["exceptions"].append({"where": {"memory": "Queue+Stack"}, "because": "", "memory": {"width": 5}})
    names = choose("memory", "memories", "Queue+Stack, Stack, Stack+Stack")
    runs = every_run(recipe_of(tmp_path, recipe), ["Copying"], names, ["rnn"], [0])
    assert [str(build.memory_of(run)) for run in runs] == [
        str(Bank([Queue(5), Stack(5)])),
        str(Stack(6)),
        str(Bank([Stack(6), Stack(6)])),
    ]
    train.check(runs)


def test_members_that_do_not_fit_in_a_bank_are_refused(tmp_path: Path) -> None:
    runs = every_run(recipe_of(tmp_path, TINY), ["Copying"], ["NoMemory+Stack"], ["rnn"], [0])
    with pytest.raises(InputError, match=r"^the recipe does not fit NoMemory\+Stack: "):
        build.memory_of(runs[0])
