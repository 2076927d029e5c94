"""steep and its peers at the same jobs, in one run.

Usage:  python3 bench/run.py [--quick] [--only adapt:1,extract] [--packages FOLDER] …

Fetches what it needs, prepares it, lets all contenders do each job in turn, in processes of their own, several times,
and writes results/<machine>.json and .md. README.md says what is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import machine
import prepare
import results
import table
from commands import JobRun
from measure import ProcessFailed
from places import HERE, RESULTS, WORK, Places
from workloads import CONTENDERS, JOBS, Job

REFERENCE = "sentence_transformers"  # cosines are to its vectors
MACHINE_CHECKS = "machine"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--quick", action="store_true", help="smaller jobs, one repetition")
    add("--only", default="", help=f"some of {', '.join([*JOBS, MACHINE_CHECKS])}, or kinds of job; default all")
    add("--contenders", default="", help="some contenders by name, beside those that the results already have")
    add("--repetitions", type=int, help="how often each contender does a job; default 3, with --quick 1")
    add("--threads", type=int, default=os.cpu_count(), help="threads of every contender; default one a core")
    add("--packages", type=Path, help="folder of package descriptions, for workload 1; default sentences of articles")
    add("--python", help="a Python that has requirements.txt; default: one is made in target/bench")
    add("--steep", help="a steep program; default: the one of this tree is built")
    add("--machine", help="the name of the results; default: made of the processor's")
    add("--prepare", action="store_true", help="fetch, build and make everything, and measure nothing")
    add("--table", action="store_true", help="measure nothing, write the tables of the results that are there")
    add("--write-docs", action="store_true", help="put the tables into docs/performance.md too")
    return parser.parse_args()


def chosen(asked: str) -> tuple[list[Job], bool]:
    """The jobs asked for, by name or kind, and whether the machine itself is to be measured."""
    names = [name for name in asked.split(",") if name]
    known = {*JOBS, *CONTENDERS, MACHINE_CHECKS}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"error: --only: unknown {', '.join(unknown)}\nhint: choose from {', '.join(sorted(known))}")
    jobs = [job for name, job in JOBS.items() if not names or name in names or job.kind in names]
    return jobs, not names or MACHINE_CHECKS in names


class Bench:
    """One run of the bench."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        self.repetitions = asked.repetitions or (1 if asked.quick else 3)
        self.facts = machine.describe()
        self.name = asked.machine or machine.short_name(self.facts)
        self.results: dict[str, Any] = results.load(self.name)
        self.jobs, self.with_machine = chosen(asked.only)

    def prepare(self) -> Places:
        WORK.mkdir(parents=True, exist_ok=True)
        packages = self.asked.packages.resolve() if self.asked.packages else None
        places = Places(
            prepare.peers_python(self.asked.python),
            prepare.built_steep(self.asked.steep),
            prepare.package_index_files(),
            packages,
        )
        prepare.models(places)
        # Of all jobs, so that a run of some does not unmake the files of others.
        prepare.texts(places, list(JOBS.values()), self.asked.quick)
        prepare.pretend_intel()
        if self.with_machine:
            machine.build_peak()
        return places

    def measure_machine(self, places: Places) -> None:
        prepare.say("measuring what the machine can do")
        self.results["peak"] = machine.peak()
        self.results["matrix_products"] = machine.matrix_products(places)
        self.save()

    def measure(self, places: Places, job: Job) -> None:
        """Lets the contenders do a job in turn, so that a disturbance meets them all."""
        entry = self.entry_of(places, job)
        wanted = [name for name in self.asked.contenders.split(",") if name]
        contenders = [each for each in CONTENDERS[job.kind] if not wanted or each.name in wanted]
        fresh: dict[str, list[dict[str, Any]]] = {each.name: [] for each in contenders}
        for repetition in range(1 if job.kind == "memory" else self.repetitions):
            for contender in contenders:
                run = JobRun(places, job, contender, self.asked.quick, self.asked.threads)
                measured = run.execute()
                entry["facts"] = run.facts
                fresh[contender.name].append(measured)
                self.tell(job, contender.name, repetition, measured)
        entry["runs"] |= fresh
        if job.kind == "extract":
            entry["cosines"] = entry.get("cosines", {}) | self.cosines(places, job, list(fresh))
        self.results["jobs"][job.name] = entry
        self.save()

    def entry_of(self, places: Places, job: Job) -> dict[str, Any]:
        """A new entry; with --contenders, the one that is there, if it is of the same size."""
        former = self.results["jobs"].get(job.name, {})
        keep = self.asked.contenders and former.get("quick") == self.asked.quick
        source = "package descriptions" if places.packages else "sentences of articles"
        return (former if keep else {"runs": {}}) | {
            "quick": self.asked.quick,
            "texts": source if job.workload.texts == "short" else "articles",
            "steep": machine.steep_version(places),
            "measured": date.today().isoformat(),
        }

    @staticmethod
    def tell(job: Job, contender: str, repetition: int, run: dict[str, Any]) -> None:
        work = run["wall_seconds"] - run["import_seconds"]
        prepare.say(f"{job.name} {contender} {repetition + 1}: {run['tokens'] / work:,.0f} tokens/s, "
                    f"{run['wall_seconds']:.1f} s of them {run['import_seconds']:.1f} s imports, {run['cpu_seconds']:.1f} s of processors, "
                    f"{run['peak_rss_bytes'] / 1e6:,.0f} MB, others took {run['others_share']:.0%} of the machine")

    @staticmethod
    def cosines(places: Places, job: Job, names: list[str]) -> dict[str, dict[str, float]]:
        """Of the vectors of the last repetition to those of sentence-transformers."""
        folder, output = WORK / "vectors", WORK / "cosines.json"
        reference = folder / f"{job.workload.number}-{REFERENCE}.npy"
        others = [f"{name}={folder / f'{job.workload.number}-{name}.npy'}" for name in names if name != REFERENCE]
        if not others or not reference.exists():
            return {}
        prepare.call(places.python, HERE / "peers" / "compare_vectors.py", reference, output, *others)
        return json.loads(output.read_text())

    def save(self) -> None:
        results.save(self.name, self.results)
        (RESULTS / f"{self.name}.md").write_text(table.markdown(self.results))

    def write_tables(self) -> None:
        self.save()
        if self.asked.write_docs:
            table.write_document(self.results)
        print(table.markdown(self.results))

    def run(self) -> None:
        if self.asked.table:
            return self.write_tables()
        places = self.prepare()
        if self.asked.prepare:
            return None
        started = time.monotonic()
        self.results |= {"machine": self.facts, "versions": machine.versions(places)}
        if self.with_machine:
            self.measure_machine(places)
        for job in self.jobs:
            self.measure(places, job)
        prepare.say(f"measured in {(time.monotonic() - started) / 60:.1f} min; {results.path_of(self.name)}")
        return self.write_tables()


if __name__ == "__main__":
    try:
        Bench(arguments()).run()
    except ProcessFailed as failure:
        sys.exit(f"error: {failure}\nhint: the whole output is in {WORK / 'run' / 'log.txt'}")
