"""How much arithmetic does a token need, and how fast could a machine be at most?

Per token and layer, forward: the four projections of attention 8 h², the two of the feed-forward network 4 h f, and
attention itself 4 h L, L being the length of the token's sequence. A masked-language-model head costs 2 (h² + h V) at a
masked token. A backward pass costs twice the forward one. Norms, activations, softmax and the optimizer are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workloads import JOBS, MLM_PROBABILITY


@dataclass(frozen=True)
class Encoder:
    """Sizes of an encoder with a feed-forward network of four times its width."""

    layers: int
    hidden_size: int
    vocabulary: int = 30_522

    def forward(self, length: float) -> float:
        """Operations per token in sequences of that length."""
        hidden = self.hidden_size
        return self.layers * (8 * hidden**2 + 16 * hidden**2 + 4 * hidden * length)

    def head(self) -> float:
        """Operations per masked token."""
        return 2 * (self.hidden_size**2 + self.hidden_size * self.vocabulary)


ENCODERS = {"minilm": Encoder(6, 384), "distilbert": Encoder(6, 768)}


def operations_per_token(job_name: str, facts: dict[str, int]) -> float:
    """Of a job whose texts have these facts: rows, tokens and squared_tokens."""
    job = JOBS[job_name]
    encoder = ENCODERS[job.workload.encoder]
    forward = encoder.forward(facts["squared_tokens"] / facts["tokens"])
    if job.kind == "extract":
        return forward
    if job.kind == "finetune":
        return 3 * forward
    ordinary = (facts["tokens"] - 2 * facts["rows"]) / facts["tokens"]
    return 3 * (forward + MLM_PROBABILITY * ordinary * encoder.head())


def tokens_per_second(job_name: str, facts: dict[str, int], peaks: dict[str, float]) -> dict[str, float]:
    """The most that a machine with these peaks can do, by precision."""
    operations = operations_per_token(job_name, facts)
    return {precision: peak / operations for precision, peak in peaks.items()}


def shares(results: dict[str, Any], job_name: str, rate: float) -> dict[str, float]:
    """Which share of the most possible a rate is, by precision."""
    limits = tokens_per_second(job_name, results["jobs"][job_name]["facts"], results["peak"])
    return {precision: rate / limit for precision, limit in limits.items()}
