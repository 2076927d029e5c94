"""Reference numbers of the contrastive loss, and of tokens predicted in a causal model.

Run:    pip install -r goldens/requirements.txt
        python goldens/objectives.py
Writes: goldens/objectives/ (layout in goldens/README.md).
"""

import json
from pathlib import Path

import torch
from encoders import versions, write_json, write_tensors
from sentence_transformers import losses, util

ROOT = Path(__file__).resolve().parent / "objectives"
TEMPERATURES = (0.05, 0.2)


def contrastive(vectors, others, temperature):
    """sentence-transformers' own loss on given vectors, with the gradient of both sides."""
    vectors, others = vectors.clone().requires_grad_(True), others.clone().requires_grad_(True)
    ranking = losses.MultipleNegativesRankingLoss(
        torch.nn.Identity(), scale=1.0 / temperature, similarity_fct=util.cos_sim
    )
    loss = ranking.compute_loss_from_embeddings([vectors, others], None)
    loss.backward()
    return loss, vectors.grad, others.grad


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
    write_tensors(ROOT / "reference.safetensors", tensors)
    (ROOT / "reference.safetensors").chmod(0o644)
    write_json(ROOT / "reference.json", {"versions": versions(), "temperatures": TEMPERATURES})
    print(json.dumps(versions()))


if __name__ == "__main__":
    main()
