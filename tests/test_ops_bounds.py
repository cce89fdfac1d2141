"""The CPU kernels stay inside their arrays; compiled code would read beside them without a word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_no_kernel_reads_or_writes_outside_its_arrays(tmp_path: Path) -> None:
    here = Path(__file__).parent
    done = subprocess.run(
        [sys.executable, here / "bounds_program.py"],
        env=os.environ
        | {
            "NUMBA_BOUNDSCHECK": "1",
            "NUMBA_CACHE_DIR": str(tmp_path),  # what is compiled without the check must not be found
            "PYTHONPATH": os.pathsep.join([str(here), str(here.parent)]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "every index is inside its array\n", done.stderr
