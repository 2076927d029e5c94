"""Which instructions do PyTorch's matrix products use here, and how fast are they?

Usage:  python bench/prepare/instructions.py OUTPUT    (with ONEDNN_VERBOSE=1 oneDNN names its implementations)

Writes GFLOP/s of a product 2048 x 768 x 3072 as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

ROWS, INNER, COLUMNS = 2048, 768, 3072


def gflops(dtype: torch.dtype) -> float:
    """The best of several repetitions."""
    left, right = torch.randn(ROWS, INNER, dtype=dtype), torch.randn(COLUMNS, INNER, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * ROWS * INNER * COLUMNS / best / 1e9


def main(output: str) -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    values = {"float32": gflops(torch.float32), "bfloat16": gflops(torch.bfloat16)}
    Path(output).write_text(json.dumps(values))


if __name__ == "__main__":
    main(sys.argv[1])
