"""What is measured: workloads, jobs with their sizes, contenders and bars. All other files read it from here."""

from __future__ import annotations

import math
from dataclasses import dataclass

SEED = 42
MLM_PROBABILITY = 0.15
WARMUP_SHARE = 0.1
WEIGHT_DECAY = 0.01
LOSSES_LOGGED = 20  # entries of the loss in a job, so that logging costs nobody anything


@dataclass(frozen=True)
class Workload:
    """An encoder on texts of one kind, cut to one length."""

    number: int
    title: str
    encoder: str  # minilm or distilbert, see prepare/
    texts: str  # short or articles, see prepare/texts.py
    max_seq_length: int
    rows_per_step: int
    learning_rate: float
    normalize: bool  # whether the model folder brings vectors to length one


WORKLOADS = {
    1: Workload(1, "MiniLM (6 layers, 384), short texts", "minilm", "short", 128, 32, 1e-4, True),
    2: Workload(2, "MiniLM (6 layers, 384), articles at 256 tokens", "minilm", "articles", 256, 16, 1e-4, True),
    3: Workload(3, "DistilBERT (6 layers, 768), articles at 128 tokens", "distilbert", "articles", 128, 16, 5e-5, False),
}


@dataclass(frozen=True)
class Contender:
    """One way to do a job. `precision` is what it computes in; `is_expert` decides its environment."""

    name: str
    title: str
    script: str | None = None  # in peers/; None for steep itself
    precision: str = "float32"
    is_expert: bool = False
    rival: str = "steep"  # which contender of steep's it is held against

    @property
    def is_steep(self) -> bool:
        return self.script is None


STEEP = Contender("steep", "steep")
STEEP_INT8 = Contender("steep_int8", "steep, int8", precision="int8")
TRAINER = Contender("trainer", "transformers Trainer, f32", "users_train.py")
EXPERT_TRAINING = Contender("expert", "PyTorch bf16, by an expert", "expert_train.py", "bfloat16", True)
SENTENCE_TRANSFORMERS = Contender("sentence_transformers", "sentence-transformers, f32", "users_encode.py")
ONNX_RUNTIME = Contender("onnx_float32", "ONNX Runtime, f32", "onnx_encode.py")
EXPERT_ENCODING = Contender("expert", "PyTorch bf16, by an expert", "expert_encode.py", "bfloat16", True)
ONNX_RUNTIME_INT8 = Contender("onnx_int8", "ONNX Runtime, int8", "onnx_encode.py", "int8", rival="steep_int8")

CONTENDERS = {
    "adapt": [STEEP, TRAINER, EXPERT_TRAINING],
    "finetune": [STEEP, TRAINER, EXPERT_TRAINING],
    "extract": [STEEP, STEEP_INT8, SENTENCE_TRANSFORMERS, ONNX_RUNTIME, EXPERT_ENCODING, ONNX_RUNTIME_INT8],
    "memory": [STEEP, EXPERT_TRAINING],
}

KINDS = {
    "adapt": "Masked-language-model adaptation",
    "finetune": "Fine-tuning a classifier",
    "extract": "Extraction of vectors",
    "memory": "Memory of a masked-language-model step",
}

# By how much steep wants to be faster.
TRAINING_BARS = {"trainer": 4.0, "expert": 1.5}
SHORT_TEXT_BARS = {"trainer": 8.0, "expert": 2.0}
EXTRACTION_BARS = {"sentence_transformers": 5.0, "onnx_float32": 2.0, "expert": 1.5, "onnx_int8": 1.5}
MEMORY_BAR_BYTES = 1.6e9


def bars(kind: str, workload: int) -> dict[str, float]:
    """The factors that steep wants over each contender."""
    if kind == "extract":
        return EXTRACTION_BARS
    if kind == "memory":
        return {}
    return SHORT_TEXT_BARS if (kind, workload) == ("adapt", 1) else TRAINING_BARS


@dataclass(frozen=True)
class Job:
    """A kind of work on a workload. `steps` of training, or the rows to extract; (full, quick)."""

    kind: str
    workload: Workload
    size: tuple[int, int]

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.workload.number}"

    @property
    def is_training(self) -> bool:
        return self.kind != "extract"

    def rows(self, quick: bool) -> int:
        """A training job is one pass over so many rows that all its steps are full: every contender sees the same."""
        size = self.size[quick]
        return size * self.workload.rows_per_step if self.is_training else size

    def steps(self, quick: bool) -> int:
        return self.size[quick] if self.is_training else 0

    def training_settings(self, quick: bool) -> dict[str, float | int]:
        """What all contenders are told; names are those of transformers."""
        steps = self.steps(quick)
        return {
            "per_device_train_batch_size": self.workload.rows_per_step,
            "learning_rate": self.workload.learning_rate,
            "warmup_steps": math.ceil(WARMUP_SHARE * steps),
            "weight_decay": WEIGHT_DECAY,
            "logging_steps": max(1, steps // LOSSES_LOGGED),
            "mlm_probability": MLM_PROBABILITY,
        }


def _jobs() -> list[Job]:
    sizes = {
        "adapt": {1: (60, 24), 2: (8, 3), 3: (12, 3)},
        "finetune": {1: (120, 40), 2: (12, 4), 3: (12, 3)},
        "extract": {1: (6_000, 2_000), 2: (320, 96), 3: (320, 96)},
        "memory": {3: (3, 3)},
    }
    return [Job(kind, WORKLOADS[number], size) for kind, each in sizes.items() for number, size in each.items()]


JOBS = {job.name: job for job in _jobs()}
