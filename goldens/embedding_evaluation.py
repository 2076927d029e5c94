"""What sentence-transformers, scikit-learn and scipy say of vectors that are random, from a fixed seed.

Run:    pip install -r goldens/requirements.txt
        python goldens/embedding_evaluation.py
Writes: goldens/embedding_evaluation/reference.json (layout in goldens/README.md).
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy
import torch
from scipy.linalg import orthogonal_procrustes
from sentence_transformers.sentence_transformer.evaluation import (
    EmbeddingSimilarityEvaluator,
    InformationRetrievalEvaluator,
)
from sentence_transformers.util import cos_sim
from sklearn import metrics
from sklearn.neighbors import NearestNeighbors

OUT = Path(__file__).resolve().parent / "embedding_evaluation"
K_VALUES = [1, 3, 5, 10]
NEIGHBOURS = 5


class Stored:
    """Vectors under the names of texts, as a model of sentence-transformers gives them."""

    similarity_fn_name = "cosine"
    model_card_data = None

    def __init__(self, vectors):
        self.vectors = vectors

    def encode(self, sentences, convert_to_tensor=False, **_):
        found = numpy.stack([self.vectors[sentence] for sentence in sentences])
        return torch.from_numpy(found) if convert_to_tensor else found

    encode_query = encode_document = encode


def plain(values):
    return numpy.asarray(values, dtype=numpy.float32).round(4)


def retrieval(random):
    corpus = plain(random.normal(size=(60, 6)))
    queries = plain(corpus[:9] + 0.9 * random.normal(size=(9, 6)))
    relevant = [sorted({row, *random.integers(0, 60, row % 4).tolist()}) for row in range(9)]
    relevant[4] = list(range(20, 35))
    relevant[5].append(99)  # which the corpus does not hold
    texts = {f"c{row}": vector for row, vector in enumerate(corpus)}
    texts |= {f"q{row}": vector for row, vector in enumerate(queries)}
    evaluator = InformationRetrievalEvaluator(
        {f"q{row}": f"q{row}" for row in range(9)},
        {f"c{row}": f"c{row}" for row in range(60)},
        {f"q{row}": {f"c{document}" for document in documents} for row, documents in enumerate(relevant)},
        mrr_at_k=K_VALUES, ndcg_at_k=K_VALUES, accuracy_at_k=K_VALUES, precision_recall_at_k=K_VALUES,
        map_at_k=K_VALUES, score_functions={"cosine": cos_sim}, write_csv=False,
    )
    found = evaluator.compute_all_metrics(Stored(texts))["cosine"]
    values = {name.replace("@k", f"@{k}"): float(value) for name, of in found.items() for k, value in of.items()}
    return {"corpus": corpus.tolist(), "queries": queries.tolist(), "relevant": relevant, "metrics": values}


def similarity(random):
    first = plain(random.normal(size=(50, 7)))
    second = plain(first + random.normal(size=(50, 7)) * random.uniform(0.1, 2, size=(50, 1)))
    scores = random.integers(0, 6, 50).tolist()
    texts = {f"a{row}": vector for row, vector in enumerate(first)}
    texts |= {f"b{row}": vector for row, vector in enumerate(second)}
    names = ["cosine", "dot", "euclidean", "manhattan"]
    evaluator = EmbeddingSimilarityEvaluator(
        [f"a{row}" for row in range(50)], [f"b{row}" for row in range(50)], scores,
        similarity_fn_names=names, write_csv=False,
    )
    evaluator.store_metrics_in_model_card_data = lambda *_: None
    found = {name: float(value) for name, value in evaluator(Stored(texts)).items() if "max" not in name}
    unit = [torch.nn.functional.normalize(torch.from_numpy(side).double()) for side in (first, second)]
    return {
        "first": first.tolist(), "second": second.tolist(), "scores": scores, "metrics": found,
        "alignment": float((unit[0] - unit[1]).norm(dim=1).pow(2).mean()),
        "uniformity": float(torch.pdist(unit[0]).pow(2).mul(-2).exp().mean().log()),
    }


def drift_between(x, y):
    x, y = x.astype(numpy.float64), y.astype(numpy.float64)
    x_centred, y_centred = x - x.mean(0), y - y.mean(0)
    norm = numpy.linalg.norm
    cka = norm(y_centred.T @ x_centred) ** 2 / (norm(x_centred.T @ x_centred) * norm(y_centred.T @ y_centred))
    near = [
        NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine").fit(side).kneighbors(return_distance=False)
        for side in (x, y)
    ]
    overlap = numpy.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(*near)])
    cosine = None
    if x.shape == y.shape:
        x_unit, y_unit = (side / norm(side, axis=1, keepdims=True) for side in (x, y))
        rotation, _ = orthogonal_procrustes(x_unit, y_unit)
        cosine = float(((x_unit @ rotation) * y_unit).sum(1).mean())
    return {"cka": float(cka), "neighbour_overlap": float(overlap), "procrustes_cosine": cosine}


def drift(random):
    x = plain(random.normal(size=(40, 6)) + 0.5)
    rotation = numpy.linalg.qr(random.normal(size=(6, 6)))[0]
    near = plain(x @ rotation + 0.4 * random.normal(size=(40, 6)))
    wide = plain(numpy.tanh(x @ random.normal(size=(6, 9))))
    return {
        "x": x.tolist(), "near": near.tolist(), "wide": wide.tolist(),
        "near_drift": drift_between(x, near), "wide_drift": drift_between(x, wide),
    }


def clustering(random):
    def case(classes, clusters):
        classes, clusters = (list(map(int, side)) for side in (classes, clusters))
        homogeneity, completeness, v_measure = metrics.homogeneity_completeness_v_measure(classes, clusters)
        return {
            "classes": classes, "clusters": clusters, "homogeneity": homogeneity, "completeness": completeness,
            "v_measure": v_measure,
            "normalized_mutual_info": metrics.normalized_mutual_info_score(classes, clusters),
            "adjusted_rand": metrics.adjusted_rand_score(classes, clusters),
        }

    classes = random.integers(0, 5, 80)
    mixed = numpy.where(random.uniform(size=80) < 0.6, classes * 3 % 5, random.integers(0, 6, 80))
    return [
        case(classes, mixed), case(classes, 4 - classes), case(classes, numpy.zeros(80)),
        case(numpy.zeros(80), mixed), case(range(6), range(6)), case(classes, random.integers(0, 5, 80)),
    ]


def main():
    random = numpy.random.default_rng(11)
    names = ["sentence-transformers", "torch", "scikit-learn", "scipy", "numpy"]
    golden = {
        "versions": {name: version(name) for name in names},
        "retrieval": retrieval(random), "similarity": similarity(random), "drift": drift(random),
        "clustering": clustering(random),
    }
    OUT.mkdir(exist_ok=True)
    (OUT / "reference.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
