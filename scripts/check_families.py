"""Does transformers see the same states in folders that steep saved, for every family of models?

Usage:  pip install -r goldens/requirements.txt
        cargo build -p steep-cli
        python scripts/check_families.py --steep target/debug/steep [family ...]

Takes each tiny random model of goldens/encoders and goldens/families, lets `steep adapt` train it for some steps with each
objective of its family, loads what was saved with AutoModel and with the class that its config.json names, and compares the
states after the embeddings and after every layer (first token, mean and last token of 40 texts) with those that `steep extract`
computes. Fails on a parameter that is missing, unexpected or of another shape, and above --tolerance. Exit code 0: all is well;
1: a check failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # Nothing but the folders may be read.

import numpy
import tokenizers
import torch
import transformers

ROOT = Path(__file__).resolve().parent.parent / "goldens"
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [f"w{number}" for number in range(43)]
MASKED = ["bert", "distilbert", "roberta", "xlm-roberta", "camembert", "mpnet", "electra"]
OBJECTIVES = {
    **{name: ("encoders", ["mlm", "tsdae", "simcse"]) for name in MASKED},
    **{name: ("families", ["mlm", "tsdae"]) for name in ("modernbert", "albert", "deberta-v2")},
    **{name: ("families", ["clm", "tsdae"]) for name in ("gpt2", "qwen3", "llama")},
    **{name: ("families", ["denoising", "seq2seq", "tsdae"]) for name in ("bart", "mbart")},
    "t5": ("families", ["tsdae"]),
}
OBJECTIVES["electra"] = ("encoders", ["mlm", "electra", "tsdae"])
POOLING = ["cls", "mean", "lasttoken"]
# Masked language models have no pooler, which AutoModel makes and nothing uses; steep keeps one that was there.
POOLER = "pooler."


def write_inputs(folder):
    """A model's tokenizer, texts and pairs of texts."""
    (folder / "model" / "vocab.txt").write_text("\n".join(SPECIALS + WORDS) + "\n")
    rows = [[WORDS[(row * 7 + at * (row % 5 + 3)) % len(WORDS)] for at in range(3 + row % 9)] for row in range(40)]
    (folder / "texts.txt").write_text("".join(" ".join(row) + "\n" for row in rows))
    pairs = "".join(f"{' '.join(row)},{' '.join(row[:2])}\n" for row in rows)
    (folder / "pairs.csv").write_text("text,target\n" + pairs)
    return [" ".join(row) for row in rows]


def run(steep, folder, *arguments):
    result = subprocess.run([steep, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"steep {' '.join(arguments)}\n{result.stderr}")


def adapt(steep, folder, objective):
    pairs = objective == "seq2seq"
    source = ["--train_file", "pairs.csv" if pairs else "texts.txt"]
    columns = ["--text_column", "text", "--target_column", "target"] if pairs else []
    run(steep, folder, "adapt", "--model", "model", *source, *columns, "--objective", objective, "--output_dir",
        objective, "--epochs", "2", "--learning_rate", "1e-3", "--dtype", "f32")


def load(auto_class, folder):
    """The model, and what is wrong with the parameters that were loaded."""
    model, info = auto_class.from_pretrained(folder, output_loading_info=True, attn_implementation="eager")
    missing = [name for name in info["missing_keys"] if POOLER not in name]
    faults = [*(f"missing {name}" for name in missing), *(f"shape of {name}" for name in info["mismatched_keys"])]
    return model.eval(), info, faults


def named_class(folder):
    name = json.loads((folder / "config.json").read_text())["architectures"][0]
    return name, getattr(transformers, name)


def pooled(states):
    return torch.cat([states[0], states.mean(0), states[-1]])


def transformers_states(model, texts, tokenizer, decoder):
    """[layers, texts, 3 H]"""
    layers = []
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids])
        with torch.no_grad():
            if decoder:
                states = [model(input_ids=ids).last_hidden_state]
            else:
                encoder = model.get_encoder() if model.config.is_encoder_decoder else model
                states = encoder(input_ids=ids, output_hidden_states=True).hidden_states
        layers.append(torch.stack([pooled(layer[0]) for layer in states]))
    return torch.stack(layers, 1).numpy()


def steep_states(steep, folder, model, layers, decoder):
    """The same by steep."""
    found = []
    for layer in ["-1"] if decoder else map(str, range(layers)):
        source = ["--features_from", "decoder_last"] if decoder else []
        run(steep, folder, "extract", "--model", model, "--input", "texts.txt", "--output", "states.npy", "--layers",
            layer, "--pooling", ",".join(POOLING), "--dtype", "f32", *source)
        found.append(numpy.load(folder / "states.npy"))
    return numpy.stack(found)


def check(steep, family, tolerance):
    """Lines that tell, and whether all is well."""
    group, objectives = OBJECTIVES[family]
    for objective in objectives:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "model").mkdir()
            for file in ("config.json", "model.safetensors"):
                (folder / "model" / file).write_bytes((ROOT / group / family / "base" / file).read_bytes())
            texts = write_inputs(folder)
            adapt(steep, folder, objective)
            saved = folder / objective
            class_name, own_class = named_class(saved)
            _, info, faults = load(own_class, saved)
            faults += [f"unexpected {name}" for name in info["unexpected_keys"] if POOLER not in name]
            # AutoModel of a T5 has a decoder, which its encoder's folder has not.
            auto = own_class if class_name == "T5EncoderModel" else transformers.AutoModel
            model, _, more = load(auto, saved)
            faults += more
            tokenizer = tokenizers.Tokenizer.from_file(str(saved / "tokenizer.json"))
            largest = 0.0
            is_pair = model.config.is_encoder_decoder and class_name != "T5EncoderModel"
            for decoder in (False, True) if is_pair else (False,):
                expected = transformers_states(model, texts, tokenizer, decoder)
                found = steep_states(steep, folder, objective, len(expected), decoder)
                largest = max(largest, float(numpy.abs(found - expected).max()))
            ok = not faults and largest <= tolerance
            print(f"{'ok  ' if ok else 'FAIL'}  {family:12} {objective:10} {class_name:34} largest difference {largest:.1e}"
                  f"  {'; '.join(faults[:3])}", flush=True)
            yield ok


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", help="some of them; default: all")
    parser.add_argument("--steep", type=Path, required=True, help="the program")
    parser.add_argument("--tolerance", type=float, default=1e-5, help="the largest difference allowed")
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    results = [
        ok
        for family in options.families or OBJECTIVES
        for ok in check(options.steep.resolve(), family, options.tolerance)
    ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
