"""Reference numbers of networks over text and columns: every way of combining them, end to end.

Run:    pip install -r goldens/requirements.txt
        python goldens/joint.py
Writes: goldens/joint/ (layout in goldens/README.md); what was there before is removed.

The encoder is goldens/encoders/bert/base, its states are averaged over the real tokens. The formulas are those that Gu and
Budhkar (2021) publish, written down in plain PyTorch; gating is Rahman et al. (2020), attention Velickovic et al. (2018).
Everything runs on the CPU in float32, one thread, without dropout, from fixed seeds.
"""

import json
import platform
import shutil
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel

ROOT = Path(__file__).resolve().parent
OUT = ROOT / "joint"
NUMERICAL, INDICATORS, CATEGORIES, OUTPUTS, HIDDEN = 3, 2, [4, 9], 3, 5
BETA, SLOPE, TINY = 1.0, 0.2, 1e-12
OPTIMIZER = {"learning_rate": 5e-3, "betas": (0.9, 0.98), "epsilon": 1e-6, "weight_decay": 0.1}
TABULAR_SCALE, CLIP, STEPS = 4.0, 1.5, 5
METHODS = [
    "text_only",
    "concat",
    "mlp_on_categorical_then_concat",
    "individual_mlps_on_cat_and_numerical_feats_then_concat",
    "mlp_on_concatenated_cat_and_numerical_feats_then_concat",
    "attention_on_cat_and_numerical_feats",
    "gating_on_cat_and_num_feats_then_sum",
    "weighted_feature_sum_on_transformer_cat_and_numerical_feats",
]


def embedding_size(count):
    return min(50, max(1, round(1.6 * count**0.56)))


def embedding_width():
    return sum(embedding_size(count) for count in CATEGORIES) + INDICATORS


def shapes(method, text):
    """The parameters that a method has, by name."""
    c, n = embedding_width(), NUMERICAL
    found = {}
    if method != "text_only":
        for at, count in enumerate(CATEGORIES):
            found[f"embeddings.{at}.weight"] = (count + 1, embedding_size(count))

    def mlp(name, width):
        found[f"{name}.hidden.weight"], found[f"{name}.hidden.bias"] = (HIDDEN, width), (HIDDEN,)
        found[f"{name}.output.weight"], found[f"{name}.output.bias"] = (HIDDEN, HIDDEN), (HIDDEN,)

    width = text
    if method == "concat":
        width = text + c + n
    elif method == "mlp_on_categorical_then_concat":
        mlp("categorical_mlp", c)
        width = text + HIDDEN + n
    elif method == "individual_mlps_on_cat_and_numerical_feats_then_concat":
        mlp("categorical_mlp", c)
        mlp("numerical_mlp", n)
        width = text + 2 * HIDDEN
    elif method == "mlp_on_concatenated_cat_and_numerical_feats_then_concat":
        mlp("mlp", c + n)
        width = text + HIDDEN
    elif method == "attention_on_cat_and_numerical_feats":
        found["text.weight"], found["categorical.weight"] = (text, text), (text, c)
        found["numerical.weight"], found["attention.weight"] = (text, n), (1, 2 * text)
    elif method == "gating_on_cat_and_num_feats_then_sum":
        for name, of in (("categorical", c), ("numerical", n)):
            found[f"{name}.value.weight"] = (text, of)
            found[f"{name}.gate.weight"], found[f"{name}.gate.bias"] = (text, of + text), (text,)
        found["shift.bias"] = (text,)
    elif method.startswith("weighted_feature_sum"):
        for name, of in (("categorical", c), ("numerical", n)):
            found[f"{name}.projection.weight"], found[f"{name}.scale.weight"] = (text, of), (text,)
    found["classifier.weight"], found["classifier.bias"] = (OUTPUTS, width), (OUTPUTS,)
    return found


def parameters_of(method, text, seed):
    generator = torch.Generator().manual_seed(seed)
    values = {}
    for name, shape in shapes(method, text).items():
        values[name] = nn.Parameter(0.4 * torch.randn(shape, generator=generator))
    return values


def combine(method, p, x, c, n):
    def mlp(name, v):
        hidden = torch.relu(v @ p[f"{name}.hidden.weight"].T + p[f"{name}.hidden.bias"])
        return hidden @ p[f"{name}.output.weight"].T + p[f"{name}.output.bias"]

    if method == "text_only":
        return x
    if method == "concat":
        return torch.cat([x, c, n], 1)
    if method == "mlp_on_categorical_then_concat":
        return torch.cat([x, mlp("categorical_mlp", c), n], 1)
    if method == "individual_mlps_on_cat_and_numerical_feats_then_concat":
        return torch.cat([x, mlp("categorical_mlp", c), mlp("numerical_mlp", n)], 1)
    if method == "mlp_on_concatenated_cat_and_numerical_feats_then_concat":
        return torch.cat([x, mlp("mlp", torch.cat([c, n], 1))], 1)
    if method == "attention_on_cat_and_numerical_feats":
        parts = [x @ p["text.weight"].T, c @ p["categorical.weight"].T, n @ p["numerical.weight"].T]
        scores = [
            nn.functional.leaky_relu(torch.cat([parts[0], part], 1) @ p["attention.weight"].T, SLOPE)
            for part in parts
        ]
        shares = torch.softmax(torch.cat(scores, 1), 1)
        return sum(shares[:, [at]] * part for at, part in enumerate(parts))
    if method == "gating_on_cat_and_num_feats_then_sum":
        shift = p["shift.bias"]
        for name, v in (("categorical", c), ("numerical", n)):
            gate = torch.relu(torch.cat([v, x], 1) @ p[f"{name}.gate.weight"].T + p[f"{name}.gate.bias"])
            shift = shift + gate * (v @ p[f"{name}.value.weight"].T)
        length = lambda v: ((v * v).sum(1, keepdim=True) + TINY).sqrt()
        return x + torch.clamp(length(x) / length(shift) * BETA, max=1.0) * shift
    total = x
    for name, v in (("categorical", c), ("numerical", n)):
        total = total + (v @ p[f"{name}.projection.weight"].T) * p[f"{name}.scale.weight"]
    return total


def logits_of(method, encoder, p, inputs, columns):
    states = encoder(
        input_ids=inputs["input_ids"],
        attention_mask=inputs["attention_mask"],
        token_type_ids=inputs["token_type_ids"],
    ).last_hidden_state
    mask = inputs["attention_mask"].unsqueeze(-1).float()
    x = (states * mask).sum(1) / mask.sum(1)
    x = x * columns.get("keep_text", torch.ones(len(x))).unsqueeze(1)
    if method == "text_only":
        combined = x
    else:
        embedded = [p[f"embeddings.{at}.weight"][columns["codes"][:, at]] for at in range(len(CATEGORIES))]
        keep = columns.get("keep_columns", torch.ones(len(x))).unsqueeze(1)
        c = torch.cat([*embedded, columns["indicators"]], 1) * keep
        combined = combine(method, p, x, c, columns["numerical"] * keep)
    return combined @ p["classifier.weight"].T + p["classifier.bias"]


def load_encoder():
    encoder = AutoModel.from_pretrained(ROOT / "encoders/bert/base", attn_implementation="eager").eval()
    encoder.pooler.requires_grad_(False)  # an average of states does not pass through it
    return encoder


def decays(name, value):
    return value.dim() == 2 and "bias" not in name


def measure(method, seed, inputs, columns, labels):
    encoder = load_encoder()
    p = parameters_of(method, encoder.config.hidden_size, seed)
    found = {f"start.tabular.{name}": value.detach().clone() for name, value in p.items()}
    own = {f"bert.{name}": value for name, value in encoder.named_parameters() if value.requires_grad}
    everything = {**own, **{f"tabular.{name}": value for name, value in p.items()}}
    groups = [
        {
            "params": [value],
            "lr": OPTIMIZER["learning_rate"] * (TABULAR_SCALE if name.startswith("tabular.") else 1.0),
            "weight_decay": OPTIMIZER["weight_decay"] if decays(name, value) else 0.0,
        }
        for name, value in everything.items()
    ]
    optimizer = torch.optim.AdamW(groups, betas=OPTIMIZER["betas"], eps=OPTIMIZER["epsilon"])
    losses, norms = [], []
    for step in range(STEPS):
        logits = logits_of(method, encoder, p, inputs, columns)
        loss = nn.functional.cross_entropy(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            found["logits"], found["loss"] = logits, loss
            found.update({f"gradient.{name}": value.grad.clone() for name, value in everything.items()})
        losses.append(loss.item())
        norms.append(nn.utils.clip_grad_norm_(list(everything.values()), CLIP).item())
        optimizer.step()
    found["step.losses"], found["step.gradient_norms"] = torch.tensor(losses), torch.tensor(norms)
    found.update({f"after.{name}": value for name, value in everything.items()})
    return found


def write(path, tensors):
    narrow = {}
    for name, tensor in tensors.items():
        kind = torch.float32 if tensor.is_floating_point() else torch.int32
        narrow[name] = tensor.detach().to(kind).contiguous().clone()
    save_file(narrow, path, metadata={"format": "pt"})
    path.chmod(0o644)


def main():
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    reference = load_file(ROOT / "encoders/bert/reference.safetensors")
    inputs = {name: reference[name].long() for name in ("input_ids", "attention_mask", "token_type_ids")}
    labels = reference["class_labels"].long()
    generator = torch.Generator().manual_seed(1)
    columns = {
        "numerical": torch.randn((4, NUMERICAL), generator=generator),
        "indicators": torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        # The last row has categories that training did not have.
        "codes": torch.tensor([[0, 8], [3, 0], [0, 2], [4, 9]]),
    }
    write(OUT / "columns.safetensors", columns)
    for seed, method in enumerate(METHODS):
        write(OUT / f"{method}.safetensors", measure(method, 10 + seed, inputs, columns, labels))
    keep = {"keep_text": torch.tensor([0.0, 1.0, 1.0, 1.0]), "keep_columns": torch.tensor([1.0, 1.0, 0.0, 1.0])}
    dropped = measure("concat", 30, inputs, {**columns, **keep}, labels)
    write(OUT / "modality_dropout.safetensors", {**dropped, **keep})
    notes = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "optimizer": {**OPTIMIZER, "max_grad_norm": CLIP, "tabular_learning_rate_scale": TABULAR_SCALE},
    }
    (OUT / "reference.json").write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
