"""Loading a checkpoint takes memory in proportion to its size, and what is no checkpoint is refused."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from archives import ARCHIVES, compressed, overlapping, promised, promised_before
from checkpoints import checkpoint, saved, use, with_settings, with_task, with_weight
from torch import Tensor, nn

from ddstructs import Bank, InputError, Stack
from ddstructs.registry.describe import describe
from ddstructs.tasks import Reversal
from ddstructs.training.archive import Weight, outline
from ddstructs.training.checkpoint import TASK, read


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
import checkpoints as here
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


def test_a_limit_is_raised_by_giving_the_argument(tmp_path: Path) -> None:
    path = saved(with_task(eval_size=2_000_000), tmp_path / "model.ckpt")
    with pytest.raises(
        InputError,
        match=r"eval_size is 2000000 in .*, but at most 1000000 was expected: to allow it, set --data\.eval_size",
    ):
        read(path)
    read(path, given=["eval_size"])


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
