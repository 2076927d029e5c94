"""Reference numbers of the contrastive loss, and of training by contrastive tension.

Run:    pip install -r goldens/requirements.txt
        python goldens/objectives.py
Writes: goldens/objectives/ (layout in goldens/README.md).
"""

import json
from pathlib import Path

import torch
from encoders import decaying_names, parameters_by_saved_name, versions, write_json, write_tensors
from safetensors.torch import load_file
from sentence_transformers import losses, util
from torch import nn
from transformers import AutoModel

ROOT = Path(__file__).resolve().parent / "objectives"
GOLDENS = ROOT.parent
TEMPERATURES = (0.05, 0.2)
# Two groups of texts; the first of each is paired with itself and with the others.
TENSION = {
    "groups": [[0, 1, 2, 3], [3, 1, 0, 2]],
    "steps": 5,
    "learning_rate": 1e-3,
    "weight_decay": 0.1,
    "max_grad_norm": 1.0,
    "epsilon": 1e-8,
}


def contrastive(vectors, others, temperature):
    """sentence-transformers' own loss on given vectors, with the gradient of both sides."""
    vectors, others = vectors.clone().requires_grad_(True), others.clone().requires_grad_(True)
    ranking = losses.MultipleNegativesRankingLoss(
        torch.nn.Identity(), scale=1.0 / temperature, similarity_fct=util.cos_sim
    )
    loss = ranking.compute_loss_from_embeddings([vectors, others], None)
    loss.backward()
    return loss, vectors.grad, others.grad


class Pooled(nn.Module):
    """BERT with the mean of its last states, as sentence-transformers' modules give it."""

    def __init__(self):
        super().__init__()
        folder = GOLDENS / "encoders/bert/base"
        self.encoder = AutoModel.from_pretrained(folder, attn_implementation="eager").float().eval()

    def forward(self, inputs):
        states = self.encoder(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        return {"sentence_embedding": (states * mask).sum(1) / mask.sum(1)}


def learning(module):
    """The parameters that a gradient reaches, by their saved names."""
    named = parameters_by_saved_name(module.encoder)
    return {name: parameter for name, parameter in named.items() if "pooler" not in name}


def tension():
    """sentence-transformers' ContrastiveTensionLoss, its sum as a mean; both copies learn, the second is the result."""
    texts = load_file(GOLDENS / "encoders/bert/reference.safetensors")
    inputs = {name: texts[name].long() for name in ("input_ids", "attention_mask", "token_type_ids")}
    rows = [row for group in TENSION["groups"] for row in group]
    anchors = [group[0] for group in TENSION["groups"] for _ in group]
    labels = torch.tensor([float(at == 0) for group in TENSION["groups"] for at in range(len(group))])
    sides = [{name: tensor[side] for name, tensor in inputs.items()} for side in (anchors, rows)]
    loss = losses.ContrastiveTensionLoss(Pooled())
    copies = [loss.model1, loss.model2]
    named = [learning(copy) for copy in copies]
    decaying = [decaying_names(copy.encoder) for copy in copies]
    groups = [
        {"params": [p for own, chosen in zip(named, decaying, strict=True) for n, p in own.items() if (n in chosen) == decays],
         "weight_decay": TENSION["weight_decay"] if decays else 0.0}
        for decays in (True, False)
    ]
    rate, epsilon = TENSION["learning_rate"], TENSION["epsilon"]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.999), eps=epsilon, foreach=False)
    means, norms = [], []
    for _ in range(TENSION["steps"]):
        optimizer.zero_grad(set_to_none=True)
        mean = loss(sides, labels) / len(rows)
        mean.backward()
        means.append(mean.item())
        parameters = [p for own in named for p in own.values()]
        assert all(parameter.grad is not None for parameter in parameters)
        norms.append(nn.utils.clip_grad_norm_(parameters, TENSION["max_grad_norm"]).item())
        optimizer.step()
    tensors = {f"tension.after.{name}": parameter for name, parameter in named[1].items()}
    tensors |= {f"tension.after.twin.{name}": parameter for name, parameter in named[0].items()}
    return tensors | {"tension.losses": torch.tensor(means), "tension.gradient_norms": torch.tensor(norms)}


def main():
    ROOT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(7)
    vectors = torch.randn((6, 8), generator=generator)
    others = vectors + 0.5 * torch.randn((6, 8), generator=generator)
    tensors = {"vectors": vectors, "others": others}
    for temperature in TEMPERATURES:
        loss, gradient, others_gradient = contrastive(vectors, others, temperature)
        case = f"contrastive_{temperature}"
        tensors[f"{case}.loss"] = loss
        tensors[f"{case}.vectors_gradient"] = gradient
        tensors[f"{case}.others_gradient"] = others_gradient
    tensors |= tension()
    write_tensors(ROOT / "reference.safetensors", tensors)
    (ROOT / "reference.safetensors").chmod(0o644)
    write_json(ROOT / "reference.json", {"versions": versions(), "temperatures": TEMPERATURES, "tension": TENSION})
    print(json.dumps(versions()))


if __name__ == "__main__":
    main()
