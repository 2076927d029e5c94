"""Reference numbers of the families that are no BERT with other names: outputs, losses, every gradient.

Run:    pip install -r goldens/requirements.txt
        python goldens/families.py [family ...]
Writes: goldens/families/ (layout in goldens/README.md); of a named family, its folder.

As goldens/encoders.py: CPU, float32, one thread, eager attention, eval mode, fixed seeds.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from encoders import (
    BERT_SPECIALS,
    LABEL_NAMES,
    ROBERTA_SPECIALS,
    VOCABULARY_SIZE,
    decaying_names,
    make_model,
    make_targets,
    versions,
    write_json,
    write_tensors,
)
from safetensors.torch import load_file
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    T5EncoderModel,
)
from transformers.trainer_pt_utils import LabelSmoother

ROOT = Path(__file__).resolve().parent / "families"
# Rows that leave a local window of 4 to either side, and one shorter than it.
LENGTHS = [9, 3, 24, 7]
# (row, position) of the tokens to predict; make_targets of encoders.py labels the same ones.
# What is written after the texts; the second is longer than its text.
TARGET_LENGTHS = [5, 8, 11, 2]
SMOOTHING = 0.1
LABELLED = [(0, 2), (0, 5), (1, 1), (2, 3), (2, 7), (2, 10), (3, 4)]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
# A decoder's text has no frame; padding lies outside of the texts.
DECODER_SPECIALS = {"pad": 0, "first": None, "last": None, "mask": None}
# A text ends with </s>; the language that follows it in real texts is one of the ordinary tokens.
MBART_SPECIALS = {"pad": 1, "first": None, "last": 2, "mask": None}
T5_SPECIALS = {"pad": 0, "first": None, "last": 1, "mask": None}
MLM = ("mlm", AutoModelForMaskedLM)
CLM = ("clm", AutoModelForCausalLM)
SEQ2SEQ = ("seq2seq", AutoModelForSeq2SeqLM)
CLASSIFICATION = ("classification", AutoModelForSequenceClassification)

# (config fields, special ids, tasks beside the bare model). Dropout is named where its default is 0: it is off
# here, but tests of its own kind need some.
FAMILIES = {
    "modernbert": (
        {
            **SIZES,
            "num_hidden_layers": 3,
            "global_attn_every_n_layers": 2,
            "local_attention": 8,
            "embedding_dropout": 0.1,
            "attention_dropout": 0.1,
            "mlp_dropout": 0.1,
            "classifier_dropout": 0.1,
            "max_position_embeddings": 24,
            "pad_token_id": 0,
        },
        BERT_SPECIALS,
        (MLM, CLASSIFICATION),
    ),
    "gpt2": (
        {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_inner": 24, "n_positions": 24, "pad_token_id": 0},
        DECODER_SPECIALS,
        (CLM, CLASSIFICATION),
    ),
    "qwen3": (
        {
            **SIZES,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 6,
            "attention_dropout": 0.1,
            "max_position_embeddings": 24,
            "pad_token_id": 0,
        },
        DECODER_SPECIALS,
        (CLM, CLASSIFICATION),
    ),
    "albert": (
        {
            **SIZES,
            "num_hidden_layers": 3,
            "num_hidden_groups": 2,
            "embedding_size": 12,
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.1,
            "max_position_embeddings": 24,
        },
        BERT_SPECIALS,
        (MLM, CLASSIFICATION),
    ),
    "bart": (
        {
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 24,
            "decoder_ffn_dim": 20,
            "activation_dropout": 0.1,
            "attention_dropout": 0.1,
            "classifier_dropout": 0.1,
            "scale_embedding": True,
            "max_position_embeddings": 24,
        },
        ROBERTA_SPECIALS,
        (CLASSIFICATION, SEQ2SEQ),
    ),
    "t5": (
        {
            "d_model": 16,
            "d_kv": 6,
            "d_ff": 24,
            "num_layers": 2,
            "num_decoder_layers": 3,
            "num_heads": 2,
            "relative_attention_num_buckets": 8,
            "relative_attention_max_distance": 20,
            "feed_forward_proj": "gated-gelu",
            "classifier_dropout": 0.1,
            "decoder_start_token_id": 0,
        },
        T5_SPECIALS,
        (CLASSIFICATION,),
    ),
    "deberta-v2": (
        {
            **SIZES,
            "max_position_embeddings": 24,
            "relative_attention": True,
            "position_buckets": 6,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": "p2c|c2p",
            "position_biased_input": False,
            "pooler_dropout": 0.1,
        },
        BERT_SPECIALS,
        (MLM, CLASSIFICATION),
    ),
    "mbart": (
        {
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 24,
            "decoder_ffn_dim": 20,
            "activation_dropout": 0.1,
            "attention_dropout": 0.1,
            "classifier_dropout": 0.1,
            "scale_embedding": True,
            "max_position_embeddings": 24,
        },
        MBART_SPECIALS,
        (CLASSIFICATION, SEQ2SEQ),
    ),
    "llama": (
        {
            **SIZES,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "attention_bias": True,
            "mlp_bias": True,
            "attention_dropout": 0.1,
            "max_position_embeddings": 24,
            "pad_token_id": 0,
        },
        DECODER_SPECIALS,
        (CLM, CLASSIFICATION),
    ),
}
# What the base folder is saved as, where it is not AutoModel's choice.
BASE_CLASSES = {"t5": T5EncoderModel}


def make_config(model_type, fields, **more):
    return CONFIG_MAPPING[model_type](vocab_size=VOCABULARY_SIZE, **fields, **more)


def parameters_by_saved_name(model):
    """named_parameters, a tied tensor by the name under which it is saved."""
    tied = getattr(model, "_tied_weights_keys", None) if model.config.tie_word_embeddings else None
    return {(tied or {}).get(name, name): parameter for name, parameter in model.named_parameters()}


def save_model(model, folder):
    """Saves, and checks that the file holds exactly the parameters, tied ones once."""
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    saved, named = set(load_file(folder / "model.safetensors")), set(parameters_by_saved_name(model))
    named |= {name for name, _ in model.named_buffers() if name == "final_logits_bias"}
    assert saved == named, (saved - named, named - saved)


def is_normaliser(module):
    return isinstance(module, nn.LayerNorm) or type(module).__name__.endswith(("RMSNorm", "LayerNorm"))


def randomise(model, seed):
    """Own values for every parameter (none exactly 0 or 1, pad rows included), in name order."""
    generator = torch.Generator().manual_seed(seed)
    normalisers = {f"{name}.weight" for name, module in model.named_modules() if is_normaliser(module)}
    with torch.no_grad():
        for name, parameter in sorted(parameters_by_saved_name(model).items()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name in normalisers:
                parameter.copy_(1.0 + 0.1 * noise)
            else:
                parameter.copy_((0.3 if parameter.dim() > 1 else 0.1) * noise)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(torch.randn(model.final_logits_bias.shape, generator=generator))
    return model


def adopt_encoder(model, base):
    """Gives `model` the weights of `base`; a pooler may stay behind, a decoder keep its own."""
    report = model.base_model.load_state_dict(base.state_dict(), strict=False)
    assert all(name.startswith("decoder.") for name in report.missing_keys), report
    assert all(name.startswith("pooler.") for name in report.unexpected_keys), report
    return model


def make_models(model_type, seed):
    fields, _, tasks = FAMILIES[model_type]
    config = make_config(model_type, fields)
    if model_type in BASE_CLASSES:
        base = BASE_CLASSES[model_type]._from_config(config, attn_implementation="eager").float().eval()
    else:
        base = make_model(AutoModel, config)
    base = randomise(base, seed)
    models = {"base": base}
    for number, (task, auto_class) in enumerate(tasks):
        labels = {}
        if task == "classification":
            labels = {
                "id2label": LABEL_NAMES,
                "label2id": {name: index for index, name in LABEL_NAMES.items()},
                "problem_type": "single_label_classification",
            }
        model = randomise(make_model(auto_class, make_config(model_type, fields, **labels)), seed + 1 + number)
        models[task] = adopt_encoder(model, base)
    return models


def make_inputs(model_type, seed):
    """input_ids, with mask tokens put in where the family has one, attention_mask, and the original ids."""
    _, specials, _ = FAMILIES[model_type]
    generator = torch.Generator().manual_seed(seed)
    shape = (len(LENGTHS), max(LENGTHS))
    original = torch.randint(5, VOCABULARY_SIZE - 1, shape, generator=generator)
    attention_mask = torch.zeros(shape, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        for place, at in (("first", 0), ("last", length - 1)):
            if specials[place] is not None:
                original[row, at] = specials[place]
        original[row, length:] = specials["pad"]
        attention_mask[row, :length] = 1
    input_ids = original.clone()
    if specials["mask"] is not None:
        for place in LABELLED:
            input_ids[place] = specials["mask"]
    return {"input_ids": input_ids, "attention_mask": attention_mask}, original


def make_written(model_type, seed):
    """Texts to write after those that are read: ids, padded on the right, and -100 there for the loss."""
    _, specials, tasks = FAMILIES[model_type]
    if SEQ2SEQ not in tasks:
        return {}
    generator = torch.Generator().manual_seed(seed)
    shape = (len(TARGET_LENGTHS), max(TARGET_LENGTHS))
    target_ids = torch.randint(5, VOCABULARY_SIZE - 1, shape, generator=generator)
    for row, length in enumerate(TARGET_LENGTHS):
        target_ids[row, length - 1] = specials["last"]
        target_ids[row, length:] = -100
    return {"target_ids": target_ids}


def labels_of(task, inputs, targets):
    """Of a causal model the ids themselves, which it shifts; padding is not predicted."""
    if task == "clm":
        return inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, -100)
    if task == "seq2seq":
        return targets["target_ids"]
    return targets["mlm_labels" if task == "mlm" else "class_labels"]


def base_outputs(model, inputs):
    """Of an encoder-decoder those of the encoder."""
    encoder = model.get_encoder() if hasattr(model, "decoder") else model
    with torch.no_grad():
        output = encoder(**inputs, output_hidden_states=True)
    tensors = {f"base.hidden_states.{index}": state for index, state in enumerate(output.hidden_states)}
    tensors["base.last_hidden_state"] = output.last_hidden_state
    pooled = getattr(output, "pooler_output", None)
    if pooled is not None:
        tensors["base.pooler_output"] = pooled
    if hasattr(model, "decoder"):
        with torch.no_grad():
            tensors["base.decoder_last_hidden_state"] = model(**inputs).last_hidden_state
    return tensors


def head_outputs(task, model, inputs, labels):
    """Logits, loss and the gradient of every parameter."""
    model.zero_grad()
    output = model(**inputs, labels=labels)
    output.loss.backward()
    tensors = {f"{task}.logits": output.logits, f"{task}.loss": output.loss}
    tensors.update(gradients(task, model))
    if task == "seq2seq":
        model.zero_grad()
        output = model(**inputs, labels=labels)
        loss = LabelSmoother(epsilon=SMOOTHING)(output, labels)
        loss.backward()
        tensors[f"{task}.smoothed.loss"] = loss
        tensors.update(gradients(f"{task}.smoothed", model))
    return tensors


def gradients(prefix, model):
    tensors = {}
    for name, parameter in parameters_by_saved_name(model).items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
        tensors[f"{prefix}.gradient.{name}"] = parameter.grad.clone()
    return tensors


def measure(models, inputs, targets):
    tensors = base_outputs(models["base"], inputs)
    for task, model in models.items():
        if task != "base":
            tensors.update(head_outputs(task, model, inputs, labels_of(task, inputs, targets)))
    return tensors


def check_reload(folder, models, inputs, tasks):
    """What from_pretrained reads back must give the very same numbers."""
    for task, auto_class in (("base", type(models["base"])), *tasks):
        loaded = auto_class.from_pretrained(folder / task, attn_implementation="eager").eval()
        with torch.no_grad():
            assert torch.equal(loaded(**inputs)[0], models[task](**inputs)[0]), task


def write_family(model_type, seed):
    folder = ROOT / model_type
    shutil.rmtree(folder, ignore_errors=True)
    _, specials, tasks = FAMILIES[model_type]
    models = make_models(model_type, seed)
    inputs, original = make_inputs(model_type, seed + 10)
    targets = {**make_targets(original, seed + 11), **make_written(model_type, seed + 12)}
    for task, model in models.items():
        save_model(model, folder / task)
    check_reload(folder, models, inputs, tasks)
    tensors = measure(models, inputs, targets)
    write_tensors(folder / "reference.safetensors", {**inputs, **targets, **tensors})
    notes = {
        "model_type": model_type,
        "versions": versions(),
        "lengths": LENGTHS,
        "tasks": [task for task, _ in tasks],
        "without_weight_decay": {
            task: [n for n in parameters_by_saved_name(model) if n not in decaying_names(model)]
            for task, model in models.items()
        },
    }
    write_json(folder / "reference.json", notes)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)  # they come out readable by their owner alone


def main():
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    chosen = sys.argv[1:] or list(FAMILIES)
    for index, model_type in enumerate(FAMILIES):
        if model_type in chosen:
            write_family(model_type, 20_000 + 1000 * index)
    print(json.dumps(versions()))


if __name__ == "__main__":
    main()
