"""The results as Markdown."""

from __future__ import annotations

from typing import Any

import floor
from places import DOCUMENT
from results import Summary, summaries
from workloads import CONTENDERS, JOBS, KINDS, MEMORY_BAR_BYTES, WORKLOADS, Contender, bars

BEGIN, END = "<!-- figures of bench/run.py: begin -->", "<!-- figures of bench/run.py: end -->"

# Others took more than this share of the machine: the figure is no measurement.
DISTURBED = 0.05

HEADERS = {
    "adapt": ["tokens/s", "whole job", "steep is faster", "wanted", "possible", "steep's whole job", "peak memory", "final loss"],
    "finetune": ["tokens/s", "whole job", "steep is faster", "wanted", "possible", "steep's whole job", "peak memory", "final loss"],
    "extract": ["tokens/s", "texts/s", "whole job", "steep is faster", "wanted", "possible", "steep's whole job",
                "peak memory",
                "cosine, mean (least)"],
    "memory": ["peak memory", "wanted"],
}


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def header(cells: list[str], labels: int) -> list[str]:
    return [row(cells), "|" + "---|" * labels + "---:|" * (len(cells) - labels)]


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"


def factor(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} ×"


class JobTable:
    """The rows of one job."""

    def __init__(self, name: str, entry: dict[str, Any], peaks: dict[str, float]) -> None:
        self.job, self.entry, self.found, self.peaks = JOBS[name], entry, summaries(entry), peaks

    def lines(self) -> list[str]:
        present = [contender for contender in CONTENDERS[self.job.kind] if contender.name in self.found]
        labels = [self.job.workload.title] + [""] * len(present)
        return [row([label, each.title, *self.cells(each)]) for label, each in zip(labels, present)]

    def cells(self, contender: Contender) -> list[str]:
        summary = self.found[contender.name]
        if self.job.kind == "memory":
            wanted = f"at most {megabytes(MEMORY_BAR_BYTES)}" if contender.name == "steep" else ""
            return [megabytes(summary.peak_rss_bytes), wanted]
        mark = " †" if summary.others_share > DISTURBED else ""
        speed = [f"{summary.rate:,.0f} ± {summary.spread:.0%}{mark}"]
        if self.job.kind == "extract":
            speed.append(f"{self.entry['facts']['rows'] / summary.work_seconds:,.0f}")
        quality = self.cosine(contender) if self.job.kind == "extract" else f"{summary.final_loss:.3f}"
        whole = f"{summary.wall_seconds:.1f} s"
        return [*speed, whole, *self.against(contender, summary), megabytes(summary.peak_rss_bytes), quality]

    def against(self, contender: Contender, summary: Summary) -> list[str]:
        """How much faster steep is at the work, wants to be and could be, and how much faster the whole job is."""
        steep = self.found.get(contender.rival)
        if steep is None or contender.is_steep:
            return ["", "", "", ""]
        wanted = bars(self.job.kind, self.job.workload.number).get(contender.name)
        return [factor(steep.rate / summary.rate), factor(wanted), factor(self.possible(contender.rival, summary.rate)),
                factor(summary.wall_seconds / steep.wall_seconds)]

    def possible(self, rival: str, rate: float) -> float | None:
        """How much faster a program could be that did nothing but multiply, at the processor's peak."""
        precision = "int8" if rival == "steep_int8" else "bfloat16" if "bfloat16" in self.peaks else "float32"
        limits = floor.tokens_per_second(self.job.name, self.entry["facts"], self.peaks)
        return limits[precision] / rate if precision in limits else None

    def cosine(self, contender: Contender) -> str:
        cosine = self.entry.get("cosines", {}).get(contender.name)
        return f"{cosine['mean']:.6f} ({cosine['smallest']:.6f})" if cosine else "reference"


def of_kind(kind: str, results: dict[str, Any]) -> list[str]:
    entries = [(name, results["jobs"][name]) for name, job in JOBS.items() if job.kind == kind and name in results["jobs"]]
    if not entries:
        return []
    lines = [f"**{KINDS[kind]}**", "", *header(["workload", "program", *HEADERS[kind]], 2)]
    for name, entry in entries:
        lines += JobTable(name, entry, results.get("peak", {})).lines()
    return [*lines, ""]


def of_jobs(results: dict[str, Any]) -> list[str]:
    """What the jobs were."""
    lines = header(["job", "rows", "tokens", "steps", "texts", "repetitions", "others' share", "steep", "measured"], 1)
    for name, job in JOBS.items():
        if entry := results["jobs"].get(name):
            facts, quick = entry["facts"], entry["quick"]
            repetitions = max(map(len, entry["runs"].values()))
            others = max(summary.others_share for summary in summaries(entry).values())
            lines.append(row([name, f"{facts['rows']:,}", f"{facts['tokens']:,}", f"{job.steps(quick) or ''}",
                              entry["texts"], str(repetitions), f"{others:.0%}", entry["steep"], entry["measured"]]))
    return [*lines, ""]


def of_floor(results: dict[str, Any]) -> list[str]:
    """Arithmetic per token, the most tokens a second, and steep's share of it."""
    peaks = results.get("peak")
    if not peaks:
        return []
    rates = ", ".join(f"{precision} {peak / 1e9:,.0f}" for precision, peak in sorted(peaks.items()))
    precisions = [precision for precision in ("float32", "bfloat16") if precision in peaks]
    titles = [f"most in {precision}" for precision in precisions] + [f"steep's share of {each}" for each in precisions]
    lines = [f"**Floor**: peak of all cores, 10⁹ operations a second: {rates}.", "",
             *header(["job", "MFLOP per token", *titles], 1)]
    for name, job in JOBS.items():
        entry = results["jobs"].get(name)
        if entry and job.kind != "memory" and "steep" in (found := summaries(entry)):
            limits = floor.tokens_per_second(name, entry["facts"], peaks)
            shares = floor.shares(results, name, found["steep"].rate)
            lines.append(row([name, f"{floor.operations_per_token(name, entry['facts']) / 1e6:.1f}",
                              *(f"{limits[each]:,.0f}" for each in precisions),
                              *(f"{shares[each]:.0%}" for each in precisions)]))
    return [*lines, ""]


def of_machine(results: dict[str, Any]) -> list[str]:
    machine = results["machine"]
    lines = [f"**Machine**: {machine['processor']} (family/model {machine['family_and_model']}), {machine['cores']} cores, "
             f"{machine['memory_bytes'] / 2**30:.0f} GiB, {machine['system']}; {', '.join(machine['instruction_sets'])}."]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    lines.append(f"**Peers**: {versions}.")
    if products := results.get("matrix_products"):
        users, expert = products["users"], products["expert"]
        lines.append(
            f"**PyTorch's matrix products** (2048 × 768 × 3072, GFLOP/s): f32 as it comes {users['float32']:,.0f}, with MKL's "
            f"AVX-512 kernels {expert['float32']:,.0f}, bf16 {expert['bfloat16']:,.0f} "
            f"({', '.join(products['bfloat16_implementations']) or 'not by oneDNN'}).")
    return ["  \n".join(lines), ""]


def markdown(results: dict[str, Any]) -> str:
    lines = of_machine(results)
    for kind in KINDS:
        lines += of_kind(kind, results)
    lines += [f"† Other processes took more than {DISTURBED:.0%} of the machine meanwhile: no measurement, only a hint.", ""]
    return "\n".join([*lines, *of_floor(results), "**Jobs**", "", *of_jobs(results)])


def write_document(results: dict[str, Any]) -> None:
    """Puts the figures between the marks of docs/performance.md."""
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{markdown(results)}\n{END}{after}")


def workload_list() -> str:
    return "; ".join(f"{workload.number}: {workload.title}" for workload in WORKLOADS.values())
