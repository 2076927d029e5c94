"""Reference metrics from scikit-learn and scipy, with ties, absent classes and empty denominators.

Run: python goldens/metrics.py      (needs scikit-learn and scipy; writes goldens/metrics/metrics.json)
"""

import json
import pathlib
import warnings

import numpy as np
import scipy
import scipy.stats
import sklearn
from sklearn import metrics

warnings.filterwarnings("ignore")
RNG = np.random.default_rng(20250102)
EPSILON = float(np.finfo(np.float32).eps)


def classes_case(name, actual, predicted, class_count):
    actual, predicted = np.asarray(actual), np.asarray(predicted)
    every = list(range(class_count))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        actual, predicted, labels=every, zero_division=0
    )
    f1_of = lambda average: metrics.f1_score(actual, predicted, average=average, zero_division=0)
    return {
        "name": name,
        "class_count": class_count,
        "actual": actual.tolist(),
        "predicted": predicted.tolist(),
        "accuracy": metrics.accuracy_score(actual, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(actual, predicted),
        "macro_f1": f1_of("macro"),
        "micro_f1": f1_of("micro"),
        "weighted_f1": f1_of("weighted"),
        "mcc": metrics.matthews_corrcoef(actual, predicted),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": support.astype(int).tolist(),
        "confusion": metrics.confusion_matrix(actual, predicted, labels=every).ravel().tolist(),
    }


def class_cases():
    noisy = lambda labels, count: np.where(
        RNG.uniform(size=len(labels)) < 0.6, labels, RNG.integers(0, count, size=len(labels))
    )
    many = RNG.integers(0, 58, size=600)
    few = RNG.choice([0, 1, 3], size=80, p=[0.7, 0.2, 0.1])
    return [
        classes_case("58 classes", many, noisy(many, 58), 58),
        classes_case("absent classes", few, np.where(few == 3, 0, noisy(few, 2)), 6),
        classes_case("a class only predicted", [0, 0, 1, 1], [0, 2, 1, 2], 4),
        classes_case("one class", [1, 1, 1], [1, 1, 1], 2),
        classes_case("always the same", [0, 1, 2, 1], [1, 1, 1, 1], 3),
        classes_case("all wrong", [0, 1, 0, 1], [1, 0, 1, 0], 2),
    ]


def calibration_error(actual, probabilities, bins=15):
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    edges = np.linspace(0.0, 1.0, bins + 1)
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if low == 0.0:
            inside |= confidence == 0.0
        if inside.any():
            gap = (predicted[inside] == actual[inside]).mean() - confidence[inside].mean()
            total += inside.mean() * abs(gap)
    return float(total)


def probability_case(rows, count, digits):
    logits = RNG.normal(size=(rows, count)) * 2.0
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if digits is not None:
        probabilities = np.round(probabilities, digits)
        probabilities[:, -1] = np.maximum(np.round(1.0 - probabilities[:, :-1].sum(axis=1), digits), 0.0)
        probabilities[0] = 0.0
        probabilities[0, 0] = 1.0
    probabilities = probabilities.astype(np.float32).astype(np.float64)
    actual = np.where(RNG.uniform(size=rows) < 0.5, probabilities.argmax(axis=1), RNG.integers(0, count, size=rows))
    actual[0] = count - 1
    actual[1 : count + 1] = np.arange(count)
    clipped = np.clip(probabilities, EPSILON, 1.0 - EPSILON)
    one_hot = np.eye(count)[actual]
    # scikit-learn wants rows that add up to 1; one against the rest is the mean of its binary areas.
    areas = [metrics.roc_auc_score(actual == label, probabilities[:, label]) for label in range(count)]
    return {
        "class_count": count,
        "actual": actual.tolist(),
        "probabilities": [float(f"{value:.9g}") for value in probabilities.ravel()],
        # Clipped before, because scikit-learn clips 64-bit probabilities closer to 0 and 1.
        "log_loss": metrics.log_loss(actual, clipped),
        "brier": float(((probabilities - one_hot) ** 2).sum(axis=1).mean()),
        "calibration_error": calibration_error(actual, probabilities),
        "roc_auc": areas[1] if count == 2 else float(np.mean(areas)),
    }


def multi_label_case(rows, count):
    actual = RNG.uniform(size=(rows, count)) < RNG.uniform(0.05, 0.6, size=count)
    actual[:, -1] = False
    actual[0], actual[1] = False, True
    scores = np.round(RNG.uniform(size=(rows, count)) * 0.6 + actual * 0.35, 2)
    scores[:, -2] *= 0.1
    scores = scores.astype(np.float32).astype(np.float64)
    predicted = scores > 0.5
    f1_of = lambda average: metrics.f1_score(actual, predicted, average=average, zero_division=0)
    return {
        "label_count": count,
        "actual": actual.astype(int).ravel().tolist(),
        "scores": [float(f"{value:.9g}") for value in scores.ravel()],
        "macro_f1": f1_of("macro"),
        "micro_f1": f1_of("micro"),
        "weighted_f1": f1_of("weighted"),
        "subset_accuracy": metrics.accuracy_score(actual, predicted),
        "hamming_loss": metrics.hamming_loss(actual, predicted),
        "ranking_precision": metrics.label_ranking_average_precision_score(actual, scores),
    }


def regression_case(rows, digits):
    actual = np.round(RNG.normal(size=rows) * 3.0, digits)
    predicted = np.round(actual * 0.7 + RNG.normal(size=rows), digits)
    return {
        "actual": actual.tolist(),
        "predicted": predicted.tolist(),
        "mean_squared_error": metrics.mean_squared_error(actual, predicted),
        "mean_absolute_error": metrics.mean_absolute_error(actual, predicted),
        "r_squared": metrics.r2_score(actual, predicted),
        "pearson": float(scipy.stats.pearsonr(actual, predicted).statistic),
        "spearman": float(scipy.stats.spearmanr(actual, predicted).statistic),
    }


def mcnemar_case(first, second):
    fewer, total = min(first, second), first + second
    exact = 1.0 if total == 0 else scipy.stats.binomtest(first, total, 0.5).pvalue
    at_fewer = scipy.stats.binom.pmf(fewer, total, 0.5)
    middle = 2.0 * scipy.stats.binom.cdf(fewer, total, 0.5) - at_fewer if first != second else 1.0 - 0.5 * at_fewer
    return {"only_first": first, "only_second": second, "exact_p": float(exact), "mid_p": float(middle)}


def main():
    golden = {
        "versions": {
            "scikit-learn": sklearn.__version__,
            "scipy": scipy.__version__,
            "numpy": np.__version__,
        },
        "classes": class_cases(),
        "probabilities": [
            probability_case(200, 4, None),
            probability_case(200, 3, 1),
            probability_case(150, 2, 2),
        ],
        "multi_label": [multi_label_case(60, 7)],
        "regression": [regression_case(100, 3), regression_case(80, 0)],
        "mcnemar": [
            mcnemar_case(*pair)
            for pair in [(0, 0), (0, 5), (3, 9), (12, 12), (40, 71), (812, 744), (5000, 5300), (30, 4)]
        ],
    }
    path = pathlib.Path(__file__).parent / "metrics" / "metrics.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, golden["versions"])


main()
