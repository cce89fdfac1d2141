"""A model of layers is traced as any other, one layer and one head at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ddstructs import Controller, Deque, Memory, MemoryLayer, Queue, SequenceModel, Stack, Tape, diagnose, trace
from ddstructs.cli.main import main
from ddstructs.tasks import MarkedReversalModel, Reversal
from ddstructs.tasks.batch import IGNORE
from ddstructs.view.trace import Trace

MIXTURE = ["attention", "memory", "recurrent", "memory"]


def model(task: Any, layers: Any = ("memory",), memory: Memory | None = None) -> SequenceModel:
    torch.manual_seed(1)
    return SequenceModel(
        memory or Stack(4), task.input_symbols, task.output_symbols, layers=layers, embed_dim=8, num_heads=2
    )


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("memory", [Stack(3), Deque(3), Tape(3)], ids=lambda memory: type(memory).__name__)
def test_a_trace_of_a_layer_is_what_one_head_does(memory: Memory, batch_first: bool) -> None:
    torch.manual_seed(0)
    layer = MemoryLayer(6, memory, num_heads=3, batch_first=batch_first)
    x = torch.randn(2, 5, 6)
    worked = layer.unroll(x)
    for head in range(3):
        seen = trace(layer, x if batch_first else x.transpose(0, 1), head=head)
        numbers = memory.signals.numbers(worked.actions)
        torch.testing.assert_close(seen.signals.float(), numbers[head::3].detach())
        torch.testing.assert_close(seen.value.float(), worked.actions.value[head::3].detach())
        torch.testing.assert_close(seen.reads.float(), worked.reads[head::3].detach())
        torch.testing.assert_close(seen.output.float(), worked.output.detach())
        assert seen.title == f"{type(memory).__name__}, head {head}"


def test_a_trace_of_a_model_is_what_one_layer_and_head_does() -> None:
    task = Reversal(symbols=5)
    made = model(task, MIXTURE).eval()
    symbols = torch.randint(task.input_symbols, (2, 7))
    told = made.run(symbols).actions
    for place, layer in enumerate((1, 3)):
        for head in range(2):
            seen = trace(made, symbols, layer=layer, head=head)
            torch.testing.assert_close(seen.push.float(), told[place].actions.push[head::2].detach())
            assert seen.title == f"Stack, layer {layer}, head {head}"
    first = trace(made, symbols)
    assert first.to_json() == trace(made, symbols, layer=1, head=0).to_json()


@pytest.mark.parametrize("layers", [["memory"], MIXTURE], ids=["memory", "mixture"])
def test_a_model_of_layers_reads_the_source_and_then_answers_greedily(layers: list[str]) -> None:
    task, texts = Reversal(symbols=5), ["abcd", "", "ab"]
    made = model(task, layers)
    seen = trace(made, texts, task=task, head=1)
    batch = task.assemble(*task.sources(texts))
    decoded = made.decode(batch)
    for row in range(len(texts)):
        assert seen.output[row][seen.output[row] >= 0].tolist() == decoded[row][decoded[row] >= 0].tolist()
        text = [symbol for symbol in seen.output_text[row] if symbol]
        assert text == [task.output_name(symbol) for symbol in decoded[row].tolist() if symbol != IGNORE]
        assert not seen.push[row, int(seen.lengths[row]) :].any()
    assert made.training
    assert not any(worker.hard for worker in made.memory_modules)
    made.eval()
    for worker in made.memory_modules:
        worker.hard = True
    hard = made(seen.input).argmax(dim=-1)
    asked = seen.output != IGNORE
    assert torch.equal(seen.rounded[asked], hard[asked])


def test_a_language_model_of_layers_is_traced_on_a_batch() -> None:
    task = MarkedReversalModel(train_lengths=(3, 3), test_lengths=(3, 3), eval_size=2)
    batch = next(iter(task.val_dataloader()))
    seen = trace(model(task, MIXTURE, Queue(4)), batch, task=task, layer=3)
    assert seen.title == "MarkedReversalModel with a Queue, layer 3, head 0"
    assert str(diagnose(seen))


@pytest.mark.parametrize(
    ("layers", "options", "message"),
    [
        (MIXTURE, {"layer": 0}, "layer 0 has no memory: 1 or 3 was expected, counted from 0"),
        (MIXTURE, {"layer": 4}, "layer 4 has no memory: 1 or 3 was expected"),
        (MIXTURE, {"head": 2}, "head is 2, but a number from 0 to 1 was expected"),
        (MIXTURE, {"head": -1}, "head is -1, but a number from 0 to 1 was expected"),
        (["attention"], {}, "this SequenceModel has no memory to trace"),
    ],
)
def test_what_there_is_not_is_refused(layers: list[str], options: dict[str, Any], message: str) -> None:
    task = Reversal(symbols=5)
    with pytest.raises(ValueError, match=f"^{message}"):
        trace(model(task, layers), "ab", task=task, **options)


def test_a_layer_is_asked_only_of_what_has_layers() -> None:
    task = Reversal(symbols=5)
    made = Controller(Stack(2), task.input_symbols, task.output_symbols, hidden_size=4, embedding_size=4)
    assert trace(made, "ab", task=task, layer=0, head=0).to_json() == trace(made, "ab", task=task).to_json()
    with pytest.raises(ValueError, match=r"^layer 1 has no memory: 0 was expected"):
        trace(made, "ab", task=task, layer=1)
    with pytest.raises(ValueError, match=r"^head is 1, but this memory has a single one: leave head out, or give 0$"):
        trace(made, "ab", task=task, head=1)
    with pytest.raises(ValueError, match=r"^layer is 0, but a MemoryLayer has no layers: leave layer out"):
        trace(MemoryLayer(4, Stack(2)), torch.zeros(1, 2, 4), layer=0)


def test_the_command_shows_one_layer_and_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sizes = [
        "--model.embed_dim=8",
        "--model.num_heads=2",
        "--model.memory.width=4",
        "--model.layers=[recurrent,memory]",
    ]
    few = ["--data.batch_size=2", "--data.batches_per_epoch=1", "--data.eval_size=2", "--trainer.max_epochs=1"]
    fit = ["fit", "--data=Reversal", "--model=SequenceModel", "--model.memory=Stack", *sizes, *few]
    assert main([*fit, "--trainer.accelerator=cpu", "--trainer.enable_progress_bar=false"]) == 0
    ckpt = "--ckpt_path=runs/version_0/checkpoints/best.ckpt"
    for out in ("a.json", "a.html"):
        assert main(["trace", ckpt, "--text=abc", "--layer=1", "--head=1", f"--out={out}"]) == 0
    made = SequenceModel.load_from_checkpoint(ckpt.partition("=")[2])
    expected = trace(made, ["abc"], task=Reversal(), layer=1, head=1)
    assert Trace.load("a.json").to_json() == expected.to_json()
    assert "Reversal with a Stack, head 1" in Path("a.html").read_text()
    for option, message in (("--layer=0", "layer 0 has no memory"), ("--head=5", "head is 5, but")):
        capsys.readouterr()
        assert main(["trace", ckpt, "--text=abc", option]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
