"""Scores that transformers' zero-shot pipeline gives with tiny models of natural language inference.

Run:    pip install -r goldens/requirements.txt
        python goldens/zeroshot.py
Writes: goldens/zeroshot/ (layout in goldens/README.md); what was there before is removed.

The weights are random, from a fixed seed, and large enough that scores differ; float32, one thread.
"""

import json
import platform
import shutil
from pathlib import Path

import tokenizers
import torch
import transformers
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
    pipeline,
)

OUT = Path(__file__).resolve().parent / "zeroshot"
WORDS = "a the of in is are was and not tea leaf water cup green black hot cold sweet this example about text".split()
TEXTS = [
    "the green tea is hot",
    "a cup of cold water , and not of tea !",
    "",
    "the leaf was green and the water was hot and sweet and the cup was cold and black and not in the tea",
    "unknownword is the example",
]
LABELS = ["hot tea", "cold water", "leaf"]
TEMPLATES = ["This example is {}.", "the text is about {}"]
LENGTH = 24
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def bert_tokenizer():
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, ".", ",", "!"]
    inner = tokenizers.Tokenizer(tokenizers.models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    inner.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=LENGTH,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )


def roberta_tokenizer():
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *WORDS, ".", ",", "!", "<mask>"]
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    inner.normalizer = tokenizers.normalizers.Lowercase()
    inner.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s>:0 $A:0 </s>:0",
        pair="<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    names = {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>", "unk": "<unk>", "mask": "<mask>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        model_max_length=LENGTH,
        model_input_names=["input_ids", "attention_mask"],
        **{f"{name}_token": token for name, token in names.items()},
    )


def models():
    names = {0: "contradiction", 1: "neutral", 2: "entailment"}
    bert = bert_tokenizer()
    config = BertConfig(vocab_size=len(bert), max_position_embeddings=LENGTH, id2label=names, **SIZES)
    config.label2id = {name: at for at, name in names.items()}
    yield "bert", bert, BertForSequenceClassification(config)
    # Entailment first: the class it is held against is then the last.
    names = {0: "ENTAILMENT", 1: "not_entailment"}
    roberta = roberta_tokenizer()
    config = RobertaConfig(
        vocab_size=len(roberta),
        max_position_embeddings=LENGTH + 2,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        id2label=names,
        **SIZES,
    )
    config.label2id = {name: at for at, name in names.items()}
    yield "roberta", roberta, RobertaForSequenceClassification(config)


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        scale = 1.0 if "LayerNorm.weight" in name else 0.4
        noise = torch.randn(value.shape, generator=generator)
        value.data = noise * 0.1 + 1.0 if scale == 1.0 else noise * scale


def scores(classify, labels, template, multi_label):
    texts = [text or " " for text in TEXTS]  # the pipeline refuses the empty text
    found = classify(texts, candidate_labels=labels, hypothesis_template=template, multi_label=multi_label)
    return [[one["scores"][one["labels"].index(label)] for label in labels] for one in found]


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    transformers.utils.logging.set_verbosity_error()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    cases = []
    for seed, (name, tokenizer, model) in enumerate(models()):
        randomise(model, seed)
        model.eval()
        model.save_pretrained(OUT / name)
        tokenizer.save_pretrained(OUT / name)
        (OUT / name / "model.safetensors").chmod(0o644)
        classify = pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device="cpu")
        for template in TEMPLATES:
            for multi_label in (False, True):
                for labels in (LABELS, LABELS[:1]):
                    cases.append(
                        {
                            "model": name,
                            "candidate_labels": labels,
                            "hypothesis_template": template,
                            "multi_label": multi_label,
                            "scores": scores(classify, labels, template, multi_label),
                        }
                    )
    notes = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }
    document = {"texts": TEXTS, "cases": cases, "versions": notes}
    (OUT / "reference.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
