"""Do transformers and sentence-transformers read a model folder that steep wrote, and do they see the same vectors?

Usage:  pip install -r goldens/requirements.txt
        python scripts/check_interoperability.py MODEL
        steep extract --model_name_or_path MODEL --input_file TEXTS.txt --output_file FEATURES.npy
        python scripts/check_interoperability.py MODEL --texts TEXTS.txt --features FEATURES.npy

The first form loads MODEL with AutoModel, with the class that its config.json names, and with
SentenceTransformer, and fails if a parameter is missing, unexpected or of another shape. The second one also
embeds the lines of TEXTS with sentence-transformers, prints the largest absolute difference from FEATURES, and
fails above --tolerance. A folder that was trained by low-rank matrices has these in adapter/: PEFT then loads them beside
the model that they name (relative to the folder that the script runs in), and must give what the merged weights give.
Exit code 0: all is well; 1: a check failed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # Nothing but the folder itself may be read.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy
import peft
import sentence_transformers
import torch
import transformers
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

HEAD_CLASSES = {"ForMaskedLM": AutoModelForMaskedLM, "ForSequenceClassification": AutoModelForSequenceClassification}
# Masked language models and some classifiers have no pooler; AutoModel makes one that nothing uses.
MAY_BE_MISSING = ("pooler.",)


class Checks:
    """Prints each check as it is made, and remembers whether one failed."""

    def __init__(self):
        self.failed = False

    def report(self, name, problem=None, detail=""):
        self.failed |= problem is not None
        print(f"{'ok  ' if problem is None else 'FAIL'}  {name}{': ' if problem or detail else ''}{problem or detail}")


def architecture(folder):
    """The class that config.json names, such as BertForMaskedLM; empty for none."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return (config.get("architectures") or [""])[0]


def head_suffix(name):
    """ForMaskedLM or ForSequenceClassification, if the class is one with that head."""
    return next((suffix for suffix in HEAD_CLASSES if name.endswith(suffix)), None)


def loading_problem(info, allow_unexpected):
    """What is wrong with the parameters that were loaded, in words, or None."""
    missing = [key for key in info["missing_keys"] if not key.startswith(MAY_BE_MISSING)]
    # steep keeps the pooler beside a masked-LM head, for whoever fine-tunes next; transformers passes it over.
    unexpected = [key for key in info["unexpected_keys"] if ".pooler." not in key]
    faults = {
        "missing": sorted(missing),
        "unexpected": [] if allow_unexpected else sorted(unexpected),
        "of another shape": sorted(str(key) for key in info["mismatched_keys"]),
    }
    named = [f"{kind}: {', '.join(keys[:5])}{' …' if len(keys) > 5 else ''}" for kind, keys in faults.items() if keys]
    return "; ".join(named) or None


def check_class(checks, folder, auto_class, allow_unexpected):
    """Loads with one Auto class and returns the model, or None."""
    name = auto_class.__name__
    try:
        model, info = auto_class.from_pretrained(folder, output_loading_info=True)
    except Exception as error:
        checks.report(name, f"{type(error).__name__}: {error}")
        return None
    parameters = sum(parameter.numel() for parameter in model.parameters())
    checks.report(name, loading_problem(info, allow_unexpected), f"{type(model).__name__}, {parameters:,} parameters")
    return model


def check_tokenizer(checks, folder):
    """Loads the tokenizer; a folder without one is read by transformers, but not by sentence-transformers."""
    if not (folder / "tokenizer.json").exists() and not (folder / "vocab.txt").exists():
        print("skip  AutoTokenizer, SentenceTransformer: the folder has no tokenizer")
        return False
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        checks.report("AutoTokenizer", f"{type(error).__name__}: {error}")
        return False
    checks.report("AutoTokenizer", None, f"{type(tokenizer).__name__}, {len(tokenizer):,} tokens")
    return True


def check_sentence_transformer(checks, folder):
    """Loads the folder as an embedding model and returns it, or None."""
    try:
        model = SentenceTransformer(str(folder), device="cpu")
    except Exception as error:
        checks.report("SentenceTransformer", f"{type(error).__name__}: {error}")
        return None
    modules = " → ".join(type(module).__name__ for module in model)
    # Without modules.json sentence-transformers makes up mean pooling, and what it then says is not the folder's.
    problem = None if (folder / "modules.json").exists() else "modules.json is missing, pooling was guessed"
    checks.report("SentenceTransformer", problem, f"{modules}, at most {model.max_seq_length} tokens")
    return model


def check_features(checks, model, texts, features, tolerance):
    """Compares the vectors of sentence-transformers with those that steep extracted."""
    with open(texts, encoding="utf-8") as file:
        lines = [line.rstrip("\n") for line in file]
    extracted = numpy.load(features, allow_pickle=False)
    embedded = model.encode(lines, batch_size=32, convert_to_numpy=True, show_progress_bar=False)
    if extracted.shape != embedded.shape:
        checks.report("vectors", f"steep wrote {extracted.shape}, sentence-transformers gives {embedded.shape}")
        return
    difference = numpy.abs(extracted.astype(numpy.float64) - embedded.astype(numpy.float64))
    row, column = numpy.unravel_index(numpy.argmax(difference), difference.shape)
    largest = difference[row, column]
    detail = f"largest absolute difference {largest:.2e} over {len(lines):,} texts (line {row + 1}, column {column})"
    # Written so that NaN fails.
    checks.report("vectors", None if largest <= tolerance else f"{detail}, allowed {tolerance:.0e}", detail)


def check_adapter(checks, folder):
    """Loads the adapter beside its model with PEFT and compares the last states, or logits, with the merged weights'."""
    settings = peft.PeftConfig.from_pretrained(folder / "adapter")
    classifies = settings.task_type == "SEQ_CLS"
    auto_class = AutoModelForSequenceClassification if classifies else AutoModel
    merged = auto_class.from_pretrained(folder).eval()
    more = {"num_labels": merged.config.num_labels} if classifies else {}
    base = auto_class.from_pretrained(settings.base_model_name_or_path, **more)
    adapted = peft.PeftModel.from_pretrained(base, folder / "adapter").eval()
    ids = torch.randint(5, min(merged.config.vocab_size, 1000), (3, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (model(input_ids=ids, attention_mask=torch.ones_like(ids))[0] for model in (adapted, merged))
    difference = (one - other).abs().max().item()
    detail = f"rank {settings.r}, largest absolute difference from the merged weights {difference:.2e}"
    checks.report("PeftModel", None if difference <= 1e-5 else detail, detail)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the folder that steep wrote")
    parser.add_argument("--texts", type=Path, help="one text a line")
    parser.add_argument("--features", type=Path, help="the vectors of the texts, as npy from `steep extract`")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="the largest difference allowed")
    parsed = parser.parse_args()
    if (parsed.texts is None) != (parsed.features is None):
        parser.error("--texts and --features belong together")
    if not (parsed.model / "config.json").exists():
        parser.error(f"{parsed.model} is no model folder: it has no config.json")
    return parsed


def main():
    options = arguments()
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    print(f"transformers {transformers.__version__}, sentence-transformers {sentence_transformers.__version__}, "
          f"torch {torch.__version__}\n{options.model}: {architecture(options.model) or 'no architecture named'}")

    checks = Checks()
    suffix = head_suffix(architecture(options.model))
    check_class(checks, options.model, AutoModel, allow_unexpected=suffix is not None)
    if suffix is not None:
        check_class(checks, options.model, HEAD_CLASSES[suffix], allow_unexpected=False)
    embedder = check_sentence_transformer(checks, options.model) if check_tokenizer(checks, options.model) else None
    if (options.model / "adapter").is_dir():
        check_adapter(checks, options.model)
    if options.features is not None:
        if embedder is None:
            checks.report("vectors", "sentence-transformers could not load the folder")
        else:
            check_features(checks, embedder, options.texts, options.features, options.tolerance)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
