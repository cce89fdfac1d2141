"""The catalog: everything that can be selected by name. Adding a memory, cell, model, task or command takes one line.

A name maps to `package.module:Class`. `ddstructs list` and `--help` show the first sentence of its docstring.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CALLBACKS", "CELLS", "COMMANDS", "KINDS", "LOGGERS", "MEMORIES", "MODELS", "TASKS", "Kind"]

MEMORIES = {
    "Stack": "ddstructs.stack:Stack",
    "Queue": "ddstructs.queue:Queue",
    "Deque": "ddstructs.deque:Deque",
    "Bank": "ddstructs.bank:Bank",
    "SuperpositionStack": "ddstructs.superposition.stack:SuperpositionStack",
    "Tape": "ddstructs.tape:Tape",
    "NoMemory": "ddstructs.bank:NoMemory",
}

CELLS = {
    "rnn": "torch.nn.modules.rnn:RNNCell",
    "lstm": "torch.nn.modules.rnn:LSTMCell",
    "gru": "torch.nn.modules.rnn:GRUCell",
    "deep": "ddstructs.nn.deep:DeepCell",
}

MODELS = {
    "Controller": "ddstructs.training.controller:Controller",
    "SequenceModel": "ddstructs.training.sequence_model:SequenceModel",
}
"""Values of `--model`, and the classes whose checkpoints can be read. The first one is the default."""

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
    "UnmarkedReversalModel": "ddstructs.tasks.unmarked_reversal:UnmarkedReversalModel",
    "PaddedReversalModel": "ddstructs.tasks.padded_reversal:PaddedReversalModel",
    "DyckModel": "ddstructs.tasks.dyck:DyckModel",
    "HardestModel": "ddstructs.tasks.hardest_language:HardestModel",
    "CountAndCopyModel": "ddstructs.tasks.copy_models:CountAndCopyModel",
    "CountingModel": "ddstructs.tasks.copy_models:CountingModel",
    "MarkedCopyModel": "ddstructs.tasks.copy_models:MarkedCopyModel",
    "MarkedReversalAndCopyModel": "ddstructs.tasks.copy_models:MarkedReversalAndCopyModel",
    "RecodedCopyModel": "ddstructs.tasks.copy_models:RecodedCopyModel",
    "UnmarkedCopyModel": "ddstructs.tasks.copy_models:UnmarkedCopyModel",
    "UnmarkedReversalAndCopyModel": "ddstructs.tasks.copy_models:UnmarkedReversalAndCopyModel",
    "PythonSource": "ddstructs.tasks.python_source:PythonSource",
    "MarkedReversalRecognition": "ddstructs.tasks.marked_reversal:MarkedReversalRecognition",
    "CycleNavigationRecognition": "ddstructs.tasks.regular_recognition:CycleNavigationRecognition",
    "EvenPairsRecognition": "ddstructs.tasks.regular_recognition:EvenPairsRecognition",
    "FirstRecognition": "ddstructs.tasks.regular_recognition:FirstRecognition",
    "ModularArithmeticRecognition": "ddstructs.tasks.regular_recognition:ModularArithmeticRecognition",
    "ParityRecognition": "ddstructs.tasks.regular_recognition:ParityRecognition",
    "RepeatRecognition": "ddstructs.tasks.regular_recognition:RepeatRecognition",
    "DyckRecognition": "ddstructs.tasks.dyck:DyckRecognition",
    "UnmarkedReversalRecognition": "ddstructs.tasks.unmarked_reversal:UnmarkedReversalRecognition",
    "MarkedCopyRecognition": "ddstructs.tasks.copy_recognition:MarkedCopyRecognition",
    "MissingDuplicateRecognition": "ddstructs.tasks.copy_recognition:MissingDuplicateRecognition",
    "BucketSortRecognition": "ddstructs.tasks.order_recognition:BucketSortRecognition",
    "OddsFirstRecognition": "ddstructs.tasks.order_recognition:OddsFirstRecognition",
    "MajorityRecognition": "ddstructs.tasks.majority:MajorityRecognition",
    "StackManipulationRecognition": "ddstructs.tasks.stack_recognition:StackManipulationRecognition",
    "BinaryProductRecognition": "ddstructs.tasks.binary_recognition:BinaryProductRecognition",
    "BinarySumRecognition": "ddstructs.tasks.binary_recognition:BinarySumRecognition",
    "SquareRootRecognition": "ddstructs.tasks.binary_recognition:SquareRootRecognition",
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
"""Values of `--trainer.callbacks`. Arguments that are functions or Lightning objects can only be set in Python."""

LOGGERS = {
    "CSVLogger": "pytorch_lightning.loggers.csv_logs:CSVLogger",
    "TensorBoardLogger": "pytorch_lightning.loggers.tensorboard:TensorBoardLogger",
}
"""Values of `--trainer.logger`: loggers that write files and contact no server."""

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
"""Each command is a function whose parameters are its options, or that takes `arguments` and parses them itself."""


class Kind(NamedTuple):
    """A kind of class that can be selected by name.

    Attributes:
        table: Those of this package, by name.
        option: The option of `ddstructs fit` that selects one.
        group: Entry-point group in which other packages register theirs, as `Name = "package.module:Class"`; None if
            they cannot.
        base: The class that all of them subclass.
    """

    table: dict[str, str]
    option: str
    group: str | None
    base: str


KINDS = {
    "memory": Kind(MEMORIES, "--model.memory", "ddstructs.memories", "ddstructs.memory:Memory"),
    "cell": Kind(CELLS, "--model.cell", "ddstructs.cells", "torch.nn:Module"),
    "model": Kind(MODELS, "--model", None, "ddstructs.training.learner:Learner"),
    "task": Kind(TASKS, "--data", "ddstructs.tasks", "ddstructs.tasks.task:Task"),
    "callback": Kind(CALLBACKS, "--trainer.callbacks", None, "pytorch_lightning:Callback"),
    "logger": Kind(LOGGERS, "--trainer.logger", None, "pytorch_lightning.loggers:Logger"),
}
