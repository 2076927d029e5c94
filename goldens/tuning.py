"""Reference numbers of training that leaves a part of a model as it is, or trains for several things at once.

Low-rank adapters, gradual unfreezing, new rows of the vocabulary first, masked language modelling beside the labels, and all of these with a loss of vectors.

Run:    pip install -r goldens/requirements.txt
        python goldens/tuning.py
Writes: goldens/tuning/ (layout in goldens/README.md).

As goldens/encoders.py: CPU, float32, one thread, eager attention, eval mode, fixed seeds.
"""

import json
import shutil
from pathlib import Path

import peft
import torch
from embedding import shrink, supervised_contrastive
from encoders import decaying_names, parameters_by_saved_name, versions, write_json, write_tensors
from peft import LoraConfig, TaskType, get_peft_model
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as DEFAULT_TARGETS
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification

GOLDENS = Path(__file__).resolve().parent
ROOT = GOLDENS / "tuning"
RANK, ALPHA = 3, 6.0
# (folder, targets or None for PEFT's own, whole modules of the head)
ADAPTED = {
    "bert": ("encoders/bert", None, ["pooler", "classifier"]),
    "roberta": ("encoders/roberta", ["query", "key", "value", "output.dense", "intermediate.dense"], ["classifier"]),
    "mpnet": ("encoders/mpnet", ["attn.q", "attn.v"], ["classifier"]),
    "gpt2": ("families/gpt2", None, ["score"]),
    "albert": ("families/albert", ["query", "value", "ffn"], ["pooler", "classifier"]),
    "deberta-v2": ("families/deberta-v2", None, ["pooler", "classifier"]),
    "modernbert": ("families/modernbert", ["Wqkv"], ["head", "classifier"]),
}
# One step an epoch: the head, the upper layer, the lower one, the embeddings, and twice all.
UNFREEZING = {"steps": 6, "learning_rate": 3e-3, "weight_decay": 0.01, "max_grad_norm": 1.0, "epsilon": 1e-8}

# Masked language modelling in which the rows from `first` to `end` learn alone for the first steps, then everything.
WARMUP = {"first": 40, "end": 47, "alone": 3, "steps": 6, "learning_rate": 3e-3, "weight_decay": 0.1, "max_grad_norm": 0.5, "epsilon": 1e-8}

# Families whose losses are added up: masked language modelling beside the labels, and with the rest.
COMBINED = ("bert", "modernbert")
MLM_WEIGHT, VECTOR_WEIGHT, DIMS, TEMPERATURE = 0.5, 2.0, [16, 5], 0.3


def load(folder):
    model = AutoModelForSequenceClassification.from_pretrained(GOLDENS / folder / "classification", attn_implementation="eager")
    return model.float().eval()


def inputs_of(folder):
    tensors = load_file(GOLDENS / folder / "reference.safetensors")
    names = ("input_ids", "attention_mask", "token_type_ids")
    return {name: tensors[name].long() for name in names if name in tensors}, tensors["class_labels"].long()


def plain_name(name):
    """PEFT's name of a parameter, as its file has it without the wrapper."""
    name = name.removeprefix("base_model.model.")
    return name.replace(".modules_to_save.default.", ".").replace(".default.", ".").replace(".base_layer.", ".")


def adapted(family):
    """An adapter as PEFT saves it, and what it makes of the texts."""
    folder, targets, head = ADAPTED[family]
    inputs, labels = inputs_of(folder)
    base = load(folder)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=RANK,
        lora_alpha=ALPHA,
        target_modules=targets or DEFAULT_TARGETS[base.config.model_type],
        modules_to_save=head,
        fan_in_fan_out=family == "gpt2",
    )
    model = get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(len(family))
    trainable = sorted((name, p) for name, p in model.named_parameters() if p.requires_grad)
    with torch.no_grad():
        for _, parameter in trainable:
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    output = model(**inputs, labels=labels)
    output.loss.backward()
    tensors = {"logits": output.logits, "loss": output.loss}
    for name, parameter in trainable:
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
        tensors[f"gradient.{plain_name(name)}"] = parameter.grad.clone()
    home = ROOT / family
    model.save_pretrained(home)
    (home / "README.md").unlink(missing_ok=True)
    settings = json.loads((home / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = f"goldens/{folder}/classification"
    write_json(home / "adapter_config.json", settings)
    merged = model.merge_and_unload()
    chosen = {name.removesuffix(".lora_A.weight") for name in map(plain_name, dict(trainable)) if ".lora_A." in name}
    for name, parameter in merged.named_parameters():
        if name.removesuffix(".weight") in chosen:
            tensors[f"merged.{name}"] = parameter.detach().clone()
    write_tensors(home / "reference.safetensors", tensors)
    (home / "reference.safetensors").chmod(0o644)
    return {"folder": folder, "targets": sorted(config.target_modules), "modules": len(chosen)}


def depth(name):
    """0 for embeddings, 1 and 2 for the layers, 3 for the head."""
    if "embeddings" in name:
        return 0
    return int(name.split("encoder.layer.")[1].split(".")[0]) + 1 if "encoder.layer." in name else 3


def unfreezing():
    """BERT's classification, the LayerNorms frozen throughout, the rest freed from the top down."""
    inputs, labels = inputs_of("encoders/bert")
    model = load("encoders/bert")
    named, decaying = parameters_by_saved_name(model), decaying_names(model)
    rate = UNFREEZING["learning_rate"]
    groups = [
        {"params": [p for n, p in named.items() if n in decaying], "weight_decay": UNFREEZING["weight_decay"]},
        {"params": [p for n, p in named.items() if n not in decaying], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.999), eps=UNFREEZING["epsilon"], foreach=False)
    losses, norms = [], []
    for step in range(UNFREEZING["steps"]):
        for name, parameter in named.items():
            parameter.requires_grad_(depth(name) >= 3 - step and "LayerNorm" not in name)
        optimizer.zero_grad(set_to_none=True)
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        losses.append(loss.item())
        learning = [p for p in named.values() if p.grad is not None]
        norms.append(nn.utils.clip_grad_norm_(learning, UNFREEZING["max_grad_norm"]).item())
        optimizer.step()
    tensors = {f"after.{name}": parameter for name, parameter in named.items()}
    tensors |= {"losses": torch.tensor(losses), "gradient_norms": torch.tensor(norms)}
    write_tensors(ROOT / "unfreezing.safetensors", tensors)
    (ROOT / "unfreezing.safetensors").chmod(0o644)


def vocabulary_warmup():
    """BERT's masked language modelling; some rows of the embeddings and of the bias learn before everything does."""
    inputs, _ = inputs_of("encoders/bert")
    labels = load_file(GOLDENS / "encoders/bert/reference.safetensors")["mlm_labels"].long()
    model = AutoModelForMaskedLM.from_pretrained(GOLDENS / "encoders/bert/mlm", attn_implementation="eager").float().eval()
    named, decaying = parameters_by_saved_name(model), decaying_names(model)
    tables = [p for p in named.values() if p.shape[0] == model.config.vocab_size]
    assert len(tables) == 2, "the table, tied to the decoder, and the decoder's bias"
    groups = [
        {"params": [p for n, p in named.items() if n in decaying], "weight_decay": WARMUP["weight_decay"]},
        {"params": [p for n, p in named.items() if n not in decaying], "weight_decay": 0.0},
    ]
    rate = WARMUP["learning_rate"]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=WARMUP["epsilon"], foreach=False)
    old = torch.ones(model.config.vocab_size, dtype=torch.bool)
    old[WARMUP["first"] : WARMUP["end"]] = False
    losses, norms = [], []
    for step in range(WARMUP["steps"]):
        alone = step < WARMUP["alone"]
        for parameter in named.values():
            parameter.requires_grad_(not alone or any(parameter is table for table in tables))
        optimizer.zero_grad(set_to_none=True)
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        before = [table.detach().clone() for table in tables]
        if alone:
            for table in tables:
                table.grad[old] = 0.0
        losses.append(loss.item())
        learning = [p for p in named.values() if p.grad is not None]
        norms.append(nn.utils.clip_grad_norm_(learning, WARMUP["max_grad_norm"]).item())
        optimizer.step()
        if alone:
            with torch.no_grad():
                for table, values in zip(tables, before, strict=True):
                    table[old] = values[old]
    tensors = {f"after.{name}": parameter for name, parameter in named.items()}
    tensors |= {"losses": torch.tensor(losses), "gradient_norms": torch.tensor(norms)}
    write_tensors(ROOT / "vocabulary_warmup.safetensors", tensors)
    (ROOT / "vocabulary_warmup.safetensors").chmod(0o644)


def with_masked_lm(family):
    """Classification, and a masked language model over the same encoder."""
    folder = ADAPTED[family][0]
    model = load(folder)
    words = AutoModelForMaskedLM.from_pretrained(GOLDENS / folder / "mlm", attn_implementation="eager").float().eval()
    setattr(words, words.base_model_prefix, model.base_model)
    words.tie_weights()
    return model, words


def two_losses(family, model, words):
    """Of the labels, with their last states, and of the hidden words."""
    inputs, labels = inputs_of(ADAPTED[family][0])
    targets = load_file(GOLDENS / ADAPTED[family][0] / "reference.safetensors")["mlm_labels"].long()
    output = model(**inputs, labels=labels, output_hidden_states=True)
    return output, words(**inputs, labels=targets).loss, inputs["attention_mask"], labels


def head_of(words):
    """The parameters of the masked language model that are not the encoder's."""
    encoder = {id(parameter) for parameter in words.base_model.parameters()}
    return {name: p for name, p in parameters_by_saved_name(words).items() if id(p) not in encoder}


def gradients(named):
    for name, parameter in named.items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    return {f"gradient.{name}": parameter.grad.clone() for name, parameter in named.items()}


def multi_task(family):
    """Labels and hidden words; every parameter learns."""
    model, words = with_masked_lm(family)
    output, masked, _, _ = two_losses(family, model, words)
    (output.loss + MLM_WEIGHT * masked).backward()
    named = parameters_by_saved_name(model) | {f"mlm.{name}": p for name, p in head_of(words).items()}
    return {"loss": output.loss + MLM_WEIGHT * masked, "mlm_loss": masked} | gradients(named)


def combined(family):
    """An adapter whose lowest layer is frozen, the head, the words' head, and vectors cut to several sizes."""
    model, words = with_masked_lm(family)
    head = ADAPTED[family][2]
    targets = ADAPTED[family][1] or DEFAULT_TARGETS[model.config.model_type]
    beside = head_of(words)
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS, r=RANK, lora_alpha=ALPHA, target_modules=targets, modules_to_save=head
    )
    adapter = get_peft_model(model, config).eval()
    generator = torch.Generator().manual_seed(5)
    learning = {}
    for name, parameter in sorted(adapter.named_parameters()):
        if parameter.requires_grad:
            with torch.no_grad():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
            parameter.requires_grad_(".0." not in name)
            if parameter.requires_grad:
                learning[plain_name(name)] = parameter
    for parameter in beside.values():
        parameter.requires_grad_(True)
    output, masked, mask, labels = two_losses(family, adapter, words)
    states = output.hidden_states[-1] * mask.unsqueeze(-1)
    vectors = states.sum(1) / mask.sum(1, keepdim=True)
    loss = supervised_contrastive(TEMPERATURE)
    vector_loss = sum(loss(shrink(vectors, dim), labels) for dim in DIMS)
    total = output.loss + MLM_WEIGHT * masked + VECTOR_WEIGHT * vector_loss
    total.backward()
    frozen = [p for n, p in adapter.named_parameters() if not p.requires_grad]
    assert all(parameter.grad is None for parameter in frozen)
    home = ROOT / "combined" / family
    adapter.save_pretrained(home)
    (home / "README.md").unlink(missing_ok=True)
    named = learning | {f"mlm.{name}": p for name, p in beside.items()}
    tensors = {"loss": total, "vector_loss": vector_loss} | gradients(named)
    tensors |= {f"multi_task.{name}": tensor for name, tensor in multi_task(family).items()}
    write_tensors(home / "reference.safetensors", tensors)
    (home / "reference.safetensors").chmod(0o644)


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    families = {family: adapted(family) for family in ADAPTED}
    unfreezing()
    vocabulary_warmup()
    for family in COMBINED:
        combined(family)
    notes = {
        "versions": versions() | {"peft": peft.__version__},
        "rank": RANK,
        "alpha": ALPHA,
        "families": families,
        "unfreezing": UNFREEZING,
        "vocabulary_warmup": WARMUP,
        "combined": {
            "families": COMBINED,
            "mlm_weight": MLM_WEIGHT,
            "vector_weight": VECTOR_WEIGHT,
            "dims": DIMS,
            "temperature": TEMPERATURE,
        },
    }
    write_json(ROOT / "reference.json", notes)
    print(json.dumps(notes["versions"]))


if __name__ == "__main__":
    main()
