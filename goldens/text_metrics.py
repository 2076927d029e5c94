"""ROUGE, BLEU and chrF of texts beside their references, by rouge-score and sacrebleu.

Run:    pip install -r goldens/requirements.txt
        python goldens/text_metrics.py
Writes: goldens/text_metrics/reference.json
"""

from pathlib import Path

import rouge_score
import sacrebleu
from encoders import write_json
from rouge_score.rouge_scorer import RougeScorer

ROOT = Path(__file__).resolve().parent / "text_metrics"
# (what was written, what should have been)
CORPORA = {
    "english": [
        ("the cat sat on the mat", "The cat sat on the mat."),
        ("A dog, barking loudly, ran to 3.5 km away!", "a dog barked loudly and ran 3.5 km away"),
        ("prices rose 12-fold in 1,200 shops -- or more", "Prices rose twelve-fold in 1,200 shops (or more)"),
        ("&quot;tea&quot; &amp; biscuits", '"tea" & biscuits, please'),
        ("green tea green tea green tea green", "green tea is green"),
        ("", "nothing was written here"),
    ],
    "scripts": [
        ("la tasse de thé est pleine d’eau", "la tasse à thé est pleine d’eau"),
        ("東京は日本の首都です。", "東京は日本の首都だ。"),
        ("Ελληνικά κείμενα, εδώ", "ελληνικά κείμενα εδώ!"),
        ("emoji 🍵 tea", "emoji 🍵🍵 tea"),
        ("ＩＤ K İstanbul", "id k istanbul"),
    ],
    "short": [("tea", "tea"), ("a b", "a c"), ("x", "y z")],
    "nothing alike": [("one two three four", "five six seven eight")],
    "empty": [("", ""), (" ", "tea")],
    "long": [(" ".join(f"w{i % 7}" for i in range(60)), " ".join(f"w{i % 5}" for i in range(45)))],
}


def measures(pairs):
    written, references = ([pair[side] for pair in pairs] for side in (0, 1))
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    rows = [scorer.score(reference, text) for text, reference in pairs]
    result = {name: sum(row[name].fmeasure for row in rows) / len(rows) for name in ("rouge1", "rouge2", "rougeL")}
    result["bleu"] = sacrebleu.corpus_bleu(written, [references]).score
    result["chrf"] = sacrebleu.corpus_chrf(written, [references]).score
    return result


def main():
    ROOT.mkdir(exist_ok=True)
    cases = [{"name": name, "pairs": pairs, "measures": measures(pairs)} for name, pairs in CORPORA.items()]
    versions = {"sacrebleu": sacrebleu.__version__, "rouge-score": "0.1.2"}
    write_json(ROOT / "reference.json", {"versions": versions, "cases": cases})


if __name__ == "__main__":
    main()
