"""Every learner of `steep classify` beside scikit-learn's same one (and LightGBM), on the same rows in one run.

    cargo build --release -p steep-cli
    pip install scikit-learn lightgbm
    python bench/learners.py make --folder /tmp/learners              # the data: 63,113 x 392, 58 classes
    python bench/learners.py run --folder /tmp/learners --steep target/release/steep lda linear_svm

`run` fits on 50,490 rows with one setting (C 1, five neighbours) and prints seconds of fitting, and accuracy on the other rows.
steep's seconds are those of its last fit, on all training rows; the fits on folds before it are not counted.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import time

import numpy as np

COLUMNS, CLASSES, ROWS, TRAINING_ROWS = 392, 58, 63_113, 50_490
# The sections of a Debian archive: 6,711 rows of the largest class, 21 of the smallest.
CLASS_ROWS = np.geomspace(6_711, 21, CLASSES)


def make(folder):
    """Gaussian rows around class means, correlated like embeddings, classes as uneven as real labels."""
    rng = np.random.default_rng(1)
    labels = rng.choice(CLASSES, size=ROWS, p=CLASS_ROWS / CLASS_ROWS.sum())
    mixing = rng.normal(size=(COLUMNS, COLUMNS)) * (np.arange(1, COLUMNS + 1) ** -0.6)
    means = rng.normal(size=(CLASSES, COLUMNS)) * 0.12
    rows = (means[labels] + rng.normal(size=(ROWS, COLUMNS))) @ mixing.T
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    test = np.arange(ROWS) >= TRAINING_ROWS
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "features.npy", rows.astype(np.float32))
    lines = [f"class{label:02},{'test' if held_out else 'train'}" for label, held_out in zip(labels, test)]
    (folder / "labels.csv").write_text("label,split\n" + "\n".join(lines) + "\n")


def read(folder):
    from sklearn.preprocessing import StandardScaler

    rows = np.load(folder / "features.npy")
    lines = [line.split(",") for line in (folder / "labels.csv").read_text().split()[1:]]
    labels, test = np.array([label for label, _ in lines]), np.array([part == "test" for _, part in lines])
    scaler = StandardScaler().fit(rows[~test])
    return scaler.transform(rows[~test]), labels[~test], scaler.transform(rows[test]), labels[test]


def peers():
    from lightgbm import LGBMClassifier
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import LinearSVC

    boosting = {"max_iter": 100, "early_stopping": True, "n_iter_no_change": 20, "validation_fraction": 0.1}
    return {
        "logistic_regression": lambda: LogisticRegression(C=1.0, max_iter=1000),
        "linear_svm": lambda: LinearSVC(C=1.0, dual=False),
        "ridge": lambda: RidgeClassifier(alpha=1.0),
        "nearest_centroid": NearestCentroid,
        "knn": lambda: KNeighborsClassifier(5, weights="distance", algorithm="brute"),
        "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        "mlp": lambda: MLPClassifier(early_stopping=True, random_state=0),
        "boosted_trees": lambda: LGBMClassifier(n_estimators=100, verbose=-1),
        "hist_gradient_boosting": lambda: HistGradientBoostingClassifier(**boosting),
    }


def of_peer(name, data):
    rows, labels, test, actual = data
    model = peers()[name]()
    started = time.perf_counter()
    model.fit(rows, labels)
    fit = time.perf_counter() - started
    predicted = model.predict(test)
    return fit, time.perf_counter() - started - fit, float(np.mean(predicted == actual))


def of_steep(name, folder, program, extra):
    output = folder / f"steep-{name}"
    shutil.rmtree(output, ignore_errors=True)
    command = [program, "classify", "--features_file", folder / "features.npy", "--labels_file", folder / "labels.csv"]
    command += ["--split_column", "split", "--output_dir", output, "--learner", name, "--cv_folds", "2", "--c_grid", "1"]
    subprocess.run([*map(str, command), "--n_neighbors", "5", *extra], check=True, capture_output=True)
    about = json.loads((output / "classify.json").read_text())
    return about["fit_seconds"], about["metrics"]["test"]["accuracy"]


def run(arguments, extra):
    data = read(arguments.folder) if not arguments.only_steep else None
    print(f"{'learner':<24}{'steep fit':>10}{'accuracy':>10}{'peer fit':>10}{'predict':>9}{'accuracy':>10}")
    for name in arguments.learners:
        line = f"{name:<24}"
        if name != "hist_gradient_boosting":
            fit, accuracy = of_steep(name, arguments.folder, arguments.steep, extra)
            line += f"{fit:>9.1f}s{accuracy:>10.4f}"
        else:
            line += " " * 20
        if data is not None:
            fit, predict, accuracy = of_peer(name, data)
            line += f"{fit:>9.1f}s{predict:>8.1f}s{accuracy:>10.4f}"
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=["make", "run"])
    parser.add_argument("learners", nargs="*")
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--steep", default="target/release/steep")
    parser.add_argument("--only-steep", action="store_true")
    arguments, extra = parser.parse_known_intermixed_args()
    if arguments.action == "make":
        make(arguments.folder)
    else:
        run(arguments, extra)


main()
