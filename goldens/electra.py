"""Reference numbers of replaced-token detection (ELECTRA): both losses, and every gradient of generator and discriminator.

Run:    pip install -r goldens/requirements.txt
        python goldens/electra.py
Writes: goldens/electra/ (layout in goldens/README.md).

The models are transformers'; that they share their embeddings, and the sum of the losses, are Clark et al.'s, section 3.
"""

import json
import shutil
from pathlib import Path

import torch
import transformers
from encoders import BERT_SPECIALS, VOCABULARY_SIZE, versions, write_json, write_tensors
from families import LABELLED, SIZES, make_inputs, randomise, save_model
from torch import nn
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

ROOT = Path(__file__).resolve().parent / "electra"
SEED = 41_000
WEIGHT = 50.0
CONFIG = {**SIZES, "embedding_size": 12, "max_position_embeddings": 24}
# A quarter of a width would be no whole head of 8: one head.
GENERATOR = {"hidden_size": 8, "num_attention_heads": 1, "intermediate_size": 12}
SHARED = ("word_embeddings", "position_embeddings", "token_type_embeddings")


def make_models():
    discriminator = randomise(ElectraForPreTraining(ElectraConfig(vocab_size=VOCABULARY_SIZE, **CONFIG)), SEED).eval()
    config = ElectraConfig(vocab_size=VOCABULARY_SIZE, **{**CONFIG, **GENERATOR})
    generator = randomise(ElectraForMaskedLM(config), SEED + 1).eval()
    for name in SHARED:
        table = getattr(discriminator.electra.embeddings, name).weight
        getattr(generator.electra.embeddings, name).weight = table
    generator.generator_lm_head.weight = discriminator.electra.embeddings.word_embeddings.weight
    return discriminator, generator


def main():
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    discriminator, generator = make_models()
    inputs, original = make_inputs("albert", SEED + 2)
    labels = torch.full_like(original, -100)
    for place in LABELLED:
        labels[place] = original[place]
    mask = inputs["attention_mask"].bool()

    masked = generator(**inputs, labels=labels)
    # What is filled in: one token of its own, the others another one.
    corrupted = torch.where(labels >= 0, 5 + (original + 2) % (VOCABULARY_SIZE - 5), original)
    corrupted[LABELLED[0]] = original[LABELLED[0]]
    replaced = (corrupted != original).long()
    assert replaced[mask].sum() == len(LABELLED) - 1
    found = discriminator(corrupted, attention_mask=inputs["attention_mask"], labels=replaced)
    by_hand = nn.functional.binary_cross_entropy_with_logits(found.logits[mask], replaced[mask].float())
    assert torch.allclose(found.loss, by_hand)
    loss = masked.loss + WEIGHT * found.loss
    loss.backward()

    tensors = {
        **inputs,
        "original_ids": original,
        "mlm_labels": labels,
        "corrupted_ids": corrupted,
        "replaced": replaced,
        "generator.logits": masked.logits,
        "generator.loss": masked.loss,
        "discriminator.logits": found.logits.unsqueeze(-1),
        "discriminator.loss": found.loss,
        "loss": loss,
    }
    for name, parameter in discriminator.named_parameters():
        tensors[f"gradient.{name}"] = parameter.grad.clone()
    for name, parameter in generator.named_parameters():
        own = name.removeprefix("electra.")
        if not any(f"{table}.weight" in own for table in SHARED) and name != "generator_lm_head.weight":
            tensors[f"gradient.generator.{own}"] = parameter.grad.clone()
    write_tensors(ROOT / "reference.safetensors", tensors)
    write_json(ROOT / "reference.json", {"versions": versions(), "discriminator_weight": WEIGHT, "specials": BERT_SPECIALS})
    save_model(discriminator, ROOT / "discriminator")
    save_model(generator, ROOT / "generator")
    for path in ROOT.rglob("*.safetensors"):
        path.chmod(0o644)
    print(json.dumps({"loss": float(loss), "gradients": sum(name.startswith("gradient") for name in tensors)}))


if __name__ == "__main__":
    main()
