"""Tiny tokenizers of the three kinds, and the token ids that transformers gives for tricky texts.

Run from the repository's root, with transformers and tokenizers installed:

    python goldens/token_ids.py

Writes goldens/token_ids/<folder>/ (a tokenizer as it lies in a model folder) and
goldens/token_ids/expected.json (texts, ids per folder, library versions).
Nothing is downloaded. The vocabularies are counted here and not by the library's trainers, because
those break ties differently from run to run.
"""

import json
import math
import shutil
from collections import Counter
from pathlib import Path

import tokenizers
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

OUT = Path(__file__).parent / "token_ids"
MAX_LENGTH = 16

SENTENCES = [
    "The kettle sings while the tea leaves open slowly in hot water.",
    "Green tea, black tea and white tea come from one plant.",
    "A strong tea wants boiling water and five minutes of patience.",
    "She poured the first cup away and kept the second one.",
    "Café crème brûlée, naïve façade, Übergröße, smörgåsbord and jalapeño.",
    "Steep it longer and the taste grows bitter, said the old gardener.",
    "Prices rose by 3.5% in 2023, from $12.40 to $12.83 per 100 g.",
    "Write to tea@example.org or see https://example.org/leaves?id=42 for more.",
    "#greentea #oolong @teahouse good morning 😀 👍🏽 🍵🍵",
    "茶は熱いお湯で淹れる。 中国茶很好喝。 녹차는 맛있다.",
    "Чай лучше пить горячим, но не слишком.",
    "don't can't won't it's they're we've I'd you'll",
    "unbelievable unbreakable unsteady unsteeped resteeping steeper steepest",
    "The the THE tHe; tea-house, tea_house, TeaHouse, TEA!!!",
    "Water boils at 100 °C; at 2,000 m it boils at about 93 °C.",
    "one two three four five six seven eight nine ten eleven twelve",
]

TEXTS = [
    "",
    " ",
    "tea",
    "The kettle sings.",
    "Café crème brûlée für Übergrößen",
    "Cafe\u0301 with a combining accent",
    "I love 🍵 and 👨‍👩‍👧‍👦 and 👍🏽!",
    "中国茶很好喝 and お茶",
    "녹차는 맛있다",
    "Чай лучше пить горячим",
    "see https://example.org/leaves?id=42&x=%20 now",
    "#greentea @teahouse #茶",
    "  two  spaces   and\ttabs\nand a line break  ",
    "zero\u200bwidth and no\u00a0break and soft\u00adhyphen",
    "don't they're WE'VE",
    "nul\u0000 byte and \ufffd replacement",
    "unsteepableness antidisestablishmentarianism",
    "x" * 150,
    "one two three four five six seven eight nine ten eleven twelve one two three",
    "100 °C, 3.5%, $12.40 – “quoted” … done",
    "a [MASK] token and a <mask> token, and [SEP] </s> inside",
    "ﬁne ligature Ⅷ ① ｆｕｌｌｗｉｄｔｈ",
    "\u202eright to left override\u202c",
    "İstanbul ΑΣ straße",
]

BERT_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def fresh(name):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def split_words(tokenizer):
    """Counts of the words of the sentences, as this tokenizer normalizes and splits them."""
    words = Counter()
    for sentence in SENTENCES:
        if tokenizer.normalizer is not None:
            sentence = tokenizer.normalizer.normalize_str(sentence)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(sentence))
    return words


def ranked(counts, limit):
    """The most frequent keys, longer ones first among equals, then by spelling."""
    return sorted(counts, key=lambda key: (-counts[key], -len(key), key))[:limit]


def train_wordpiece(lowercase):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces = Counter()
    characters = set()
    for word, count in split_words(tokenizer).items():
        characters.update([word[0]], ["##" + character for character in word])
        for length in range(2, len(word) + 1):
            pieces[word[:length]] += count
            pieces["##" + word[-length:]] += count
    vocab = {token: i for i, token in enumerate(BERT_SPECIAL + sorted(characters) + ranked(pieces, 400))}
    tokenizer.model = models.WordPiece(vocab, unk_token="[UNK]")
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    return tokenizer, vocab


def bert_config(lowercase):
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": 512,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }


def write_vocab_txt(folder, vocab):
    lines = sorted(vocab, key=vocab.get)
    (folder / "vocab.txt").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def wordpiece():
    tokenizer, vocab = train_wordpiece(lowercase=True)
    folder = fresh("wordpiece")
    # Left in the file on purpose: a reader has to switch both off.
    tokenizer.enable_truncation(max_length=4)
    tokenizer.enable_padding(pad_id=vocab["[PAD]"], pad_token="[PAD]", length=7)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", bert_config(True))

    folder = fresh("wordpiece_vocab")
    write_vocab_txt(folder, vocab)
    write_json(folder / "tokenizer_config.json", bert_config(True))
    write_json(folder / "config.json", {"model_type": "bert", "max_position_embeddings": 128})

    _, cased = train_wordpiece(lowercase=False)
    folder = fresh("wordpiece_cased_vocab")
    write_vocab_txt(folder, cased)
    write_json(folder / "tokenizer_config.json", bert_config(False))
    write_json(folder / "config.json", {"model_type": "bert"})


def learn_merges(words, number):
    """Byte-pair merges, the most frequent pair first, equal pairs by spelling."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(ROBERTA_SPECIAL + alphabet)}
    split = {word: list(word) for word in words}
    merges = []
    for _ in range(number):
        pairs = Counter()
        for word, count in words.items():
            for pair in zip(split[word], split[word][1:]):
                pairs[pair] += count
        left, right = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append((left, right))
        vocab.setdefault(left + right, len(vocab))
        for symbols in split.values():
            i = 0
            while i + 1 < len(symbols):
                if (symbols[i], symbols[i + 1]) == (left, right):
                    symbols[i : i + 2] = [left + right]
                i += 1
    return vocab, merges


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    vocab, merges = learn_merges(split_words(tokenizer), 300)
    tokenizer.model = models.BPE(vocab, merges)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", vocab["</s>"]), ("<s>", vocab["<s>"]), trim_offsets=True, add_prefix_space=False
    )
    config = {
        "tokenizer_class": "RobertaTokenizer",
        "add_prefix_space": False,
        "trim_offsets": True,
        "model_max_length": 512,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": {
            "__type": "AddedToken",
            "content": "<mask>",
            "lstrip": True,
            "normalized": False,
            "rstrip": False,
            "single_word": False,
        },
    }
    folder = fresh("byte_level")
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", config)

    for name, prefix in [("byte_level_vocab", False), ("byte_level_prefix_vocab", True)]:
        folder = fresh(name)
        tokenizer.model.save(str(folder))
        write_json(folder / "tokenizer_config.json", config | {"add_prefix_space": prefix})
        write_json(folder / "config.json", {"model_type": "roberta", "max_position_embeddings": 514})


def unigram():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    pieces = Counter()
    for word, count in split_words(tokenizer).items():
        for start in range(len(word)):
            for end in range(start + 1, min(len(word), start + 8) + 1):
                pieces[word[start:end]] += count
    single = sorted(piece for piece in pieces if len(piece) == 1)
    longer = ranked({piece: count for piece, count in pieces.items() if len(piece) > 1}, 300)
    total = sum(pieces.values())
    scores = [(piece, math.log(pieces[piece] / total)) for piece in single + longer]
    tokenizer.model = models.Unigram([(token, 0.0) for token in ROBERTA_SPECIAL] + scores, unk_id=3)
    vocab = tokenizer.get_vocab()
    tokenizer.add_special_tokens(ROBERTA_SPECIAL)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", vocab["<s>"]), ("</s>", vocab["</s>"])],
    )
    folder = fresh("unigram")
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": 1000000000000000019884624838656,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "cls_token": "<s>",
            "sep_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": "<pad>",
            "mask_token": "<mask>",
        },
    )
    write_json(folder / "config.json", {"model_type": "xlm-roberta", "max_position_embeddings": 66})


def expected():
    folders = {}
    for folder in sorted(p for p in OUT.iterdir() if p.is_dir()):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        folders[folder.name] = {
            "class": type(tokenizer).__name__,
            "vocab_size": len(tokenizer),
            "mask_token_id": tokenizer.mask_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "ids": [tokenizer(text)["input_ids"] for text in TEXTS],
            "truncated_ids": [tokenizer(text, truncation=True, max_length=MAX_LENGTH)["input_ids"] for text in TEXTS],
        }
    write_compact(
        OUT / "expected.json",
        {
            "versions": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
            "max_length": MAX_LENGTH,
            "texts": TEXTS,
            "folders": folders,
        },
    )


def write_compact(path, value):
    path.write_text(json.dumps(value, ensure_ascii=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    wordpiece()
    byte_level()
    unigram()
    expected()
