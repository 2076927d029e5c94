"""Reference statistics: areas, temperature scaling, McNemar, Holm, power, paired bootstraps, t-SNE.

Run: python goldens/significance.py      (needs scikit-learn, scipy, statsmodels; writes goldens/significance/*.json)
"""

import json
import pathlib

import numpy as np
import scipy
import scipy.optimize
import scipy.stats
import sklearn
import sklearn.metrics
import statsmodels
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower

RNG = np.random.default_rng(20260317)
RESAMPLES = 400_000


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def probability_case(rows, count, sharpness, digits):
    """Predictions that are `sharpness` times as sure as they should be."""
    logits = RNG.normal(size=(rows, count)) * 1.2
    actual = np.array([RNG.choice(count, p=row) for row in softmax(logits)])
    actual[:count] = np.arange(count)
    probabilities = softmax(sharpness * logits)
    if digits is not None:
        probabilities = np.round(probabilities, digits)
        probabilities[:, -1] = np.maximum(np.round(1.0 - probabilities[:, :-1].sum(axis=1), digits), 0.0)
    probabilities = probabilities.astype(np.float32).astype(np.float64)
    log = np.log(np.maximum(probabilities, 1e-12))

    def loss(log_temperature):
        scaled = softmax(log / np.exp(log_temperature))
        return float(-np.log(scaled[np.arange(rows), actual]).mean())

    found = scipy.optimize.minimize_scalar(
        loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-10}
    )
    areas = [sklearn.metrics.average_precision_score(actual == label, probabilities[:, label]) for label in range(count)]
    return {
        "class_count": count,
        "actual": actual.tolist(),
        "probabilities": [float(f"{value:.9g}") for value in probabilities.ravel()],
        "pr_auc": float(areas[1] if count == 2 else np.mean(areas)),
        "log_temperature": float(found.x),
        "scaled_log_loss": float(found.fun),
    }


def mcnemar_case(first, second):
    table = [[20, first], [second, 30]]
    return {"only_first": first, "only_second": second, "exact_p": float(mcnemar(table, exact=True).pvalue)}


def holm_case(count):
    p_values = np.round(RNG.uniform(size=count) ** 3, 4)
    return {"p_values": p_values.tolist(), "adjusted": multipletests(p_values, method="holm")[1].tolist()}


def power_case(rows, disagreement):
    """One sample of paired differences -1, 0 and 1, whose standard deviation is the root of the disagreement."""
    effect = NormalIndPower().solve_power(nobs1=rows, alpha=0.05, power=0.8, ratio=0)
    return {"rows": rows, "disagreement": disagreement, "difference": float(effect * np.sqrt(disagreement))}


def widening(seeds):
    return float(np.sqrt(seeds / (seeds - 1)) * scipy.stats.t.ppf(0.95, seeds - 1) / scipy.stats.norm.ppf(0.95))


def bootstrap_case(seeds, rows, rope):
    hardness = RNG.normal(size=rows)
    luck = RNG.normal(size=(2, seeds)) * 0.1
    hit = lambda skill: (RNG.normal(size=rows) < skill - hardness).astype(float)
    baseline = np.array([hit(0.5 + luck[0, seed]) for seed in range(seeds)])
    candidate = np.array([hit(0.75 + luck[1, seed]) for seed in range(seeds)])
    differences = candidate - baseline
    if seeds == 1:
        result = scipy.stats.bootstrap(
            (candidate[0], baseline[0]),
            lambda one, other, axis: one.mean(axis=axis) - other.mean(axis=axis),
            n_resamples=RESAMPLES, paired=True, method="percentile", batch=4000, rng=RNG,
        )
        drawn = result.bootstrap_distribution
    else:
        drawn = np.empty(RESAMPLES)
        for resample in range(RESAMPLES):
            weights = np.bincount(RNG.integers(0, rows, size=rows), minlength=rows)
            by_seed = differences @ weights / rows
            chosen = by_seed[RNG.integers(0, seeds, size=seeds)].mean()
            drawn[resample] = by_seed.mean() + widening(seeds) * (chosen - by_seed.mean())
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {
        "baseline": baseline.tolist(),
        "candidate": candidate.tolist(),
        "rope": rope,
        "estimate": float(differences.mean()),
        "low": float(low),
        "high": float(high),
        "above_rope": float((drawn > rope).mean()),
        "within_rope": float((np.abs(drawn) <= rope).mean()),
    }


def tsne_case(rows, width, perplexity):
    """Joint probabilities of scikit-learn's t-SNE, and the slope of its objective at some places."""
    from scipy.spatial.distance import squareform
    from sklearn.manifold import _t_sne
    from sklearn.metrics import pairwise_distances

    values = np.round(RNG.normal(size=(rows, width)) + 2.0 * (np.arange(rows) % 3)[:, None], 3).astype(np.float32)
    distances = pairwise_distances(values.astype(np.float64), metric="euclidean", squared=True)
    joint = _t_sne._joint_probabilities(distances, perplexity, 0)
    places = np.round(RNG.normal(size=(rows, 2)), 3)
    _, gradient = _t_sne._kl_divergence(places.ravel(), joint, 1, rows, 2)
    return {
        "width": width,
        "perplexity": perplexity,
        "values": [float(f"{value:.9g}") for value in values.ravel()],
        "joint": squareform(joint).ravel().tolist(),
        "places": places.ravel().tolist(),
        "gradient": gradient.ravel().tolist(),
    }


def main():
    golden = {
        "versions": {
            "scikit-learn": sklearn.__version__,
            "scipy": scipy.__version__,
            "statsmodels": statsmodels.__version__,
            "numpy": np.__version__,
        },
        "probabilities": [
            probability_case(300, 4, 2.5, None),
            probability_case(300, 3, 0.5, 2),
            probability_case(200, 2, 1.0, 2),
        ],
        "mcnemar": [mcnemar_case(*pair) for pair in [(0, 5), (3, 9), (12, 12), (40, 71), (812, 744), (30, 4)]],
        "holm": [holm_case(count) for count in [1, 3, 10]],
        "power": [power_case(rows, share) for rows in [500, 1821, 25_000] for share in [0.02, 0.1]],
        "widening": [{"seeds": seeds, "factor": widening(seeds)} for seeds in [2, 3, 5, 10, 11, 30]],
        "bootstraps": [bootstrap_case(1, 120, 0.0234), bootstrap_case(3, 120, 0.0234), bootstrap_case(5, 90, 0.0123)],
    }
    path = pathlib.Path(__file__).parent / "significance" / "significance.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, golden["versions"])
    tsne = path.with_name("tsne.json")
    tsne.write_text(json.dumps(tsne_case(40, 6, 8.0), separators=(",", ":")) + "\n")
    print(tsne, tsne.stat().st_size)


main()
