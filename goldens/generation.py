"""Texts that transformers writes with the tiny encoder-decoders of families.py: greedy and beam search.

Run:    pip install -r goldens/requirements.txt
        python goldens/families.py && python goldens/generation.py
Writes: goldens/generation/reference.json: settings, and for each the tokens of every text without the first one, which
        begins them all, and without what fills them up after </s>.

A number of settings are tried on random texts; each must come out the same in float64, so that no tie is a test.
"""

import json
from pathlib import Path

import torch
import transformers
from encoders import VOCABULARY_SIZE, versions, write_json
from transformers import AutoModelForSeq2SeqLM

ROOT = Path(__file__).resolve().parent
PAD, EOS = 1, 2
LENGTHS = [9, 3, 14, 7, 1, 20]
# BART's configuration forces </s> at the end and nothing at the beginning, unless a setting says otherwise.
SETTINGS = [
    {"num_beams": 1, "max_new_tokens": 12},
    {"num_beams": 1, "max_new_tokens": 12, "no_repeat_ngram_size": 2},
    {"num_beams": 1, "max_new_tokens": 12, "min_new_tokens": 6, "forced_bos_token_id": 7},
    {"num_beams": 3, "max_new_tokens": 12},
    {"num_beams": 4, "max_new_tokens": 12, "length_penalty": 2.0, "no_repeat_ngram_size": 3},
    {"num_beams": 4, "max_new_tokens": 12, "length_penalty": -1.0, "early_stopping": True},
    {"num_beams": 4, "max_new_tokens": 12, "early_stopping": True},
    {"num_beams": 3, "max_new_tokens": 12, "length_penalty": 0.5, "early_stopping": "never"},
    {"num_beams": 3, "max_new_tokens": 12, "length_penalty": 0.0, "early_stopping": "never"},
    {"num_beams": 5, "max_new_tokens": 8, "min_new_tokens": 4, "no_repeat_ngram_size": 1},
    {"num_beams": 2, "max_new_tokens": 15, "forced_bos_token_id": 9, "forced_eos_token_id": None},
]


def sources(seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(LENGTHS), max(LENGTHS))
    input_ids = torch.randint(5, VOCABULARY_SIZE - 1, shape, generator=generator)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        input_ids[row, length - 1] = EOS
        input_ids[row, length:] = PAD
        attention_mask[row, :length] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask}


def written(model, inputs, settings):
    with torch.no_grad():
        output = model.generate(**inputs, do_sample=False, decoder_start_token_id=EOS, **settings)
    texts = []
    for row in output.tolist():
        assert row[0] == EOS
        tokens = row[1:]
        texts.append(tokens[: tokens.index(EOS) + 1] if EOS in tokens else [t for t in tokens if t != PAD])
    return texts


def main():
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    cases = []
    ends = set()
    for seed, family in enumerate(("bart", "mbart")):
        folder = ROOT / "families" / family / "seq2seq"
        inputs = sources(31_000 + seed)
        rows = [row[:length] for row, length in zip(inputs["input_ids"].tolist(), LENGTHS)]
        models = [
            AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
            for dtype in (torch.float32, torch.float64)
        ]
        for model in models:
            # So that texts end, and at different lengths.
            model.final_logits_bias[0, EOS] += 1.5
        for settings in SETTINGS:
            texts, exact = (written(model, inputs, settings) for model in models)
            assert texts == exact, (family, settings)
            cases.append({"family": family, "settings": settings, "texts": texts})
            ends |= {len(text) for text in texts}
        write = {"rows": rows}
        cases[-len(SETTINGS)]["rows"] = write["rows"]
    assert len(ends) > 5, ends
    folder = ROOT / "generation"
    folder.mkdir(exist_ok=True)
    write_json(folder / "reference.json", {"versions": versions(), "eos_bias": 1.5, "cases": cases})
    print(json.dumps({"cases": len(cases), "lengths": sorted(ends)}))


if __name__ == "__main__":
    main()
