"""What a contender is told and what it answers. Imported first, so that it sees how long the other imports take."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy


class Job:
    """The job that the command line names, and the report that it leaves."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
        self.report: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        return self.settings[key]

    def imported(self) -> None:
        """To be called when all imports are done: what they took does not grow with the job and is told apart."""
        self.report["import_seconds"] = time.time() - float(os.environ["BENCH_SPAWNED_AT"])

    def texts(self) -> list[str]:
        """The texts, one a line."""
        with open(self["input_file"], encoding="utf-8", newline="\n") as file:
            return [line.rstrip("\n") for line in file]

    def save_vectors(self, vectors: numpy.ndarray) -> None:
        numpy.save(self["output"], vectors.astype(numpy.float32, copy=False))

    def finish(self, tokens: int, **values: Any) -> None:
        """Writes the report: tokens without padding, with special tokens."""
        self.report |= {"tokens": int(tokens), **values}
        Path(self["report"]).write_text(json.dumps(self.report))


def mean_pooled(hidden: Any, mask: Any, normalize: bool) -> Any:
    """Mean of the states at real tokens, brought to length one where the model folder does so. NumPy or PyTorch."""
    mask = mask[:, :, None]
    vectors = (hidden * mask).sum(1) / mask.sum(1)
    return vectors / (vectors**2).sum(1)[:, None] ** 0.5 if normalize else vectors


def sorted_batches(lengths: list[int], rows: int) -> list[list[int]]:
    """Rows of like length together, so that padding is as little as it can be; the longest first."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    return [order[start : start + rows] for start in range(0, len(order), rows)]
