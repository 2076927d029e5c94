"""Reference fits from scikit-learn: every learner, calibration, scalers, selection of C on folds.

Run: python goldens/learners.py     (needs scikit-learn; writes goldens/learners/learners.json)
"""

import json
import pathlib

import numpy as np
import scipy.sparse
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import PredefinedSplit
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from sklearn.svm import LinearSVC

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


def elastic_net(matrix, labels, c, l1_ratio):
    model = LogisticRegression(C=c, l1_ratio=l1_ratio, solver="saga", tol=1e-9, max_iter=100000, random_state=0)
    model.fit(matrix, labels)
    penalty = (1 - l1_ratio) * 0.5 * np.sum(model.coef_**2) + l1_ratio * np.abs(model.coef_).sum()
    return {
        "c": c,
        "l1_ratio": l1_ratio,
        "labels": labels.tolist(),
        "class_count": int(labels.max()) + 1,
        "objective": float(c * losses(model, matrix, labels).sum() + penalty),
        "zeros": int((model.coef_ == 0).sum()),
        "probabilities": short(model.predict_proba(matrix)[:20], 8),
        "predictions": model.predict(matrix).tolist(),
    }


def linear(model, matrix, labels, **settings):
    """A linear model with decisions."""
    model.fit(matrix, labels)
    return {
        **settings,
        "labels": labels.tolist(),
        "class_count": int(labels.max()) + 1,
        "coef": short(model.coef_),
        "intercept": short(model.intercept_),
        "predictions": model.predict(matrix).tolist(),
    }


def calibrated(matrix, labels, folds, method):
    svm = LinearSVC(C=1.0, tol=1e-10, max_iter=1000000, dual=False)
    model = CalibratedClassifierCV(svm, method=method, cv=PredefinedSplit(folds), ensemble=False)
    model.fit(matrix, labels)
    return {
        "method": method,
        "labels": labels.tolist(),
        "class_count": int(labels.max()) + 1,
        "probabilities": short(model.predict_proba(matrix)[:40], 8),
    }


def neighbors(matrix, labels, values):
    cases = []
    for metric in ["euclidean", "cosine"]:
        for weights in ["uniform", "distance"]:
            settings = {"n_neighbors": 7, "metric": metric, "weights": weights}
            model = KNeighborsClassifier(**settings, algorithm="brute").fit(matrix[:300], labels[:300])
            values_model = KNeighborsRegressor(**settings, algorithm="brute").fit(matrix[:300], values[:300])
            probabilities, predicted = model.predict_proba(matrix[300:]), values_model.predict(matrix[300:])
            cases.append({**settings, "probabilities": short(probabilities, 8), "values": short(predicted, 8)})
    return cases


def network(kind, matrix, targets, sizes, epochs):
    """A few epochs in the given order from recorded first weights."""

    class Recorded(kind):
        def _init_coef(self, fan_in, fan_out, dtype):
            made = super()._init_coef(fan_in, fan_out, dtype)
            first.append([short(made[0].T), short(made[1])])
            return made

    first = []
    model = Recorded(sizes, alpha=0.1, batch_size=50, max_iter=epochs, shuffle=False, random_state=3, tol=0.0)
    model.fit(matrix, targets)
    last = [[short(weight.T), short(bias)] for weight, bias in zip(model.coefs_, model.intercepts_)]
    return {"sizes": list(sizes), "epochs": epochs, "batch_size": 50, "alpha": 0.1, "first": first, "last": last}


def interactions(rows):
    """Rows that the tests make by the same formulas: four classes, told by products and steps of eight columns."""
    state, values = 12345, np.empty((rows, 9))
    for row in range(rows):
        for column in range(9):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            values[row, column] = (state >> 40) / 2**24 - 0.5
    features, noise = values[:, :8], values[:, 8]
    classes = 2 * (features[:, 0] * features[:, 1] > 0) + (features[:, 2] + features[:, 3] ** 2 > 0.05)
    classes = np.where(noise > 0.4, (classes + 1) % 4, classes)
    numbers = 10 * features[:, 0] * features[:, 1] + np.sin(6 * features[:, 2]) + noise
    return features, classes, numbers


def trees():
    features, classes, numbers = interactions(3000)
    settings = {"learning_rate": 0.1, "max_iter": 200, "max_leaf_nodes": 31, "l2_regularization": 1.0}
    settings.update(early_stopping=True, validation_fraction=0.1, n_iter_no_change=20, random_state=0)
    model = HistGradientBoostingClassifier(**settings).fit(features[:2000], classes[:2000])
    regression = HistGradientBoostingRegressor(**settings).fit(features[:2000], numbers[:2000])
    return {
        "accuracy": float(model.score(features[2000:], classes[2000:])),
        "log_loss": float(log_loss(classes[2000:], model.predict_proba(features[2000:]))),
        "r_squared": float(regression.score(features[2000:], numbers[2000:])),
    }


def others(matrix, labels, binary, uneven, members, values, folds):
    scaled = StandardScaler().fit_transform(matrix).astype(np.float32).astype(np.float64)
    svm = {"tol": 1e-10, "max_iter": 1000000, "dual": False}
    lda = LinearDiscriminantAnalysis
    cases = [
        elastic_net(scaled, labels, 1.0, 1.0),
        elastic_net(scaled, labels, 0.05, 1.0),
        elastic_net(scaled, labels, 0.1, 0.5),
        elastic_net(scaled, binary, 0.1, 1.0),
    ]
    return {
        "scaled": short(scaled),
        "elastic_net": cases,
        "linear_svm": [
            linear(LinearSVC(C=1.0, **svm), scaled, labels, c=1.0, class_weight="none"),
            linear(LinearSVC(C=0.01, **svm), scaled, labels, c=0.01, class_weight="none"),
            linear(LinearSVC(C=0.5, class_weight="balanced", **svm), scaled, uneven, c=0.5, class_weight="balanced"),
            linear(LinearSVC(C=0.5, class_weight="balanced", **svm), scaled, (uneven > 0).astype(int), c=0.5, class_weight="balanced"),
        ],
        "calibration": [
            calibrated(scaled, these, folds, method)
            for these in [labels, binary]
            for method in ["sigmoid", "isotonic"]
        ],
        "ridge_classifier": [
            linear(RidgeClassifier(alpha=2.0), matrix, labels, alpha=2.0, class_weight="none"),
            linear(RidgeClassifier(alpha=2.0, class_weight="balanced"), matrix, uneven, alpha=2.0, class_weight="balanced"),
            linear(RidgeClassifier(alpha=0.5), matrix, binary, alpha=0.5, class_weight="none"),
        ],
        "nearest_centroid": [
            {"labels": these.tolist(), "class_count": int(these.max()) + 1, "predictions": NearestCentroid().fit(matrix, these).predict(matrix).tolist()}
            for these in [labels, binary]
        ],
        "lda": [
            linear(lda(solver="lsqr", shrinkage="auto"), matrix, labels, shrinkage="auto"),
            linear(lda(solver="lsqr", shrinkage=0.3), matrix, labels, shrinkage={"share": 0.3}),
            linear(lda(solver="lsqr"), matrix, labels, shrinkage="none"),
            linear(lda(solver="lsqr", shrinkage="auto"), matrix, binary, shrinkage="auto"),
        ],
        "lda_svd": lda(solver="svd").fit(matrix, labels).predict_proba(matrix)[:20].tolist(),
        "neighbors": neighbors(matrix, labels, values),
        "networks": {
            "classes": network(MLPClassifier, scaled, labels, (8, 6), 5),
            "binary": network(MLPClassifier, scaled, binary, (8,), 5),
            "labels": network(MLPClassifier, scaled, members.astype(int), (8,), 5),
        },
        "trees": trees(),
    }


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
        "others": others(matrix, labels, binary, uneven, members, values, folds),
    }
    path = pathlib.Path(__file__).parent / "learners" / "learners.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, golden["versions"])


main()
