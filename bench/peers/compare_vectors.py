"""How alike are vectors that different contenders made of the same texts?

Usage:  python bench/peers/compare_vectors.py REFERENCE.npy OUTPUT.json NAME=OTHER.npy ...

Writes the mean and the smallest cosine of each other's rows to the reference's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy


def unit_rows(path: str) -> numpy.ndarray:
    vectors = numpy.load(path).astype(numpy.float64)
    return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


def main(reference: str, output: str, *others: str) -> None:
    expected, cosines = unit_rows(reference), {}
    for name, path in (other.split("=", 1) for other in others):
        each = (unit_rows(path) * expected).sum(axis=1)
        cosines[name] = {"mean": float(each.mean()), "smallest": float(each.min())}
    Path(output).write_text(json.dumps(cosines))


if __name__ == "__main__":
    main(*sys.argv[1:])
