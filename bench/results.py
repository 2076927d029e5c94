"""The file of a machine's results: every run of every contender, and what is made of them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from statistics import mean, median
from typing import Any

from places import RESULTS


def path_of(machine: str) -> Path:
    return RESULTS / f"{machine}.json"


def load(machine: str) -> dict[str, Any]:
    path = path_of(machine)
    return json.loads(path.read_text()) if path.exists() else {"jobs": {}}


def save(machine: str, results: dict[str, Any]) -> None:
    """Written beside and renamed, so that a stop leaves the former file."""
    RESULTS.mkdir(exist_ok=True)
    partial = path_of(machine).with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1) + "\n")
    os.replace(partial, path_of(machine))


class Summary:
    """What the runs of one contender come to; medians over the repetitions."""

    def __init__(self, runs: list[dict[str, Any]]) -> None:
        self.runs = runs
        self.wall_seconds = median(run["wall_seconds"] for run in runs)
        self.import_seconds = median(run["import_seconds"] for run in runs)
        self.peak_rss_bytes = median(run["peak_rss_bytes"] for run in runs)
        self.work_seconds = median(self._work_seconds(run) for run in runs)
        self.rate = median(self._rate(run) for run in runs)

    @staticmethod
    def _work_seconds(run: dict[str, Any]) -> float:
        """The whole job but Python's imports, which do not grow with it."""
        return run["wall_seconds"] - run["import_seconds"]

    @classmethod
    def _rate(cls, run: dict[str, Any]) -> float:
        return run["tokens"] / cls._work_seconds(run)

    @property
    def spread(self) -> float:
        """Half of the distance between the best and the worst repetition, as a share of the median."""
        rates = [self._rate(run) for run in self.runs]
        return (max(rates) - min(rates)) / 2 / self.rate

    @property
    def others_share(self) -> float:
        """The largest share of the machine that other processes took during a repetition."""
        return max(run["others_share"] for run in self.runs)

    @property
    def final_loss(self) -> float | None:
        """The mean training loss of the last quarter of the steps, over all repetitions."""
        means = [self._last_quarter(run["losses"]) for run in self.runs if run.get("losses")]
        return mean(means) if means else None

    @staticmethod
    def _last_quarter(losses: list[tuple[int, float]]) -> float:
        last_step = losses[-1][0]
        return mean(loss for step, loss in losses if step > 0.75 * last_step)


def summaries(entry: dict[str, Any]) -> dict[str, Summary]:
    """Of one job's contenders, by name."""
    return {name: Summary(runs) for name, runs in entry["runs"].items() if runs}
