"""Scores of BM25 that bm25s gives in Lucene's form (k1 = 1.2, b = 0.75), for texts whose words are plain.

Run:    pip install -r goldens/requirements.txt
        python goldens/bm25.py
Writes: goldens/bm25/reference.json (layout in goldens/README.md).
"""

import json
from pathlib import Path

import bm25s
import numpy

TARGET = Path(__file__).parent / "bm25"
VOCABULARY = [f"word{number}" for number in range(60)]
QUERIES = [["word0"], ["word1", "word5"], ["word2", "word2", "word40"], ["word59", "word3", "word17", "word8"],
           ["word7", "unknown"]]


def main() -> None:
    random = numpy.random.default_rng(7)
    shares = 1 / numpy.arange(1, len(VOCABULARY) + 1)
    shares /= shares.sum()
    rows = [random.choice(VOCABULARY, length, p=shares).tolist() for length in random.integers(1, 30, 80)]
    rows[11] = rows[42]
    index = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    index.index(rows, show_progress=False)
    scores = [[float(score) for score in index.get_scores(query)] for query in QUERIES]
    golden = {
        "versions": {"bm25s": bm25s.__version__, "numpy": numpy.__version__},
        "texts": [" ".join(row) for row in rows],
        "queries": [" ".join(query) for query in QUERIES],
        "scores": scores,
    }
    TARGET.mkdir(exist_ok=True)
    (TARGET / "reference.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
