"""Makes the quickstart's data: BBC News with few labels, as a person would have it.

Usage:  python scripts/quickstart_data.py ARTICLES OUTPUT

ARTICLES is the folder of the articles, one subfolder a label. Into OUTPUT go

- labelled.csv, with the columns text, label, split: 10 % of the articles to learn from (split train, or
  validation for a fifth of them), and 25 % held back to measure on (split test);
- unlabelled.txt: all others, one article a line, their labels left out.

The split is stratified by label and depends on the articles' names and SEED only. Needs the standard library only.
"""

import csv
import hashlib
import os
import sys
from pathlib import Path

SEED = 42
TEST_SHARE = 0.25
LABELLED_SHARE = 0.10
VALIDATION_SHARE = 0.20  # of the labelled articles
EXPECTED_ARTICLES = 2225


def read_article(path):
    """The text on one line. One file of the collection is Windows-1252; the others are UTF-8."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("cp1252")
    return " ".join(text.split())


def draw(path):
    """A number that orders the articles at random, always in the same way."""
    name = f"{SEED} {path.parent.name}/{path.name}"
    return hashlib.sha256(name.encode()).hexdigest()


def assign(paths):
    """Pairs every article of one label with its part."""
    test = round(TEST_SHARE * len(paths))
    labelled = round(LABELLED_SHARE * len(paths))
    validation = round(VALIDATION_SHARE * labelled)
    parts = ["test"] * test + ["validation"] * validation + ["train"] * (labelled - validation)
    parts += ["unlabelled"] * (len(paths) - len(parts))
    return zip(sorted(paths, key=draw), parts)


def write_beside(path, write):
    """Writes a file under another name first, so that a file of the right name is whole."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "w", encoding="utf-8", newline="") as file:
        write(file)
    os.replace(partial, path)


def main(articles, output):
    folders = sorted(folder for folder in articles.iterdir() if folder.is_dir()) if articles.is_dir() else []
    rows = {}
    for folder in folders:
        for path, part in assign(sorted(folder.glob("*.txt"))):
            rows[path] = part
    if len(rows) != EXPECTED_ARTICLES:
        sys.exit(f"error: {articles} holds {len(rows)} articles instead of {EXPECTED_ARTICLES}\n"
                 "hint: remove quickstart/python and start again")

    shuffled = sorted(rows, key=draw)
    labelled = [path for path in shuffled if rows[path] != "unlabelled"]
    unlabelled = [path for path in shuffled if rows[path] == "unlabelled"]

    def write_labelled(file):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label", "split"])
        writer.writerows([read_article(path), path.parent.name, rows[path]] for path in labelled)

    def write_unlabelled(file):
        file.writelines(read_article(path) + "\n" for path in unlabelled)

    output.mkdir(parents=True, exist_ok=True)
    write_beside(output / "labelled.csv", write_labelled)
    write_beside(output / "unlabelled.txt", write_unlabelled)

    parts = list(rows.values())
    counts = ", ".join(f"{parts.count(part):,} {part}" for part in ["train", "validation", "test", "unlabelled"])
    print(f"{len(rows):,} articles, {len(folders)} labels: {counts}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
