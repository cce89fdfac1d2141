"""What there is to choose from, in words: read without importing any of it, for that takes seconds."""

from __future__ import annotations

from importlib.metadata import entry_points

__all__ = ["CELLS", "GROUP", "MEMORIES", "TASKS", "render"]

GROUP = "ddstructs.memories"
"""The entry-point group in which a package registers its memories: `Name = "package.module:Class"`."""

MEMORIES = {
    "Stack": "A differentiable stack: the value pushed last is read and popped first.",
    "Queue": "A differentiable queue: the value pushed first is read and popped first.",
    "Deque": "A differentiable double-ended queue: values are pushed, popped and read at the top and at the bottom.",
    "Bank": "Several memories side by side as one: its heads are theirs, one after another.",
    "SuperpositionStack": "A stack by superposition: each step mixes what a push, a pop and a no-op would make of it.",
    "Tape": "A tape by superposition: in each step the head writes, moves, and reads where it has come to.",
    "NoMemory": "No memory: zero heads, nothing stored, nothing read. The baseline of the paper.",
}

CELLS = {
    "rnn": "A plain recurrent cell (Elman).",
    "lstm": "Long short-term memory.",
    "gru": "A gated recurrent unit.",
}

TASKS = {
    "Copying": "Repeat the source: `a b c d` becomes `a b c d`. What a queue is for.",
    "Reversal": "Say the source backwards: `a b c d` becomes `d c b a`. What a stack is for.",
    "BigramFlipping": "Swap the symbols of each pair: `a b c d` becomes `b a d c`. Lengths are even.",
    "SVOtoSOV": "Move the verb of a sentence to its end: `si1 vi2 oi3` becomes `so1 oo3 vo2`.",
    "GenderConjugation": "Choose each article by the gender of the noun that follows: `the em1 and a ef2` becomes "
    "`der gm1 und eine gf2`.",
    "BinaryAddition": "Add two binary numbers, digit by digit from the least significant: the classic first exercise "
    "for an RNN.",
}


def render() -> str:
    """The memories, those of other packages included, the cells and the tasks, a line each."""
    plugins = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        package = entry.dist.metadata if entry.dist else None
        summary = f"{package['Summary'] or 'no summary'} ({package['Name']})" if package else entry.value
        plugins[entry.value.rpartition(":")[2]] = summary
    sections = {
        "Memories (--model.memory)": MEMORIES | plugins,
        "Cells (--model.cell)": CELLS,
        "Tasks (--data)": TASKS,
    }
    width = max(len(name) for table in sections.values() for name in table)
    return "\n\n".join(
        "\n".join([title, *(f"  {name:{width}}  {line}" for name, line in table.items())])
        for title, table in sections.items()
    )
