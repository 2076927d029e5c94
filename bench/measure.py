"""How long does a process run, and how much memory does it take at most?"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

# Settings of numerical libraries that a machine may bring along. A contender gets none that it did not ask for.
LIBRARY_PREFIXES = ("OPENBLAS_", "MKL_", "OMP_", "KMP_", "DNNL_", "ONEDNN_", "ATEN_", "NVPL_", "TORCH", "RAYON_")

SPAWNED_AT = "BENCH_SPAWNED_AT"


class ProcessFailed(Exception):
    """A contender ended with an error; the message holds the end of what it printed."""


@dataclass(frozen=True)
class Usage:
    """What a process took, from its start to its end."""

    wall_seconds: float
    cpu_seconds: float  # of all its threads
    peak_rss_bytes: int
    others_share: float  # of the machine's processor time, what went to other processes meanwhile; 0 where it is not told


def clean_environment(extra: dict[str, str]) -> dict[str, str]:
    """This process's environment without settings of numerical libraries, with nothing to be fetched, and `extra`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(LIBRARY_PREFIXES)}
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true", "PYTHONWARNINGS": "ignore"}
    return kept | quiet | extra


def busy_seconds() -> float:
    """Processor time that all processes have taken since the machine started; 0 where there is no /proc/stat."""
    try:
        numbers = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return 0.0
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts, stolen = numbers
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def run(command: list[str], environment: dict[str, str], log: Path) -> Usage:
    """Runs a command to its end. What it prints goes to `log`.

    The peak is `ru_maxrss` of the process as the kernel gives it to whoever waits for it, so it counts the process
    from its first byte, and of its own children the largest.
    """
    with open(log, "wb") as output:
        started, busy = time.perf_counter(), busy_seconds()
        spawned = {SPAWNED_AT: repr(time.time())}
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment | spawned)
        _, status, usage = os.wait4(process.pid, 0)
        wall, busy = time.perf_counter() - started, busy_seconds() - busy
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        end = log.read_text(errors="replace")[-2000:]
        raise ProcessFailed(f"exit code {process.returncode} of {' '.join(command)}\n{end}")
    own = usage.ru_utime + usage.ru_stime
    others = max(0.0, busy - own) / wall / (os.cpu_count() or 1)
    return Usage(wall, own, usage.ru_maxrss * 1024, others)
