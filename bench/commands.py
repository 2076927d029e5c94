"""How is a contender started, and where does its report come from?"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import measure
from places import HERE, PRETEND_INTEL, WORK, Places
from workloads import SEED, Contender, Job

RUN = WORK / "run"
ADAMW = {"adam_beta1": 0.9, "adam_beta2": 0.999, "adam_epsilon": 1e-8, "max_grad_norm": 1.0}


class JobRun:
    """One contender doing one job once, in an empty folder."""

    def __init__(self, places: Places, job: Job, contender: Contender, quick: bool, threads: int) -> None:
        self.places, self.job, self.contender, self.quick, self.threads = places, job, contender, quick, threads
        self.data = places.data(job.name, quick)
        self.facts: dict[str, int] = json.loads((self.data / "facts.json").read_text())
        self.ending = "csv" if job.kind == "finetune" else "txt"

    @property
    def vectors(self) -> Path:
        """Where an extraction leaves its vectors; kept after the run, to compare them."""
        return WORK / "vectors" / f"{self.job.workload.number}-{self.contender.name}.npy"

    @property
    def output(self) -> Path:
        return RUN / "model" if self.job.is_training else self.vectors

    def execute(self) -> dict[str, Any]:
        """Runs the contender and returns what is kept of a run."""
        shutil.rmtree(RUN, ignore_errors=True)
        RUN.mkdir(parents=True)
        self.vectors.parent.mkdir(exist_ok=True)
        self.vectors.unlink(missing_ok=True)
        command = self.steep_command() if self.contender.is_steep else self.peer_command()
        usage = measure.run(command, self.environment(), RUN / "log.txt")
        report = self.steep_report() if self.contender.is_steep else json.loads((RUN / "report.json").read_text())
        self.check(report)
        return {**asdict(usage), **report}

    def check(self, report: dict[str, Any]) -> None:
        """Everyone must have done the same work."""
        steps = self.job.steps(self.quick)
        if report["tokens"] != self.facts["tokens"] or (self.job.is_training and report["steps"] != steps):
            raise measure.ProcessFailed(f"{self.job.name} {self.contender.name}: did other work than {self.facts}: "
                                        f"{report['tokens']} tokens, {report.get('steps')} of {steps} steps")

    def environment(self) -> dict[str, str]:
        """An expert's contender gets MKL's AVX-512 kernels on any processor. The others get what users get."""
        extra = {"LD_PRELOAD": str(PRETEND_INTEL)} if self.contender.is_expert else {}
        return measure.clean_environment(extra)

    def peer_command(self) -> list[str]:
        workload = self.job.workload
        settings = self.job.training_settings(self.quick) if self.job.is_training else {}
        settings |= {
            "kind": "adapt" if self.job.kind == "memory" else self.job.kind,
            "model": str(self.places.encoder(workload.encoder)),
            "onnx_model": str(self.places.onnx_model(workload.encoder, self.contender.precision)),
            "input_file": str(self.data / f"input.{self.ending}"),
            "output": str(self.output),
            "report": str(RUN / "report.json"),
            "cache": str(RUN / "cache"),
            "max_seq_length": workload.max_seq_length,
            "normalize": workload.normalize,
            "tokens": self.facts["tokens"],
            "threads": self.threads,
            "seed": SEED,
        }
        (RUN / "job.json").write_text(json.dumps(settings, indent=1))
        return [str(self.places.python), str(HERE / "peers" / str(self.contender.script)), str(RUN / "job.json")]

    def steep_command(self) -> list[str]:
        keys: dict[str, Any] = {
            "model_name_or_path": self.places.encoder(self.job.workload.encoder),
            "max_seq_length": self.job.workload.max_seq_length,
        }
        keys |= self.steep_training_keys() if self.job.is_training else {
            "input_file": self.data / f"input.{self.ending}",
            "output_file": self.output,
        }
        if self.contender.precision == "int8":
            keys["dtype"] = "int8"
        name = "adapt" if self.job.kind == "memory" else self.job.kind
        flags = [f"--{key}={value}" for key, value in keys.items()]
        own = [f"--threads={self.threads}", f"--cache-dir={RUN / 'cache'}", "--offline", "--quiet"]
        return [str(self.places.steep), name, *flags, *own]

    def steep_training_keys(self) -> dict[str, Any]:
        """One pass, no evaluation but the one text that steep insists on, no checkpoint, transformers' AdamW."""
        keys = self.job.training_settings(self.quick)
        keys |= ADAMW | {
            "train_file": self.data / f"input.{self.ending}",
            "validation_file": self.data / f"held_out.{self.ending}",
            "output_dir": self.output,
            "num_train_epochs": 1,
            "lr_scheduler_type": "linear",
            "layerwise_lr_decay": 1,
            "eval_strategy": "no",
            "load_best_model_at_end": "false",
            "save_steps": 1_000_000,
            "seed": SEED,
        }
        if self.job.kind == "finetune":
            del keys["mlm_probability"]
        else:
            keys["general_file"] = self.data / f"held_out.{self.ending}"
        return keys

    def steep_report(self) -> dict[str, Any]:
        """From the manifest that steep leaves. It has no imports."""
        if not self.job.is_training:
            about = json.loads(Path(f"{self.output}.steep.json").read_text())
            Path(f"{self.output}.steep.json").unlink()
            return {"import_seconds": 0.0, "tokens": about["about"]["report"]["counts"]["tokens"]}
        report = json.loads((self.output / "manifest.json").read_text())["about"]["report"]
        log = json.loads((self.output / "trainer_log.json").read_text())
        losses = [(entry["step"], entry["loss"]) for entry in log if "loss" in entry]
        return {"import_seconds": 0.0, "tokens": report["tokens"], "steps": report["steps"], "losses": losses}
