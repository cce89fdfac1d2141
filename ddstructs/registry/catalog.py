"""Everything that has a name: memories, cells, tasks, commands. One line registers one.

A name stands for `package.module:Class`. What `ddstructs list` says of it is the first sentence of its docstring.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CALLBACKS", "CELLS", "COMMANDS", "KINDS", "LOGGERS", "MEMORIES", "TASKS", "Kind"]

MEMORIES = {
    "Stack": "ddstructs.stack:Stack",
    "Queue": "ddstructs.queue:Queue",
    "Deque": "ddstructs.deque:Deque",
    "Bank": "ddstructs.bank:Bank",
    "SuperpositionStack": "ddstructs.superposition:SuperpositionStack",
    "Tape": "ddstructs.tape:Tape",
    "NoMemory": "ddstructs.bank:NoMemory",
}

CELLS = {
    "rnn": "torch.nn.modules.rnn:RNNCell",
    "lstm": "torch.nn.modules.rnn:LSTMCell",
    "gru": "torch.nn.modules.rnn:GRUCell",
}

TASKS = {
    "Copying": "ddstructs.tasks.copying:Copying",
    "Reversal": "ddstructs.tasks.reversal:Reversal",
    "BigramFlipping": "ddstructs.tasks.bigram_flipping:BigramFlipping",
    "SVOtoSOV": "ddstructs.tasks.svo_to_sov:SVOtoSOV",
    "GenderConjugation": "ddstructs.tasks.gender_conjugation:GenderConjugation",
    "BinaryAddition": "ddstructs.tasks.binary_addition:BinaryAddition",
    "ReverseString": "ddstructs.tasks.reverse_string:ReverseString",
    "EvenPairs": "ddstructs.tasks.regular_answers:EvenPairs",
    "ParityCheck": "ddstructs.tasks.regular_answers:ParityCheck",
    "CycleNavigation": "ddstructs.tasks.regular_answers:CycleNavigation",
    "ModularArithmetic": "ddstructs.tasks.regular_answers:ModularArithmetic",
    "StackManipulation": "ddstructs.tasks.stack_manipulation:StackManipulation",
    "ModularArithmeticBrackets": "ddstructs.tasks.bracket_answers:ModularArithmeticBrackets",
    "SolveEquation": "ddstructs.tasks.bracket_answers:SolveEquation",
    "DuplicateString": "ddstructs.tasks.duplicates:DuplicateString",
    "MissingDuplicate": "ddstructs.tasks.duplicates:MissingDuplicate",
    "OddsFirst": "ddstructs.tasks.odds_first:OddsFirst",
    "BinarySum": "ddstructs.tasks.binary_numbers:BinarySum",
    "BinaryProduct": "ddstructs.tasks.binary_numbers:BinaryProduct",
    "SquareRoot": "ddstructs.tasks.binary_numbers:SquareRoot",
    "BucketSort": "ddstructs.tasks.bucket_sort:BucketSort",
    "MarkedReversalModel": "ddstructs.tasks.marked_reversal:MarkedReversalModel",
    "MarkedReversalRecognition": "ddstructs.tasks.marked_reversal:MarkedReversalRecognition",
}

CALLBACKS = {
    "Finished": "ddstructs.training.stopping:Finished",
    "TraceCallback": "ddstructs.view.callback:TraceCallback",
    "ModelCheckpoint": "pytorch_lightning.callbacks.model_checkpoint:ModelCheckpoint",
    "EarlyStopping": "pytorch_lightning.callbacks.early_stopping:EarlyStopping",
    "LearningRateMonitor": "pytorch_lightning.callbacks.lr_monitor:LearningRateMonitor",
    "Timer": "pytorch_lightning.callbacks.timer:Timer",
    "StochasticWeightAveraging": "pytorch_lightning.callbacks.stochastic_weight_avg:StochasticWeightAveraging",
    "GradientAccumulationScheduler": "pytorch_lightning.callbacks.gradient_accumulation_scheduler:"
    "GradientAccumulationScheduler",
    "DeviceStatsMonitor": "pytorch_lightning.callbacks.device_stats_monitor:DeviceStatsMonitor",
    "TQDMProgressBar": "pytorch_lightning.callbacks.progress.tqdm_progress:TQDMProgressBar",
    "RichProgressBar": "pytorch_lightning.callbacks.progress.rich_progress:RichProgressBar",
}
"""What `--trainer.callbacks` takes. Arguments that are functions or objects of Lightning can only be set in Python."""

LOGGERS = {
    "CSVLogger": "pytorch_lightning.loggers.csv_logs:CSVLogger",
    "TensorBoardLogger": "pytorch_lightning.loggers.tensorboard:TensorBoardLogger",
}
"""What `--trainer.logger` takes: those that write files, and nothing to a server."""

COMMANDS = {
    "list": "ddstructs.cli.list:show",
    "fit": "ddstructs.cli.train:fit",
    "validate": "ddstructs.cli.train:validate",
    "test": "ddstructs.cli.train:test",
    "predict": "ddstructs.cli.train:predict",
    "trace": "ddstructs.cli.trace:trace",
    "export": "ddstructs.cli.export:export",
    "reproduce": "ddstructs.cli.reproduce:reproduce",
    "sweep": "ddstructs.cli.sweep:sweep",
}
"""A command is a function, and its parameters are its options; one that takes `arguments` reads them itself."""


class Kind(NamedTuple):
    """A kind of thing that can be named.

    Attributes:
        table: What we have of it.
        option: The option of `ddstructs fit` that takes a name.
        group: The entry-point group in which other packages register theirs: `Name = "package.module:Class"`.
        base: What each is a subclass of.
    """

    table: dict[str, str]
    option: str
    group: str | None
    base: str


KINDS = {
    "memory": Kind(MEMORIES, "--model.memory", "ddstructs.memories", "ddstructs.memory:Memory"),
    "cell": Kind(CELLS, "--model.cell", "ddstructs.cells", "torch.nn:Module"),
    "task": Kind(TASKS, "--data", "ddstructs.tasks", "ddstructs.tasks.task:Task"),
    "callback": Kind(CALLBACKS, "--trainer.callbacks", None, "pytorch_lightning:Callback"),
    "logger": Kind(LOGGERS, "--trainer.logger", None, "pytorch_lightning.loggers:Logger"),
}
