"""Makes an encoder of DistilBERT-base's size with random weights, with another model's tokenizer of the same vocabulary.

Usage:  python bench/prepare/distilbert.py TOKENIZER_FOLDER OUTPUT

Speed and memory do not depend on what the weights are.
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForMaskedLM


def main(tokenizer_folder: str, output: str) -> None:
    torch.manual_seed(42)
    # The defaults of DistilBertConfig are distilbert-base: 6 layers, 768, 12 heads, vocabulary 30522, dropout 0.1.
    DistilBertForMaskedLM(DistilBertConfig()).save_pretrained(output)
    AutoTokenizer.from_pretrained(tokenizer_folder).save_pretrained(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
