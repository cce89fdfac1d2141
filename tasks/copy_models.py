"""Language models of copies and counts: languages that are not context-free."""

from __future__ import annotations

from typing import final

from ddstructs.tasks.language_model import LanguageModel
from ddstructs.tasks.repeated import Repeated

__all__ = [
    "CountAndCopyModel",
    "CountingModel",
    "MarkedCopyModel",
    "MarkedReversalAndCopyModel",
    "RecodedCopyModel",
    "UnmarkedCopyModel",
    "UnmarkedReversalAndCopyModel",
]


@final
class CountingModel(LanguageModel):
    """Model the language `a^n b^n c^n`, such as `a a b b c c`: only the length is uncertain.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2023, *The Surprising Computational Power of Nondeterministic Stack RNNs*.
    """

    language = Repeated("abc", "a^n b^n c^n")
    example = "aabbcc"


@final
class MarkedCopyModel(LanguageModel):
    """Model the language `w # w`, such as `0 1 # 0 1`.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2023, *The Surprising Computational Power of Nondeterministic Stack RNNs*.
    """

    language = Repeated("01#", "w # w")
    example = "01#01"


@final
class UnmarkedCopyModel(LanguageModel):
    """Model the language `w w`, such as `0 1 0 1`.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2023, *The Surprising Computational Power of Nondeterministic Stack RNNs*.
    """

    language = Repeated("01", "w w")
    example = "0101"


@final
class RecodedCopyModel(LanguageModel):
    """Model the language `w w'`, where `w'` is `w` in other symbols, such as `0 1 2 3`.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2023, *The Surprising Computational Power of Nondeterministic Stack RNNs*.
    """

    language = Repeated("0123", "w w'")
    example = "0123"


@final
class MarkedReversalAndCopyModel(LanguageModel):
    """Model the language `w # w^R # w`, such as `0 1 # 1 0 # 0 1`.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2023, *The Surprising Computational Power of Nondeterministic Stack RNNs*.
    """

    language = Repeated("01#", "w # w^R # w")
    example = "01#10#01"


@final
class UnmarkedReversalAndCopyModel(LanguageModel):
    """Model the language `w w^R w`, such as `0 1 1 0 0 1`.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2023, *The Surprising Computational Power of Nondeterministic Stack RNNs*.
    """

    language = Repeated("01", "w w^R w")
    example = "011001"


@final
class CountAndCopyModel(LanguageModel):
    """Model the language `w #^n w`, where n is the length of `w`, such as `0 1 # # 0 1`.

    Args:
        settings: The settings of every language model, see `LanguageModel`.

    Reference:
        DuSell & Chiang 2023, *The Surprising Computational Power of Nondeterministic Stack RNNs*.
    """

    language = Repeated("01#", "w #^n w")
    example = "01##01"
