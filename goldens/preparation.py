"""Reference numbers for preparing features, from scikit-learn: imputation, scalers, encoders, PCA, selection.

Run: python goldens/preparation.py     (needs scikit-learn; writes goldens/preparation/preparation.json)
"""

import json
import pathlib

import numpy as np
import scipy
import sklearn
from sklearn.decomposition import PCA
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_selection import SelectKBest, VarianceThreshold, f_classif, f_regression
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

RNG = np.random.default_rng(20250301)
TRAIN, NEW = 150, 30


def columns(matrix):
    """Column after column; NaN becomes null."""
    return [[None if np.isnan(value) else float(value) for value in column] for column in np.asarray(matrix, float).T]


def numbers():
    """Skewed, negative, tied, integer and nearly constant columns; the new rows reach beyond the training rows."""
    rows = TRAIN + NEW
    matrix = np.column_stack(
        [
            np.exp(RNG.normal(3, 2, rows)),
            RNG.normal(-5, 3, rows),
            RNG.poisson(1.5, rows),
            np.where(RNG.uniform(size=rows) < 0.7, 0.0, RNG.gamma(2, 50, rows)),
            -np.exp(RNG.normal(1, 1, rows)),
            RNG.integers(1990, 2025, rows),
            np.full(rows, 0.1),
        ]
    )
    matrix = np.round(matrix, 4)
    matrix[TRAIN, :6] *= 10
    return matrix[:TRAIN], matrix[TRAIN:]


def scalers(train, new):
    fitted = {
        "standard": StandardScaler(),
        "robust": RobustScaler(),
        "min_max": MinMaxScaler(),
        "quantile_normal": QuantileTransformer(output_distribution="normal", n_quantiles=1000, subsample=None),
        "yeo_johnson": PowerTransformer(method="yeo-johnson", standardize=True),
    }
    return {
        name: {"train": columns(scaler.fit_transform(train)), "new": columns(scaler.transform(new))}
        for name, scaler in fitted.items()
    }


def many_quantiles():
    """More rows than quantiles, and many ties."""
    values = np.round(RNG.gamma(1.0, 3.0, 2500), 1)[:, None]
    scaler = QuantileTransformer(output_distribution="normal", n_quantiles=1000, subsample=None).fit(values)
    new = np.linspace(-1, values.max() + 1, 40)[:, None]
    return {"train": columns(values), "new": columns(new), "transformed": columns(scaler.transform(new))}


def imputation(train):
    holes = train[:, :4].copy()
    holes[RNG.uniform(size=holes.shape) < 0.2] = np.nan
    holes[:, 1] = train[:, 1]
    case = {"train": columns(holes)}
    for strategy in ["mean", "median", "most_frequent", "constant"]:
        imputer = SimpleImputer(strategy=strategy, fill_value=-7.5 if strategy == "constant" else None, add_indicator=True)
        case[strategy] = columns(imputer.fit_transform(holes))
    return case


def categories():
    names = np.array(["red", "green", "blue", "ünï", "Zebra", "東京", "a b", "x", "y", "z"], dtype=object)
    weights = np.array([40, 30, 25, 20, 12, 8, 5, 5, 3, 2], float)
    first = RNG.choice(names, size=TRAIN + NEW, p=weights / weights.sum())
    second = RNG.choice(np.array(["yes", "no", "maybe"], dtype=object), size=TRAIN + NEW, p=[0.6, 0.3, 0.1])
    matrix = np.column_stack([first, second])
    matrix[TRAIN + 1, 0] = "unseen"
    matrix[TRAIN + 2, 1] = "never"
    return matrix[:TRAIN], matrix[TRAIN:]


def one_hot(train, new, **limits):
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", sparse_output=False, **limits).fit(train)
    return {**limits, "train": columns(encoder.transform(train)), "new": columns(encoder.transform(new))}


def with_missing(train):
    """None is a category of its own, after the others."""
    values = train[:, :1].copy()
    values[::7, 0] = None
    encoder = OneHotEncoder(sparse_output=False)
    return {"values": [row[0] for row in values], "encoded": columns(encoder.fit_transform(values))}


def target(train, new, labels, kind):
    splitter = KFold if kind == "continuous" else StratifiedKFold
    splits = splitter(n_splits=5, shuffle=True, random_state=3)
    folds = np.empty(len(labels), dtype=int)
    for fold, (_, held_out) in enumerate(splits.split(train, labels)):
        folds[held_out] = fold
    encoder = TargetEncoder(smooth="auto", cv=splits, target_type=kind)
    crossed = encoder.fit_transform(train, labels)
    return {
        "labels": labels.tolist(),
        "folds": folds.tolist(),
        "train": columns(crossed),
        "new": columns(encoder.transform(new)),
    }


def hashing(train):
    hasher = FeatureHasher(n_features=13, input_type="string")
    tokens = [[f"first={row[0]}", f"second={row[1]}"] for row in train]
    return {"width": 13, "train": columns(hasher.transform(tokens).toarray())}


def pca():
    mixing = RNG.normal(size=(12, 12)) * np.linspace(3, 0.2, 12)[:, None]
    matrix = (RNG.normal(size=(TRAIN + NEW, 12)) @ mixing + RNG.normal(size=12)).astype(np.float32).astype(float)
    model = PCA(n_components=5, svd_solver="full").fit(matrix[:TRAIN])
    return {
        "train": columns(matrix[:TRAIN]),
        "new": columns(matrix[TRAIN:]),
        "ratio": float(model.explained_variance_ratio_.sum()),
        "transformed": columns(model.transform(matrix[TRAIN:])),
    }


def selection(train, classes, values):
    informative = train[:, :6] + np.outer(classes, [3, 0, 1, 20, 0, 5])
    matrix = np.column_stack([informative, np.full(TRAIN, 2.0), informative[:, 0]])
    with np.errstate(all="ignore"):
        return {
            "train": columns(matrix),
            "f_classif": [None if np.isnan(score) else float(score) for score in f_classif(matrix, classes)[0]],
            "f_regression": f_regression(matrix[:, :6], values)[0].tolist(),
            "best": {str(k): SelectKBest(f_classif, k=k).fit(matrix, classes).get_support(indices=True).tolist() for k in [1, 2, 4]},
            "threshold": 1.0,
            "varied": VarianceThreshold(1.0).fit(matrix).get_support(indices=True).tolist(),
        }


def main():
    train, new = numbers()
    words, new_words = categories()
    classes = (RNG.uniform(size=TRAIN) < 0.5).astype(int) + (words[:, 0] == "red").astype(int)
    binary = ((words[:, 1] == "yes") ^ (RNG.uniform(size=TRAIN) < 0.3)).astype(int)
    values = np.round(RNG.normal(size=TRAIN) + (words[:, 0] == "blue") * 4, 3)
    golden = {
        "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__, "scipy": scipy.__version__},
        "numbers": {"train": columns(train), "new": columns(new)},
        "scalers": scalers(train, new),
        "many_quantiles": many_quantiles(),
        "imputation": imputation(train),
        "categories": {"train": words.T.tolist(), "new": new_words.T.tolist()},
        "one_hot": [one_hot(words, new_words), one_hot(words, new_words, min_frequency=8), one_hot(words, new_words, max_categories=4),
                    one_hot(words, new_words, min_frequency=6, max_categories=5)],
        "one_hot_missing": with_missing(words),
        "ordinal": {
            "new": columns(OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(words).transform(new_words))
        },
        "target": {
            "binary": target(words, new_words, binary, "binary"),
            "multiclass": target(words, new_words, classes, "multiclass"),
            "continuous": target(words, new_words, values, "continuous"),
        },
        "hashing": hashing(words),
        "pca": pca(),
        "selection": {"classes": classes.tolist(), "values": values.tolist(), **selection(train, classes, values)},
    }
    path = pathlib.Path(__file__).parent / "preparation" / "preparation.json"
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size, golden["versions"])


main()
