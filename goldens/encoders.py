"""Reference numbers of tiny encoders: outputs, losses, every gradient, five AdamW steps.

Run:    pip install -r goldens/requirements.txt
        python goldens/encoders.py
Writes: goldens/encoders/ (layout in goldens/README.md); what was there before is removed.

Everything runs on the CPU in float32, one thread, eager attention, eval mode (no dropout),
from fixed seeds. The library versions go into every reference.json.
"""

import copy
import json
import platform
import shutil
from pathlib import Path

import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    CONFIG_MAPPING,
    get_linear_schedule_with_warmup,
)
from transformers.trainer_pt_utils import get_parameter_names

ROOT = Path(__file__).resolve().parent / "encoders"
VOCABULARY_SIZE = 48
BERT_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
# Special ids as the families have them; [MASK] is the last id where the real vocabulary appends it.
BERT_SPECIALS = {"pad": 0, "first": 2, "last": 3, "mask": 4}
ROBERTA_SPECIALS = {"pad": 1, "first": 0, "last": 2, "mask": VOCABULARY_SIZE - 1}
BERT_CONFIG = {
    **BERT_SIZES,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
ROBERTA_CONFIG = {
    **BERT_SIZES,
    "max_position_embeddings": 26,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
MPNET_CONFIG = {key: value for key, value in ROBERTA_CONFIG.items() if key != "type_vocab_size"}
DISTILBERT_SIZES = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
DISTILBERT_CONFIG = {**DISTILBERT_SIZES, "max_position_embeddings": 24, "pad_token_id": 0}
# (config fields, special ids). camembert and xlm-roberta run the code of roberta: one layer, no steps.
FAMILIES = {
    "bert": (BERT_CONFIG, BERT_SPECIALS),
    "distilbert": (DISTILBERT_CONFIG, BERT_SPECIALS),
    "roberta": (ROBERTA_CONFIG, ROBERTA_SPECIALS),
    "xlm-roberta": ({**ROBERTA_CONFIG, "num_hidden_layers": 1}, ROBERTA_SPECIALS),
    "camembert": ({**ROBERTA_CONFIG, "num_hidden_layers": 1}, ROBERTA_SPECIALS),
    "mpnet": (MPNET_CONFIG, ROBERTA_SPECIALS),
    "electra": ({**BERT_CONFIG, "embedding_size": 12}, BERT_SPECIALS),
}
WITHOUT_STEPS = ("xlm-roberta", "camembert")
# Real tokens of each row. mpnet gets a long row that fills its position table, so that distances
# leave the exact buckets of its relative positions (up to 7) and reach several logarithmic ones.
LENGTHS = [9, 3, 12, 7]
MPNET_LENGTHS = [9, 3, 24, 7]
WITH_TOKEN_TYPES = ("bert", "electra")  # with some ones in token_type_ids
# (row, position) of the tokens to predict; all lie inside every row and never on a special token.
LABELLED = [(0, 2), (0, 5), (1, 1), (2, 3), (2, 7), (2, 10), (3, 4)]
RANDOM_TOKEN_AT = (2, 7)
KEPT_TOKEN_AT = (3, 4)
OPTIMIZER = {"learning_rate": 5e-3, "betas": (0.9, 0.98), "epsilon": 1e-6, "weight_decay": 0.1}
TRAINING_STEPS = 5
WARMUP_STEPS = 2
# As transformers.Trainer.get_decay_parameter_names: these and everything in an nn.LayerNorm do not decay.
NO_DECAY_PATTERNS = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]
LABEL_NAMES = {0: "red", 1: "green", 2: "blue"}
CLASS_WEIGHTS = [0.5, 1.0, 2.0]
LABEL_SMOOTHING = 0.1


def versions():
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "safetensors": safetensors.__version__,
    }


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def write_tensors(path, tensors):
    """float32 or int32, and one metadata key only: the order of several is not fixed."""
    narrow = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if tensor.is_floating_point() else torch.int32
        narrow[name] = tensor.detach().to(kind).contiguous().clone()
    save_file(narrow, path, metadata={"format": "pt"})


def make_config(model_type, fields, **more):
    return CONFIG_MAPPING[model_type](vocab_size=VOCABULARY_SIZE, initializer_range=0.3, **fields, **more)


def make_model(auto_class, config):
    return auto_class.from_config(config, attn_implementation="eager").float().eval()


def randomise(model, seed, keep=()):
    """Own values for every parameter (none exactly 0 or 1, pad rows included), in name order."""
    generator = torch.Generator().manual_seed(seed)
    modules = model.named_modules()
    normalisers = {f"{name}.weight" for name, module in modules if isinstance(module, nn.LayerNorm)}
    with torch.no_grad():
        for name, parameter in sorted(parameters_by_saved_name(model).items()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name in keep:
                continue
            if name in normalisers:
                parameter.copy_(1.0 + 0.1 * noise)
            else:
                parameter.copy_((0.3 if parameter.dim() > 1 else 0.1) * noise)
    return model


def adopt_encoder(model, base):
    """Gives `model` the encoder weights of `base`; only the pooler may stay behind."""
    report = model.base_model.load_state_dict(base.state_dict(), strict=False)
    assert not report.missing_keys, report
    assert all(name.startswith("pooler.") for name in report.unexpected_keys), report
    return model


def make_models(model_type, seed):
    fields, _ = FAMILIES[model_type]
    base = randomise(make_model(AutoModel, make_config(model_type, fields)), seed)
    mlm = randomise(make_model(AutoModelForMaskedLM, make_config(model_type, fields)), seed + 1)
    labelled = make_config(
        model_type,
        fields,
        id2label=LABEL_NAMES,
        label2id={name: index for index, name in LABEL_NAMES.items()},
        problem_type="single_label_classification",
    )
    classification = randomise(make_model(AutoModelForSequenceClassification, labelled), seed + 2)
    return base, adopt_encoder(mlm, base), adopt_encoder(classification, base)


def parameters_by_saved_name(model):
    """named_parameters, but a tied tensor goes by the name under which it is saved.

    XLMRobertaForMaskedLM makes its head before its encoder, and so calls the word embeddings
    lm_head.decoder.weight.
    """
    saved_name = getattr(model, "_tied_weights_keys", None) or {}
    return {saved_name.get(name, name): parameter for name, parameter in model.named_parameters()}


def save_model(model, folder):
    """Saves, and checks that the file holds exactly the parameters, tied ones once."""
    model.save_pretrained(folder)
    saved, named = set(load_file(folder / "model.safetensors")), set(parameters_by_saved_name(model))
    assert saved == named, (saved - named, named - saved)


def row_lengths(model_type):
    return MPNET_LENGTHS if model_type == "mpnet" else LENGTHS


def make_inputs(model_type, seed):
    """input_ids with mask tokens put in, attention_mask, token_type_ids, and the original ids."""
    _, specials = FAMILIES[model_type]
    lengths = row_lengths(model_type)
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    original = torch.randint(5, VOCABULARY_SIZE - 1, shape, generator=generator)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    token_type_ids = torch.zeros(shape, dtype=torch.long)
    for row, length in enumerate(lengths):
        original[row, 0], original[row, length - 1] = specials["first"], specials["last"]
        original[row, length:] = specials["pad"]
        attention_mask[row, :length] = 1
        token_type_ids[row, (length + 1) // 2 : length] = row != 1
    input_ids = original.clone()
    for place in LABELLED:
        input_ids[place] = specials["mask"]
    input_ids[RANDOM_TOKEN_AT] = 5 + (original[RANDOM_TOKEN_AT] - 4) % (VOCABULARY_SIZE - 6)
    input_ids[KEPT_TOKEN_AT] = original[KEPT_TOKEN_AT]
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
    if model_type in WITH_TOKEN_TYPES:
        inputs["token_type_ids"] = token_type_ids
    return inputs, original


def make_targets(original, seed):
    generator = torch.Generator().manual_seed(seed)
    mlm_labels = torch.full_like(original, -100)
    for place in LABELLED:
        mlm_labels[place] = original[place]
    return {
        "mlm_labels": mlm_labels,
        "class_labels": torch.tensor([2, 0, 1, 2]),
        "multi_hot_labels": torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]]),
        "regression_targets": torch.randn((4, 3), generator=generator),
    }


def base_outputs(model, inputs):
    with torch.no_grad():
        output = model(**inputs, output_hidden_states=True)
    tensors = {f"base.hidden_states.{index}": state for index, state in enumerate(output.hidden_states)}
    tensors["base.last_hidden_state"] = output.last_hidden_state
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None:
        tensors["base.pooler_output"] = pooled
    return tensors


def head_outputs(task, model, inputs, labels):
    """Last hidden state, logits, loss and the gradient of every parameter."""
    model.zero_grad()
    output = model(**inputs, labels=labels, output_hidden_states=True)
    output.loss.backward()
    tensors = {
        f"{task}.hidden_states.last": output.hidden_states[-1],
        f"{task}.logits": output.logits,
        f"{task}.loss": output.loss,
    }
    for name, parameter in parameters_by_saved_name(model).items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
        tensors[f"{task}.gradient.{name}"] = parameter.grad.clone()
    return tensors


def other_losses(logits, targets):
    """The other problem types on the same logits, with gradients with respect to the logits."""
    labels = targets["class_labels"]
    weights = torch.tensor(CLASS_WEIGHTS, dtype=logits.dtype)
    losses = {
        "multi_label": lambda x: nn.BCEWithLogitsLoss()(x, targets["multi_hot_labels"].to(x.dtype)),
        "regression": lambda x: nn.MSELoss()(x, targets["regression_targets"].to(x.dtype)),
        "label_smoothing_0.1": lambda x: nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)(x, labels),
        "class_weights": lambda x: nn.CrossEntropyLoss(weight=weights)(x, labels),
    }
    tensors = {}
    for name, loss_function in losses.items():
        leaf = logits.detach().clone().requires_grad_(True)
        loss = loss_function(leaf)
        loss.backward()
        tensors[f"classification.loss.{name}"] = loss
        tensors[f"classification.loss.{name}.logits_gradient"] = leaf.grad
    return tensors


def decaying_names(model):
    return set(get_parameter_names(model, [nn.LayerNorm], NO_DECAY_PATTERNS))


def make_optimizer(model):
    decaying = decaying_names(model)
    named = parameters_by_saved_name(model).items()
    groups = [
        {"params": [p for n, p in named if n in decaying], "weight_decay": OPTIMIZER["weight_decay"]},
        {"params": [p for n, p in named if n not in decaying], "weight_decay": 0.0},
    ]
    rate, betas, epsilon = (OPTIMIZER[key] for key in ("learning_rate", "betas", "epsilon"))
    return torch.optim.AdamW(groups, lr=rate, betas=betas, eps=epsilon, foreach=False)


def five_steps(task, model, inputs, labels, max_grad_norm):
    """Trains a copy on the one batch; the learning rate noted is the one the step used."""
    model = copy.deepcopy(model)
    optimizer = make_optimizer(model)
    scheduler = get_linear_schedule_with_warmup(optimizer, WARMUP_STEPS, TRAINING_STEPS)
    losses, norms, rates = [], [], []
    for _ in range(TRAINING_STEPS):
        optimizer.zero_grad()
        loss = model(**inputs, labels=labels).loss
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm).item())
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    tensors = {
        f"{task}.step.losses": torch.tensor(losses, dtype=torch.float64),
        f"{task}.step.gradient_norms": torch.tensor(norms, dtype=torch.float64),
        f"{task}.step.learning_rates": torch.tensor(rates, dtype=torch.float64),
    }
    tensors.update({f"{task}.after.{name}": p for name, p in parameters_by_saved_name(model).items()})
    return tensors


def measure(models, inputs, targets, max_grad_norms):
    """All reference tensors of one architecture, in the precision of the models."""
    base, mlm, classification = models
    tensors = base_outputs(base, inputs)
    for task, model, labels in (
        ("mlm", mlm, targets["mlm_labels"]),
        ("classification", classification, targets["class_labels"]),
    ):
        tensors.update(head_outputs(task, model, inputs, labels))
        if task in max_grad_norms:
            tensors.update(five_steps(task, model, inputs, labels, max_grad_norms[task]))
    tensors.update(other_losses(tensors["classification.logits"], targets))
    return tensors


def kind_of(name):
    """Key biases apart: softmax cancels them, so their gradient is noise, which AdamW blows up."""
    kind = ".".join(name.split(".")[:2])
    is_key_bias = name.endswith((".key.bias", ".k_lin.bias", ".attn.k.bias"))
    return f"{kind}.key_biases" if is_key_bias else kind


def rounding(tensors, exact):
    """Largest |float32 - float64| of each kind of number: what no float32 code can be blamed for."""
    largest = {}
    for name, tensor in tensors.items():
        difference = (tensor.double() - exact[name].double()).abs().max().item()
        largest[kind_of(name)] = max(largest.get(kind_of(name), 0.0), difference)
    return {kind: float(f"{difference:.2e}") for kind, difference in largest.items()}


def choose_max_grad_norms(models, inputs, targets):
    """A little under the first step's norm, so that some steps clip; two significant digits."""
    chosen = {}
    for task, model, kind in (("mlm", models[1], "mlm_labels"), ("classification", models[2], "class_labels")):
        model.zero_grad()
        model(**inputs, labels=targets[kind]).loss.backward()
        norm = nn.utils.get_total_norm([p.grad for p in model.parameters()]).item()
        chosen[task] = float(f"{0.8 * norm:.2g}")
    return chosen


def training_notes(models, tensors, max_grad_norms):
    notes = {}
    for task, model in (("mlm", models[1]), ("classification", models[2])):
        norms = tensors[f"{task}.step.gradient_norms"].tolist()
        assert any(norm > max_grad_norms[task] for norm in norms), (task, norms)
        decaying = decaying_names(model)
        notes[task] = {
            "max_grad_norm": max_grad_norms[task],
            "clipped_steps": [step for step, norm in enumerate(norms) if norm > max_grad_norms[task]],
            "learning_rates": tensors[f"{task}.step.learning_rates"].tolist(),
            "losses": tensors[f"{task}.step.losses"].tolist(),
            "gradient_norms": tensors[f"{task}.step.gradient_norms"].tolist(),
            "without_weight_decay": [n for n in parameters_by_saved_name(model) if n not in decaying],
        }
    return notes


def reference_notes(model_type, models, tensors, exact, max_grad_norms):
    notes = {
        "model_type": model_type,
        "versions": versions(),
        "lengths": row_lengths(model_type),
        "pad_token_id": FAMILIES[model_type][1]["pad"],
        "labels": list(LABEL_NAMES.values()),
        "class_weights": CLASS_WEIGHTS,
        "tied_to": getattr(models[1], "_tied_weights_keys", {}),
        "float32_minus_float64": rounding(tensors, exact),
    }
    if max_grad_norms:
        notes["optimizer"] = {
            "name": "torch.optim.AdamW",
            **OPTIMIZER,
            "schedule": "linear",
            "training_steps": TRAINING_STEPS,
            "warmup_steps": WARMUP_STEPS,
            "clipping": "gradients *= min(1, max_grad_norm / (norm + 1e-6))",
        }
        notes["training"] = training_notes(models, tensors, max_grad_norms)
    return notes


def check_reload(folder, models, inputs):
    """What from_pretrained reads back must give the very same numbers."""
    classes = (AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification)
    for name, auto_class, model in zip(("base", "mlm", "classification"), classes, models):
        loaded = auto_class.from_pretrained(folder / name, attn_implementation="eager").eval()
        with torch.no_grad():
            assert torch.equal(loaded(**inputs)[0], model(**inputs)[0]), name


def write_architecture(model_type, seed):
    folder = ROOT / model_type
    models = make_models(model_type, seed)
    inputs, original = make_inputs(model_type, seed + 3)
    targets = make_targets(original, seed + 4)
    for name, model in zip(("base", "mlm", "classification"), models):
        save_model(model, folder / name)
    check_reload(folder, models, inputs)
    without_steps = model_type in WITHOUT_STEPS
    max_grad_norms = {} if without_steps else choose_max_grad_norms(models, inputs, targets)
    tensors = measure(models, inputs, targets, max_grad_norms)
    doubles = [copy.deepcopy(model).double() for model in models]
    exact = measure(doubles, inputs, targets, max_grad_norms)
    write_tensors(folder / "reference.safetensors", {**inputs, **targets, **tensors})
    notes = reference_notes(model_type, models, tensors, exact, max_grad_norms)
    write_json(folder / "reference.json", notes)
    return models, inputs


def historic_name(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def write_bert_legacy(base, mlm, inputs):
    """bert/base and the head of bert/mlm as files of 2018 hold them, with what readers must ignore."""
    folder = ROOT / "bert-legacy"
    folder.mkdir()
    tensors = {f"bert.{name}": p for name, p in base.named_parameters()}
    tensors.update({n: p for n, p in mlm.named_parameters() if n.startswith("cls.")})
    tensors = {historic_name(n): p.detach().clone() for n, p in tensors.items()}
    generator = torch.Generator().manual_seed(99)
    tensors["cls.seq_relationship.weight"] = torch.randn((2, 16), generator=generator)
    tensors["cls.seq_relationship.bias"] = torch.randn((2,), generator=generator)
    tensors["bert.embeddings.position_ids"] = torch.arange(24).unsqueeze(0)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((ROOT / "bert/mlm/config.json").read_text())
    for recent in ("dtype", "classifier_dropout", "is_decoder", "add_cross_attention", "tie_word_embeddings"):
        config.pop(recent)
    config.update(position_embedding_type="absolute", gradient_checkpointing=False)
    config["transformers_version"] = "4.6.0.dev0"
    write_json(folder / "config.json", config)
    for auto_class, model in ((AutoModel, base), (AutoModelForMaskedLM, mlm)):
        loaded = auto_class.from_pretrained(folder, attn_implementation="eager").eval()
        with torch.no_grad():
            assert torch.equal(loaded(**inputs)[0], model(**inputs)[0])


def write_bert_sharded(mlm):
    """bert/mlm in three files and an index; same numbers as bert/mlm."""
    folder = ROOT / "bert-sharded"
    mlm.save_pretrained(folder, max_shard_size="10KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) == 3, shards
    merged = {name: tensor for shard in shards for name, tensor in load_file(shard).items()}
    assert all(torch.equal(merged[name], p) for name, p in mlm.named_parameters())


def write_variant(name, config, inputs, seed, keep=()):
    model = randomise(make_model(AutoModel, config), seed, keep)
    save_model(model, ROOT / "variants" / name)
    with torch.no_grad():
        return {f"{name}.last_hidden_state": model(**inputs).last_hidden_state}


def write_variants(inputs):
    """Other activations and DistilBERT's sinusoidal positions, one layer each, inputs of bert."""
    ids = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    tensors = dict(inputs)
    for seed, activation in ((500, "gelu_new"), (600, "relu")):
        config = make_config("bert", {**BERT_CONFIG, "num_hidden_layers": 1, "hidden_act": activation})
        tensors.update(write_variant(f"bert-{activation.replace('_', '-')}", config, inputs, seed))
    config = make_config("distilbert", {**DISTILBERT_CONFIG, "n_layers": 1, "sinusoidal_pos_embds": True})
    keep = ("embeddings.position_embeddings.weight",)
    tensors.update(write_variant("distilbert-sinusoidal", config, ids, 700, keep))
    write_tensors(ROOT / "variants.safetensors", tensors)
    notes = {
        "versions": versions(),
        "folders": sorted(path.name for path in (ROOT / "variants").iterdir()),
        "inputs": "those of bert; distilbert-sinusoidal takes no token_type_ids",
    }
    write_json(ROOT / "variants.json", notes)


def main():
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(ROOT, ignore_errors=True)
    ROOT.mkdir()
    for index, model_type in enumerate(FAMILIES):
        models, inputs = write_architecture(model_type, 1000 * (index + 1))
        if model_type == "bert":
            write_bert_legacy(models[0], models[1], inputs)
            write_bert_sharded(models[1])
            write_variants(inputs)
    for path in ROOT.rglob("*.safetensors"):
        path.chmod(0o644)  # they come out readable by their owner alone
    print(json.dumps(versions()))


if __name__ == "__main__":
    main()
