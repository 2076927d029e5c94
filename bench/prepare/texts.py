"""Makes the input files of all jobs.

Usage:  python bench/prepare/texts.py PLAN

PLAN is a JSON file of run.py: where the articles, the tokenizer and perhaps the package descriptions lie, and the jobs
with their rows. Each job gets a folder with `input.txt` (a text a line) or `input.csv` (text, label), `held_out.*` with
its first row, for programs that insist on some, and `facts.json`: rows, tokens, sum of squared lengths, all cut to the
job's length and with special tokens. Texts come in an order that depends on their content only.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer


class Row(NamedTuple):
    """A text and its label."""

    text: str
    label: str


def on_one_line(text: str) -> str:
    return " ".join(text.split())


def shuffled(rows: list[Row]) -> list[Row]:
    return sorted(set(rows), key=lambda row: hashlib.sha256(repr(row).encode()).digest())


def articles(folder: Path) -> list[Row]:
    """One subfolder a label. One file of the collection is Windows-1252; the others are UTF-8."""
    rows = []
    for path in folder.glob("*/*.txt"):
        content = path.read_bytes()
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            text = content.decode("cp1252")
        rows.append(Row(on_one_line(text), path.parent.name))
    if not rows:
        sys.exit(f"error: {folder} holds no articles\nhint: remove the folder above and start again")
    return shuffled(rows)


def sentences(rows: list[Row]) -> list[Row]:
    """The sentences of articles: short texts that everyone can fetch."""
    parts = (Row(part, row.label) for row in rows for part in re.split(r"(?<=[.!?]) (?=[A-Z\"'])", row.text))
    return shuffled([part for part in parts if len(part.text) >= 8])


def descriptions(folder: Path, labelled: bool) -> list[Row]:
    """Package descriptions: `labelled.parquet` (text, label, split) or `unlabelled.parquet` (text), already shuffled."""
    import pyarrow.parquet

    if labelled:
        table = pyarrow.parquet.read_table(folder / "labelled.parquet", columns=["text", "label", "split"])
        rows = [Row(on_one_line(row["text"]), str(row["label"])) for row in table.to_pylist() if row["split"] == "train"]
        return shuffled(rows)
    batch = next(pyarrow.parquet.ParquetFile(folder / "unlabelled.parquet").iter_batches(100_000, columns=["text"]))
    return [Row(on_one_line(text), "") for text in batch["text"].to_pylist()]


def rows_of(job: dict, plan: dict) -> list[Row]:
    """All rows that there are for a job."""
    if job["texts"] == "articles":
        return articles(Path(plan["articles"]))
    if plan["packages"]:
        return descriptions(Path(plan["packages"]), labelled=job["kind"] == "finetune")
    return sentences(articles(Path(plan["articles"])))


def write_rows(path: Path, rows: list[Row], labelled: bool) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        if labelled:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([Row._fields, *rows])
        else:
            file.writelines(row.text + "\n" for row in rows)


def make(job: dict, plan: dict, tokenizer: Tokenizer) -> None:
    wanted = job["rows"]
    rows = [row for row in rows_of(job, plan) if row.text]
    # Where there are fewer texts than wanted, they come again.
    rows = (rows * -(-wanted // len(rows)))[:wanted]
    folder, labelled = Path(job["folder"]), job["kind"] == "finetune"
    folder.mkdir(parents=True, exist_ok=True)
    ending = "csv" if labelled else "txt"
    write_rows(folder / f"input.{ending}", rows, labelled)
    write_rows(folder / f"held_out.{ending}", rows[:1], labelled)
    tokenizer.no_padding()
    tokenizer.enable_truncation(job["max_seq_length"])
    lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch([row.text for row in rows])]
    facts = {"rows": wanted, "tokens": sum(lengths), "squared_tokens": sum(length**2 for length in lengths)}
    (folder / "facts.json").write_text(json.dumps(facts))


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    tokenizer = Tokenizer.from_file(plan["tokenizer"])
    for job in plan["jobs"]:
        make(job, plan, tokenizer)


if __name__ == "__main__":
    main()
