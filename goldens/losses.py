"""Reference values and gradients of the losses, on logits of up to ±50.

Run:    pip install -r goldens/requirements.txt
        python goldens/losses.py
Writes: goldens/losses/reference.safetensors and reference.json (layout in goldens/README.md).
"""

import json
import platform
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

FOLDER = Path(__file__).resolve().parent / "losses"
ROWS, CLASSES = 8, 5
CLASS_WEIGHTS = [0.2, 1.0, 3.0, 0.5, 2.0]
POSITIVE_WEIGHTS = [1.0, 4.0, 0.25, 10.0, 2.0]


def cross_entropy_cases():
    weights = torch.tensor(CLASS_WEIGHTS)
    options = {
        "plain": {},
        "label_smoothing_0.1": {"label_smoothing": 0.1},
        "class_weights": {"weight": weights},
        "class_weights_and_label_smoothing_0.1": {"weight": weights, "label_smoothing": 0.1},
        "sum": {"reduction": "sum"},
    }
    return {
        f"cross_entropy.{labels}.{name}": (labels, nn.CrossEntropyLoss(**keywords))
        for name, keywords in options.items()
        for labels in ("labels", "labels_with_ignored")
    }


def binary_cases():
    positive_weights = torch.tensor(POSITIVE_WEIGHTS)
    cases = {}
    for targets in ("multi_hot", "soft_targets"):
        cases[f"binary_cross_entropy.{targets}.plain"] = (targets, nn.BCEWithLogitsLoss())
        weighted = nn.BCEWithLogitsLoss(pos_weight=positive_weights)
        cases[f"binary_cross_entropy.{targets}.positive_weights"] = (targets, weighted)
    return cases


def make_inputs():
    """Row 0 is certain and right, row 1 certain and wrong, rows 2 and 3 large, the rest of usual size."""
    generator = torch.Generator().manual_seed(30)
    logits = (torch.rand((ROWS, CLASSES), generator=generator) * 2 - 1) * 50
    labels = torch.randint(0, CLASSES, (ROWS,), generator=generator)
    logits[4:] *= 0.06
    logits[0], logits[1] = -50.0, 50.0
    logits[0, labels[0]], logits[1, labels[1]] = 50.0, -50.0
    ignored = labels.clone()
    ignored[2], ignored[5] = -100, -100
    return {
        "logits": logits,
        "labels": labels,
        "labels_with_ignored": ignored,
        "multi_hot": (torch.rand((ROWS, CLASSES), generator=generator) < 0.4).float(),
        "soft_targets": torch.rand((ROWS, CLASSES), generator=generator),
        "regression_targets": torch.randn((ROWS, CLASSES), generator=generator) * 20,
    }


def loss_and_gradient(logits, targets, loss_function):
    leaf = logits.clone().requires_grad_(True)
    loss = loss_function(leaf, targets)
    loss.backward()
    return loss.detach(), leaf.grad


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    inputs = make_inputs()
    cases = {**cross_entropy_cases(), **binary_cases()}
    cases["mean_squared_error"] = ("regression_targets", nn.MSELoss())
    tensors = {
        name: tensor if tensor.is_floating_point() else tensor.to(torch.int32)
        for name, tensor in inputs.items()
    }
    for name, (targets, loss_function) in cases.items():
        loss, gradient = loss_and_gradient(inputs["logits"], inputs[targets], loss_function)
        tensors[f"{name}.loss"], tensors[f"{name}.gradient"] = loss, gradient
    save_file(tensors, FOLDER / "reference.safetensors", metadata={"format": "pt"})
    (FOLDER / "reference.safetensors").chmod(0o644)
    notes = {
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "ignored_label": -100,
        "class_weights": CLASS_WEIGHTS,
        "positive_weights": POSITIVE_WEIGHTS,
        "targets": {name: targets for name, (targets, _) in cases.items()},
    }
    (FOLDER / "reference.json").write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n")
    print(json.dumps(notes["versions"]))


if __name__ == "__main__":
    main()
