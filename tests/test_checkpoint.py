"""Loading a checkpoint takes memory in proportion to its size, and its weights go only where they belong."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from ddstructs import Bank, Controller, Deque, InputError, Queue, Stack
from ddstructs.__main__ import main
from ddstructs.registry.describe import describe
from ddstructs.tasks import Reversal
from ddstructs.training.archive import Weight, outline
from ddstructs.training.checkpoint import RANDOM, TASK, random_state, read

TINY: dict[str, Any] = {"hidden_size": 8, "embedding_size": 4}


def checkpoint(**settings: Any) -> dict[str, Any]:
    """The content of a checkpoint of a controller."""
    task = Reversal(symbols=8)
    torch.manual_seed(0)
    model = Controller(settings.pop("memory", Stack(4)), task.input_symbols, task.output_symbols, **TINY | settings)
    return {
        "pytorch-lightning_version": "2.6.6",
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        TASK: describe(task),
        RANDOM: random_state(),
    }


def saved(content: object, path: Path, **options: Any) -> Path:
    torch.save(content, path, **options)
    return path


def use(path: Path) -> None:
    """Read a checkpoint and build its model and task, as the commands do."""
    Controller.rehearse(read(path), path)
    Controller.load_from_checkpoint(path)


def with_settings(**settings: Any) -> dict[str, Any]:
    content = checkpoint()
    return content | {"hyper_parameters": content["hyper_parameters"] | settings}


def with_task(**arguments: Any) -> dict[str, Any]:
    content = checkpoint()
    return content | {TASK: content[TASK] | {"init_args": content[TASK]["init_args"] | arguments}}


def with_weight(change: Callable[[Tensor], Any]) -> dict[str, Any]:
    content = checkpoint()
    weights = content["state_dict"]
    return content | {"state_dict": weights | {"embed.weight": change(weights["embed.weight"])}}


def doubled(levels: int) -> list[Any]:
    """A list that expands to 2^levels parts."""
    part: list[Any] = ["x"]
    for _ in range(levels):
        part = [part, part]
    return part


def of_itself() -> list[Any]:
    part: list[Any] = []
    part.append(part)
    return part


GREEDY: dict[str, Callable[[], dict[str, Any]]] = {
    "a hidden state of a million": lambda: with_settings(hidden_size=10**6),
    "a hidden state beyond any": lambda: with_settings(hidden_size=10**30),
    "an embedding of a billion": lambda: with_settings(embedding_size=10**9),
    "symbols without end": lambda: with_settings(input_symbols=10**10),
    "a cell of 3.6 GB": lambda: with_settings(
        cell={"class_path": "torch.nn.Linear", "init_args": {"in_features": 30000, "out_features": 30000}}
    ),
    "a gated cell of 40 GB": lambda: with_settings(
        cell={"class_path": "torch.nn.GRUCell", "init_args": {"input_size": 8, "hidden_size": 60000}}
    ),
    "a wide memory": lambda: with_settings(memory=describe(Stack(4)) | {"init_args": {"width": 10**8}}),
    "a billion sequences": lambda: with_task(eval_size=10**9),
    "long sequences": lambda: with_task(test_lengths=[1, 10**9]),
    "many long sequences": lambda: with_task(test_lengths=[1, 10**6], eval_size=10**4),
    "a large batch of long ones": lambda: with_task(train_lengths=[1, 10**6], batch_size=10**5, curriculum=False),
    "shared settings": lambda: with_settings(push_bias=doubled(60)),
    "shared settings without a place": lambda: with_settings(wings=doubled(24)),
    "shared arguments": lambda: with_task(text=doubled(60)),
    "shared memories": lambda: with_settings(
        memory=describe(Bank([Stack(4)])) | {"init_args": {"memories": doubled(60)}}
    ),
    "shared callbacks": lambda: checkpoint() | {"callbacks": doubled(60)},
    "a list of itself": lambda: with_settings(push_bias=of_itself()),
    "a callback of itself": lambda: checkpoint() | {"callbacks": of_itself()},
    "a number stretched over a gigabyte": lambda: with_weight(lambda w: torch.zeros(1).expand(2**28)),
    "a number stretched over a terabyte": lambda: with_weight(lambda w: torch.zeros(1).expand(2**20, 2**20)),
    "a number stretched to the right shape": lambda: with_weight(lambda w: torch.zeros(1).expand(w.shape)),
    "optimizer stretched": lambda: checkpoint() | {"optimizer_states": [torch.zeros(1).expand(2**40)]},
}  # fmt: skip

FOREIGN: dict[str, Callable[[], dict[str, Any]]] = {
    "meta": lambda: with_weight(lambda w: w.to("meta")),
    "sparse": lambda: with_weight(lambda w: w.to_sparse()),
    "compressed rows": lambda: with_weight(lambda w: w.to_sparse_csr()),
    "quantized": lambda: with_weight(lambda w: torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)),
    "whole numbers": lambda: with_weight(lambda w: w.long()),
    "complex numbers": lambda: with_weight(lambda w: w.to(torch.complex64)),
    "eight bits": lambda: with_weight(lambda w: w.to(torch.float8_e4m3fn)),
    "another shape": lambda: with_weight(lambda w: w[:-1]),
    "no axes": lambda: with_weight(lambda w: w.sum()),
    "no numbers": lambda: with_weight(lambda w: w / 0),
    "nested": lambda: with_weight(lambda w: torch.nested.as_nested_tensor([w[0], w[0]])),
    "a weight more": lambda: {**checkpoint(), "state_dict": checkpoint()["state_dict"] | {"wings": torch.zeros(2)}},
    "a weight less": lambda: {**checkpoint(), "state_dict": {"embed.weight": torch.zeros(18, 4)}},
    "no version": lambda: checkpoint() | {"pytorch-lightning_version": None},
    "a version of letters": lambda: checkpoint() | {"pytorch-lightning_version": "x.y"},
    "a version upside down": lambda: checkpoint() | {"pytorch-lightning_version": "2..6.6"},
    "a version without end": lambda: checkpoint() | {"pytorch-lightning_version": "1" * 10**6 + "x" * 100},
    "a version of lists": lambda: checkpoint() | {"pytorch-lightning_version": [2, 6]},
    "an array of bytes": lambda: checkpoint() | {"x": bytearray(10)},
}  # fmt: skip


@pytest.mark.parametrize("case", [*GREEDY, *FOREIGN])
def test_a_checkpoint_of_what_no_model_is_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    with warnings.catch_warnings(action="ignore"):  # some tensor types are in beta or deprecated
        saved((GREEDY | FOREIGN)[case](), path)
    random = torch.get_rng_state()
    with pytest.raises(InputError) as caught:
        use(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600
    assert torch.equal(torch.get_rng_state(), random)


PEAK = """
import json, resource, sys
from pathlib import Path
import test_checkpoint as here
from ddstructs import InputError
here.use(here.saved(here.checkpoint(), Path(sys.argv[1]) / "good.ckpt"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[2:]:
    try:
        here.use(Path(path))
    except InputError:
        continue
    raise SystemExit(f"{path} is not refused")
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))
"""


def test_what_is_refused_takes_no_memory(tmp_path: Path) -> None:
    """In a separate process, whose peak covers all cases."""
    paths = [saved(make(), tmp_path / f"{i}.ckpt") for i, make in enumerate(GREEDY.values())]
    paths += [bomb(tmp_path / f"{bomb.__name__}.ckpt") for bomb in (compressed, overlapping, promised, promised_before)]
    command = [sys.executable, "-c", PEAK, str(tmp_path), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) < 100_000, "kilobytes"


# Archives.


def compressed(path: Path) -> Path:
    """Many megabytes of zeros in a few kilobytes."""
    whole = io.BytesIO()
    torch.save(checkpoint(), whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
        with target.open("archive/data/99", "w") as record:
            for _ in range(64):
                record.write(bytes(2**22))
    return path


def overlapping(path: Path) -> Path:
    """Records without compression that share their bytes."""
    saved(checkpoint() | {"ballast": torch.zeros(2**18)}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        start, records = archive.start_dir, archive.infolist()
    largest = max(records, key=lambda record: record.file_size)
    entries = b""
    for i in range(200):
        name = f"{largest.filename}{i}".encode()
        entries += struct.pack(
            "<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, largest.CRC, largest.file_size, largest.file_size,
            len(name), 0, 0, 0, 0, 0, largest.header_offset,
        ) + name  # fmt: skip
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = archive.start_dir
    directory = content[start : content.rindex(b"PK\6\6")] + entries
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(records) + 200, len(records) + 200, len(directory), size, 0)
    path.write_bytes(content[:start] + directory + end)
    return path


def promised(path: Path) -> Path:
    """An archive whose pickle declares a storage of a gigabyte."""
    saved(checkpoint() | {"ballast": torch.arange(77_777, dtype=torch.uint8)}, path)
    return replaced(path, pickled(77_777), pickled(2**30))


def promised_before(path: Path) -> Path:
    """The same in the older format, for which torch allocates before it reads."""
    saved(checkpoint() | {"ballast": torch.arange(77_777)}, path, _use_new_zipfile_serialization=False)
    return replaced(path, pickled(77_777), pickled(2**30))


def pickled(number: int) -> bytes:
    """A number of up to four bytes, encoded as in pickle protocol 2."""
    return b"J" + struct.pack("<i", number)


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    """A different pickle of the same length, in an archive or on its own."""
    content = path.read_bytes()
    assert old in content
    if content[:2] != b"PK":
        path.write_bytes(content.replace(old, new))
        return path
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(old, new))
    return path


def foreign_comment(path: Path) -> Path:
    saved(checkpoint(), path)
    content = path.read_bytes()
    path.write_bytes(content[:-2] + b"\x05\x00hello")
    return path


def moved(path: Path) -> Path:
    """An archive after other bytes, which some readers find and others do not."""
    saved(checkpoint(), path)
    content = path.read_bytes()
    path.write_bytes(content[:64] + content)
    return path


def twice(path: Path) -> Path:
    """Two records whose names torch considers equal."""
    saved(checkpoint(), path)
    with zipfile.ZipFile(path, "a") as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/DATA.pkl", b"x")
    return path


ARCHIVES = [compressed, overlapping, promised, promised_before, foreign_comment, moved, twice]


@pytest.mark.parametrize("make", ARCHIVES, ids=lambda make: make.__name__)
def test_an_archive_that_is_not_what_it_says_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=f"{path} is (refused|damaged)") as caught:
        read(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "progress",
    [
        *({"drawn": -1}, {"drawn": 1.5}, {"drawn": True}, {"seed": -1}, {"seed": "0"}, {"seed": 2**64}),
        *({"stages": {"restarts": 10**12}}, {"stages": {"restarts": -2}}, {"stages": {"batches": 0.5}}),
        {"stages": {"stage": float("inf")}},
    ],
    ids=str,
)
def test_a_position_that_no_task_reaches_is_refused(progress: dict[str, Any], tmp_path: Path) -> None:
    name = checkpoint()[TASK]["class_path"].rpartition(".")[2]
    path = saved(checkpoint() | {name: progress}, tmp_path / "model.ckpt")
    with pytest.raises(InputError, match="the progress of its task is missing or invalid"):
        read(path)


@pytest.mark.parametrize("stage", [1e-9, 1e300])
def test_a_stage_outside_the_curriculum_is_brought_inside(stage: float) -> None:
    """So that a file cannot ask for a batch that no machine holds."""
    task = Reversal(train_lengths=(1, 8), seed=0)
    state = task.state_dict()
    task.load_state_dict(state | {"stages": state["stages"] | {"stage": stage}})
    assert 1 <= task.stages.stage <= 8
    assert task._draw_training().inputs.shape[1] <= 2 + 2 * 8


@pytest.mark.parametrize("zipped", [True, False])
def test_the_outline_of_a_file_is_what_loading_gives(zipped: bool, tmp_path: Path) -> None:
    content = checkpoint() | {
        "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}],
        "odd": [None, True, -1, 2**80, 1.5, "ü", (), (1, 2, 3, 4), {"a": {}}, b"\x00\xff", {1, 2}, torch.Size([2, 3])],
        "parameter": nn.Parameter(torch.zeros(2, 3)),
        "transposed": torch.zeros(2, 3).T,
        "part": torch.arange(10)[3:5],
        "empty": torch.zeros(0, 3),
        "numbers": [torch.zeros(1, dtype=dtype) for dtype in (torch.bool, torch.int8, torch.float16, torch.bfloat16)],
    }
    path = saved(content, tmp_path / "model.ckpt", _use_new_zipfile_serialization=zipped)

    def outlined(part: Any) -> Any:
        if isinstance(part, Tensor):
            return Weight(part.dtype, tuple(part.shape))
        if isinstance(part, dict | OrderedDict):
            return {name: outlined(value) for name, value in part.items()}
        if isinstance(part, list | tuple):
            return type(part)(outlined(value) for value in part) if type(part) is not torch.Size else tuple(part)
        return part

    assert outline(path) == outlined(content)
    read(path)


def test_the_pickle_of_a_checkpoint_has_no_code_to_run(tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    class Attack:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (marker,)

    for attack in (Attack(), {"a": [Attack()]}):
        path = tmp_path / "model.ckpt"
        path.write_bytes(pickle.dumps(attack, 2))
        with pytest.raises(InputError):
            read(path)
        with pytest.raises(pickle.UnpicklingError):
            outline(saved(checkpoint() | {"x": attack}, path))
    assert not marker.exists()


# What weights are of.


def test_a_limit_is_raised_by_giving_the_argument(tmp_path: Path) -> None:
    path = saved(with_task(eval_size=2_000_000), tmp_path / "model.ckpt")
    with pytest.raises(
        InputError,
        match=r"eval_size is 2000000 in .*, but at most 1000000 was expected: to allow it, set --data\.eval_size",
    ):
        read(path)
    read(path, given=["eval_size"])


def test_attributes_of_the_weights_are_not_used(tmp_path: Path) -> None:
    content = checkpoint()
    weights = OrderedDict(content["state_dict"])
    for metadata in (3, {"": 3}, {"": {"version": "x"}}, None):
        weights._metadata = metadata  # type: ignore[attr-defined]
        use(saved(content | {"state_dict": weights}, tmp_path / "model.ckpt"))
    weights.keys = "no method"  # type: ignore[assignment, method-assign]
    with pytest.raises(InputError, match="is refused"):
        use(saved(content | {"state_dict": weights}, tmp_path / "model.ckpt"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"memory": Queue(4)}, r"with memory Stack\(width=4\), not Queue\(width=4\)"),
        ({"memory": Deque(4)}, "do not fit|with memory"),
        ({"cell": "gru"}, "do not fit|with cell"),
        ({"hidden_size": 9}, "do not fit|with hidden_size"),
        ({"read_gate": True}, "do not fit|with read_gate"),
        ({"learn_initial": False}, "do not fit|with learn_initial"),
    ],
)
def test_weights_are_not_used_for_another_model(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = saved(checkpoint(), tmp_path / "model.ckpt")
    with pytest.raises(InputError, match=message):
        Controller.load_from_checkpoint(path, **settings)


def test_what_does_not_change_the_meaning_of_weights_can_be_set_anew(tmp_path: Path) -> None:
    path = saved(checkpoint(), tmp_path / "model.ckpt")
    model = Controller.load_from_checkpoint(path, hard=True, learning_rate=1.0, read_noise=0.5, memory=Stack(4))
    assert model.rnn.hard
    assert model.learning_rate == 1.0


def test_loading_draws_no_random_numbers(tmp_path: Path) -> None:
    path = saved(checkpoint(), tmp_path / "model.ckpt")
    random = torch.manual_seed(5).get_state()
    Controller.load_from_checkpoint(path)
    assert torch.equal(torch.get_rng_state(), random)


def test_half_precision_weights_are_loaded(tmp_path: Path) -> None:
    content = checkpoint()
    halved = {
        name: weight.bfloat16() if weight.is_floating_point() else weight
        for name, weight in content["state_dict"].items()
    }
    use(saved(content | {"state_dict": halved}, tmp_path / "model.ckpt"))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of a run stopped in the middle of its second epoch."""
    folder = tmp_path_factory.mktemp("run")
    task = Reversal(symbols=8, eval_size=2, batches_per_epoch=3, test_lengths=(2, 4))
    model = Controller(Stack(4), task.input_symbols, task.output_symbols, **TINY)
    quiet: dict[str, Any] = dict.fromkeys(
        ["logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"], False
    )
    trainer = Trainer(accelerator="cpu", max_steps=5, default_root_dir=folder, limit_val_batches=0, **quiet)
    trainer.fit(model, task)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


OVERRIDES = [
    ("test", "--model.memory=Queue", "with memory Stack(width=4), not Queue"),
    ("validate", "--model.memory.width=8", "with memory Stack(width=4), not Stack(width=8)"),
    ("fit", "--model.memory=Queue", "with memory Stack(width=4), not Queue"),
    ("fit", "--model.hidden_size=32", "with hidden_size 8, not 32"),
    ("test", "--model.cell=lstm", "with cell rnn, not lstm"),
    ("test", "--data.symbols=10", "with input_symbols 18, not 22: keep the symbols of the task as they are"),
    ("fit", "--data.symbols=10", "with input_symbols 18, not 22: keep the symbols of the task as they are"),
    ("fit", "--trainer.max_steps=5", "is complete after 1 epochs and 5 updates, and --trainer.max_steps is 5"),
    ("fit", "--trainer.max_epochs=1", "is complete after 1 epochs and 5 updates"),
]


@pytest.mark.parametrize(("command", "option", "expected"), OVERRIDES)
def test_a_command_that_cannot_use_a_checkpoint_says_so_and_leaves_nothing(
    command: str,
    option: str,
    expected: str,
    stopped: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ddstructs", command, f"--ckpt_path={stopped}", option])
    with warnings.catch_warnings():
        assert main() == 2
    said = capsys.readouterr()
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert not said.out
    assert list(tmp_path.iterdir()) == []
