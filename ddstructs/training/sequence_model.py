"""The LightningModule with memories as layers: a transformer, a pure memory network, or a mixture of both."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from torch import Tensor, nn

from ddstructs.memory import Memory
from ddstructs.nn.attention import CausalAttention, Position, check_position
from ddstructs.nn.block import Block, LayersState
from ddstructs.nn.layer import MemoryLayer
from ddstructs.nn.recurrent import Cell, Recurrent, check_cell
from ddstructs.nn.rnn import MemoryRNN
from ddstructs.registry.describe import describe
from ddstructs.registry.ranges import Finite, Positive, Range, Size, Spread, check_ranges
from ddstructs.registry.spec import build
from ddstructs.training.embedding import SymbolEmbedding
from ddstructs.training.learner import Learner, MemoryActions, Outcome
from ddstructs.training.scoring import Scoring

__all__ = ["SequenceModel"]

Layer = Literal["attention", "memory", "recurrent"]


class SequenceModel(Learner):
    """An embedding of the symbols, layers in residual blocks, and a linear layer that scores the next symbol.

    The layers are given as a list: `["memory"]` is a pure memory network, `["attention"] * 5` with a feed-forward part
    is a transformer, and `["attention", "memory", "attention"]` is a mixture. Training, decoding, checkpoints and
    traces work as for a `Controller`. Decoding uses a cache: the state of each layer.

    Args:
        memory: The memory of the memory layers, each of which has its own; `NoMemory()` if there are none.
        input_symbols: Number of input symbols, `task.input_symbols`.
        output_symbols: Number of output symbols, `task.output_symbols`. The last one is the end symbol; the others,
            when fed back, are the last of the input symbols.
        layers: The layers from the input to the output, each `"attention"` (causal), `"memory"` (a `MemoryLayer`),
            `"recurrent"` or, in Python, any module that a `Block` takes.
        embed_dim: Size of an embedded symbol, and of the vectors between layers.
        num_heads: Number of heads of a memory layer and of an attention layer.
        feed_forward: Size of the feed-forward part of each block; none if not given.
        dropout: Dropout probability of what each layer adds.
        position: Encoding of positions in attention, see `CausalAttention`.
        max_length: Maximum number of positions, if they are learned.
        embed_std: Standard deviation of the initial embeddings. Small embeddings soon become alike where symbols are
            used alike, which a memory layer of one head needs to learn surely; attention learns text faster from 1.
        cell: Type of the recurrent layers.
        push_bias: Initial bias of push, around which those of the heads are spread, see `MemoryLayer`.
        pop_bias: Initial bias of pop, likewise.
        spread: Spread of the initial biases over the heads.
        signal_noise: Standard deviation of the noise in training on the logits of push and pop, see `MemoryLayer`. With
            it one head is enough, and signals stay near 0 and 1.
        read_noise: Standard deviation of the noise on reads in training.
        saturation: Margin within which push and pop count as 0 or 1 outside training, see `MemoryLayer`. Use 0 if the
            network has to count, as in a language model of strings of limited length.
        signal_penalty: Weight in training of the penalty on fractions, see `Controller`.
        hard: Whether to round push and pop to 0 or 1.
        learning_rate: Learning rate of Adam.
        decay_steps: Number of updates over which the learning rate decays linearly to a twentieth, where it stays;
            constant if not given.
        noise_steps: Number of updates with noise in training; it goes on without noise, as the model is used. All
            updates have noise if not given. A fresh start begins the count anew.
        clip: Maximum norm of the gradient, unless the trainer sets one.

    Raises:
        ValueError: If a size, rate or noise is out of range, a layer is unknown, or a memory layer has no memory.
        TypeError: If an argument is of the wrong type.

    Example:
        >>> from ddstructs import SequenceModel, Stack
        >>> from ddstructs.tasks import Reversal
        >>> task = Reversal()
        >>> model = SequenceModel(Stack(64), task.input_symbols, task.output_symbols, layers=["memory"])
        >>> model.blocks[0].layer
        MemoryLayer(
          128, num_heads=4, batch_first=True, hard=False
          (memory): Stack(64)
          (to_action): Linear(in_features=128, out_features=264, bias=True)
          (out_proj): Linear(in_features=256, out_features=128, bias=True)
        )
    """

    def __init__(
        self,
        memory: Memory,
        input_symbols: Size,
        output_symbols: Size,
        layers: Sequence[Layer | nn.Module] = ("memory",),
        embed_dim: Size = 128,
        num_heads: Size = 4,
        feed_forward: Size | None = None,
        dropout: Annotated[float, Range(0, 1)] = 0.0,
        position: Position = "rotary",
        max_length: Size = 4096,
        embed_std: Positive = 0.1,
        cell: Cell = "lstm",
        push_bias: Finite | Sequence[Finite] | None = None,
        pop_bias: Finite | Sequence[Finite] | None = None,
        spread: Spread = 1.0,
        signal_noise: Spread = 2.0,
        read_noise: Spread = 0.0,
        saturation: Annotated[float, Range(0, 0.499)] = 0.1,
        signal_penalty: Spread = 0.0,
        hard: bool = False,
        learning_rate: Positive = 5e-3,
        decay_steps: Size | None = None,
        noise_steps: Size | None = None,
        clip: Positive = 1.0,
    ) -> None:
        given = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        check_ranges(SequenceModel.__init__, given)
        check_position(position)
        check_cell(cell)
        super().__init__()
        if not layers or isinstance(layers, str):
            raise ValueError(f"layers is {layers!r}, but a list of one or more was expected, such as ['memory']")
        given["layers"] = [build(layer) for layer in layers]
        self.save_hyperparameters({name: _plain(value) for name, value in given.items()})
        self.input_symbols = input_symbols
        self.output_symbols = output_symbols
        self.embed_std = embed_std
        self.signal_penalty = signal_penalty
        self.learning_rate = learning_rate
        self.decay_steps = decay_steps
        self.noise_steps = noise_steps
        self.clip = clip
        self.embed = SymbolEmbedding(input_symbols, embed_dim)
        options = {name: given[name] for name in given.keys() & inspect.signature(MemoryLayer).parameters.keys()}

        def made(layer: Layer | nn.Module) -> nn.Module:
            match layer:
                case "memory":
                    return MemoryLayer(**options)
                case "attention":
                    return CausalAttention(embed_dim, num_heads, position, max_length)
                case "recurrent":
                    return Recurrent(embed_dim, cell)
                case nn.Module():
                    return layer
            raise ValueError(f"unknown layer {layer!r}: choose from attention, memory, recurrent, or pass a module")

        self.blocks = nn.ModuleList(Block(embed_dim, made(layer), feed_forward, dropout) for layer in given["layers"])
        self.norm = nn.LayerNorm(embed_dim)
        self.classify = nn.Linear(embed_dim, output_symbols)
        self.scoring = Scoring(None, self.memories)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the embeddings anew; those of torch are of standard deviation 1."""
        nn.init.normal_(self.embed.weight, std=self.embed_std)

    @property
    def places(self) -> list[int]:
        kinds = (MemoryLayer, MemoryRNN)
        return [i for i, block in enumerate(self.blocks) if isinstance(cast("Block", block).layer, kinds)]

    def run(
        self, symbols: Tensor, state: LayersState | None = None, lengths: Tensor | Sequence[int] | None = None
    ) -> Outcome:
        blocks = cast("list[Block]", list(self.blocks))
        states = self._states_of(state)
        x, used, after = self.embed(symbols), [], []
        for block, before in zip(blocks, states, strict=True):
            x, carried, actions = block.unroll(x, before, lengths)
            after.append(carried)
            if actions is not None:
                used.append(MemoryActions(cast("Memory", block.layer.memory), actions))
        return Outcome(self.classify(self.norm(x)), tuple(used), LayersState(tuple(after)))

    def _states_of(self, state: LayersState | None) -> tuple[Any, ...]:
        """The state of each layer.

        Raises:
            TypeError: If `state` is not that of layers.
            ValueError: If it is that of another number of them.
        """
        if state is None:
            return (None,) * len(self.blocks)
        if not isinstance(state, LayersState):
            raise TypeError(f"state is of type {type(state).__name__}, but that of an earlier outcome was expected")
        if len(state.states) != len(self.blocks):
            raise ValueError(f"state is of {len(state.states)} layers, but this model has {len(self.blocks)}")
        return state.states


def _plain(value: object) -> object:
    """A setting in the form that a checkpoint stores; a module that plain data cannot build is named, and given anew.

    Such a model is loaded with `load_from_checkpoint(path, layers=[...])`.
    """
    if isinstance(value, nn.Module):
        try:
            return describe(value)
        except TypeError:
            return {"class_path": f"{type(value).__module__}.{type(value).__qualname__}", "init_args": {}}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value
