"""What does this machine have, and how fast can it be at all?"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from pathlib import Path
from typing import Any

from measure import clean_environment
from places import BUILT_STEEP, HERE, PRETEND_INTEL, ROOT, WORK, Places
from prepare import call, pretend_intel

INSTRUCTION_SETS = ["avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8"]
PACKAGES = ["torch", "transformers", "sentence-transformers", "onnxruntime", "accelerate", "datasets"]


def cpu_information() -> dict[str, str]:
    """The first processor's entry in /proc/cpuinfo."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {"model name": platform.processor() or platform.machine(), "flags": ""}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first.splitlines())}


def describe() -> dict[str, Any]:
    information = cpu_information()
    flags = set(information.get("flags", "").split())
    return {
        "processor": information.get("model name", "unknown"),
        "family_and_model": f"{information.get('cpu family', '?')}/{information.get('model', '?')}",
        "cores": os.cpu_count(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "system": f"{platform.system()} {platform.release()}",
    }


def short_name(machine: dict[str, Any]) -> str:
    """Names the files of results: amd-epyc-25-17-2-cores."""
    words = f"{machine['processor']} {machine['family_and_model']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def versions(places: Places) -> dict[str, str]:
    code = f"import json, importlib.metadata as m; print(json.dumps({{n: m.version(n) for n in {PACKAGES!r}}}))"
    return json.loads(call(places.python, "-c", code).splitlines()[-1])


def steep_version(places: Places) -> str:
    """The commit of this tree if the program was built from it, else the beginning of the program's SHA-256."""
    if places.steep == BUILT_STEEP:
        return call("git", "-C", ROOT, "describe", "--always", "--dirty").strip()
    return f"sha256 {hashlib.sha256(places.steep.read_bytes()).hexdigest()[:12]}"


def matrix_products(places: Places) -> dict[str, Any]:
    """GFLOP/s of PyTorch's matrix products as users get them and as the expert does, and what oneDNN runs for bf16."""
    script, output = HERE / "prepare" / "instructions.py", WORK / "instructions.json"
    pretend_intel()
    found: dict[str, Any] = {}
    for name, extra in [("users", {}), ("expert", {"LD_PRELOAD": str(PRETEND_INTEL)})]:
        call(places.python, script, output, **extra)
        found[name] = json.loads(output.read_text())
    verbose = call(places.python, script, output, ONEDNN_VERBOSE="1", LD_PRELOAD=str(PRETEND_INTEL))
    names = re.findall(r"exec,cpu,(?:matmul|inner_product),([^,]+),[^\n]*bf16", verbose)
    found["bfloat16_implementations"] = sorted(set(names))
    return found


def build_peak() -> None:
    call("cargo", "bench", "--locked", "-p", "steep-kernels", "--bench", "peak", "--no-run",
         "--manifest-path", ROOT / "Cargo.toml")


def peak() -> dict[str, float]:
    """Operations per second of all cores in a loop over registers, by precision."""
    home = WORK / "criterion"
    call("cargo", "bench", "--locked", "-p", "steep-kernels", "--bench", "peak", "--manifest-path", ROOT / "Cargo.toml",
         CRITERION_HOME=str(home))
    peaks = {}
    for path in home.glob("peak/*/new/estimates.json"):
        seconds = json.loads(path.read_text())["median"]["point_estimate"] / 1e9
        operations = json.loads(path.with_name("benchmark.json").read_text())["throughput"]["Elements"]
        peaks[path.parts[-3]] = operations / seconds
    return peaks
