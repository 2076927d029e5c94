"""Reference fits from scikit-learn: logistic regression in all forms, ridge, scalers, selection of C on folds.

Run: python goldens/learners.py     (needs scikit-learn; writes goldens/learners/learners.json)
"""

import json
import pathlib

import numpy as np
import scipy.sparse
import sklearn
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

RNG = np.random.default_rng(20250101)
ROWS, COLUMNS, CLASSES = 400, 20, 5


def short(array, digits=9):
    return [float(f"{value:.{digits}g}") for value in np.asarray(array, dtype=np.float64).ravel()]


def dense():
    """Values that 32 bits and three decimals hold."""
    matrix = RNG.normal(size=(ROWS, COLUMNS)) * RNG.uniform(0.3, 2.0, size=COLUMNS) + RNG.normal(size=COLUMNS)
    return np.round(matrix, 3).astype(np.float32).astype(np.float64)


def classes_of(matrix, count, temperature=1.0):
    weights = RNG.normal(size=(matrix.shape[1], count))
    logits = np.asarray(matrix @ weights) / temperature
    logits -= logits.mean(axis=0)
    return (logits + RNG.gumbel(size=logits.shape)).argmax(axis=1)


def losses(model, matrix, labels):
    """The loss of each row, from decision values."""
    decisions = model.decision_function(matrix)
    if decisions.ndim == 1:
        return np.logaddexp(0.0, np.where(labels == 1, -decisions, decisions))
    return np.logaddexp.reduce(decisions, axis=1) - decisions[np.arange(len(labels)), labels]


def fitted(model, matrix, labels, weights, c):
    objective = c * np.sum(weights * losses(model, matrix, labels)) + 0.5 * np.sum(model.coef_**2)
    return {
        "coef": short(model.coef_),
        "intercept": short(model.intercept_),
        "probabilities": short(model.predict_proba(matrix)[:20], 8),
        "objective": float(objective),
    }


def logistic(name, matrix_name, matrix, labels, c, class_weight="none", sample_weights=None):
    count = int(labels.max()) + 1
    given = {"none": None, "balanced": "balanced"}
    weight = given[class_weight] if isinstance(class_weight, str) else dict(enumerate(class_weight["given"]))
    model = LogisticRegression(C=c, class_weight=weight, tol=1e-10, max_iter=20000)
    model.fit(matrix, labels, sample_weight=sample_weights)
    rows = np.ones(len(labels)) if sample_weights is None else np.asarray(sample_weights)
    if weight == "balanced":
        sums = np.bincount(labels, weights=rows, minlength=count)
        rows = rows * (rows.sum() / (count * sums))[labels]
    elif weight is not None:
        rows = rows * np.array(class_weight["given"])[labels]
    return {
        "name": name,
        "features": matrix_name,
        "labels": labels.tolist(),
        "class_count": count,
        "c": c,
        "class_weight": class_weight,
        "sample_weights": None if sample_weights is None else short(sample_weights),
        **fitted(model, matrix, labels, rows, c),
    }


def multi_label(matrix, members, c, class_weight):
    weight = None if class_weight == "none" else class_weight
    model = OneVsRestClassifier(LogisticRegression(C=c, class_weight=weight, tol=1e-10, max_iter=20000))
    model.fit(matrix, members)
    estimators = model.estimators_
    return {
        "c": c,
        "class_weight": class_weight,
        "members": members.astype(int).ravel().tolist(),
        "label_count": members.shape[1],
        "coef": short(np.vstack([estimator.coef_ for estimator in estimators])),
        "intercept": short(np.concatenate([estimator.intercept_ for estimator in estimators])),
        "probabilities": short(model.predict_proba(matrix)[:20], 8),
    }


def selection(matrix, labels, folds, grid, metric):
    """An explicit loop: scaler and model are fitted on the training rows of each fold only."""
    scores = []
    for c in grid:
        of_folds = []
        for fold in sorted(set(folds)):
            held_out = folds == fold
            scaler = StandardScaler().fit(matrix[~held_out])
            model = LogisticRegression(C=c, tol=1e-8, max_iter=20000)
            model.fit(scaler.transform(matrix[~held_out]), labels[~held_out])
            probabilities = model.predict_proba(scaler.transform(matrix[held_out]))
            predicted, actual = probabilities.argmax(axis=1), labels[held_out]
            of_folds.append(
                {
                    "log_loss": lambda: log_loss(actual, probabilities, labels=range(labels.max() + 1)),
                    "accuracy": lambda: accuracy_score(actual, predicted),
                    "macro_f1": lambda: f1_score(actual, predicted, average="macro", zero_division=0),
                }[metric]()
            )
        scores.append(of_folds)
    return {"metric": metric, "fold_scores": scores}


def main():
    matrix = dense()
    labels = classes_of(matrix, CLASSES)
    binary = (classes_of(matrix, 2) == 1).astype(int)
    uneven = np.where(RNG.uniform(size=ROWS) < 0.8, np.minimum(labels, 1), labels)
    weights = np.round(RNG.uniform(0.1, 3.0, size=ROWS), 3)
    sparse = scipy.sparse.random(300, 60, density=0.1, random_state=7, format="csr")
    sparse.data = np.round(sparse.data, 3).astype(np.float32).astype(np.float64)
    sparse.sort_indices()
    sparse_labels = classes_of(sparse, 4, temperature=0.3)
    members = (matrix @ RNG.normal(size=(COLUMNS, 4)) + RNG.logistic(size=(ROWS, 4))) > np.array([0, 1, 3, 6])
    values = np.round(matrix @ RNG.normal(size=COLUMNS) + RNG.normal(size=ROWS), 3)

    with_constant = matrix[:50, :6].copy()
    with_constant[:, 1] = np.float32(0.1)
    with_constant[:, 2] = with_constant[:, 2] * 1e-3 + 1000.0
    with_constant = with_constant.astype(np.float32).astype(np.float64)
    with_constant[:, 4] = 0.0
    scaler = StandardScaler().fit(with_constant)
    folds = np.arange(ROWS) % 4
    grid = [0.01, 0.1, 1.0, 10.0]
    ridges = []
    for alpha in [0.0, 2.0, 500.0]:
        model = Ridge(alpha=alpha, solver="cholesky").fit(matrix, values)
        ridges.append({"alpha": alpha, "coef": short(model.coef_), "intercept": float(model.intercept_)})
    sparse_values = np.round(np.asarray(sparse @ RNG.normal(size=60)) + RNG.normal(size=300), 3)
    sparse_ridge = Ridge(alpha=0.5, solver="sag", tol=1e-12, max_iter=100000).fit(sparse, sparse_values)

    golden = {
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
        "dense": {"rows": ROWS, "columns": COLUMNS, "values": short(matrix)},
        "sparse": {
            "columns": 60,
            "rows": [
                [[int(sparse.indices[at]), float(f"{sparse.data[at]:.9g}")] for at in range(*sparse.indptr[row : row + 2])]
                for row in range(300)
            ],
        },
        "logistic": [
            logistic("five classes", "dense", matrix, labels, 1.0),
            logistic("five classes, weak penalty", "dense", matrix, labels, 100.0),
            logistic("balanced", "dense", matrix, uneven, 1.0, "balanced"),
            logistic("weighted", "dense", matrix, labels, 0.3, {"given": [1.0, 2.0, 0.5, 1.5, 3.0]}, weights),
            logistic("balanced and weighted", "dense", matrix, uneven, 0.3, "balanced", weights),
            logistic("two classes", "dense", matrix, binary, 0.5),
            logistic("two classes, balanced", "dense", matrix, (uneven > 0).astype(int), 2.0, "balanced"),
            logistic("sparse", "sparse", sparse, sparse_labels, 10.0),
        ],
        "multi_label": [multi_label(matrix, members, 1.0, weight) for weight in ["none", "balanced"]],
        "ridge": {"values": values.tolist(), "fits": ridges},
        "sparse_ridge": {
            "values": sparse_values.tolist(),
            "alpha": 0.5,
            "coef": short(sparse_ridge.coef_),
            "intercept": float(sparse_ridge.intercept_),
        },
        "scaler": {
            "rows": 50,
            "columns": 6,
            "values": short(with_constant),
            "mean": scaler.mean_.tolist(),
            "scale": scaler.scale_.tolist(),
            "transformed": short(scaler.transform(with_constant)),
            "max_abs": MaxAbsScaler().fit(with_constant).scale_.tolist(),
        },
        "selection": {
            "folds": folds.tolist(),
            "grid": grid,
            "by_metric": [selection(matrix, labels, folds, grid, name) for name in ["log_loss", "accuracy", "macro_f1"]],
        },
    }
    path = pathlib.Path(__file__).parent / "learners" / "learners.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, golden["versions"])


main()
