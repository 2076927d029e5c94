"""Reference numbers of the losses that train vectors on labels: those of sentence-transformers, and SupCon.

Run:    pip install -r goldens/requirements.txt
        python goldens/embedding.py
Writes: goldens/embedding/ (layout in goldens/README.md).

CPU, float32, one thread, fixed seeds. Vectors are given; rows come first, then their partners.
"""

import json
from pathlib import Path

import torch
from encoders import versions, write_json, write_tensors
from sentence_transformers import losses, util
from torch import nn
from torch.nn import functional

ROOT = Path(__file__).resolve().parent / "embedding"
ROWS, WIDTH = 6, 8
DIMS = [8, 5, 2]
MARGIN = 1.5


def shrink(vectors, dim):
    """As sentence_transformers.losses.MatryoshkaLoss cuts them."""
    return functional.normalize(vectors[..., :dim], p=2, dim=-1)


def ranking(temperature):
    loss = losses.MultipleNegativesRankingLoss(nn.Identity(), scale=1 / temperature, similarity_fct=util.cos_sim)
    return lambda vectors, _: loss.compute_loss_from_embeddings(list(vectors.split(ROWS)), None)


def masked_ranking(temperature):
    """The same without negatives of the row's own class, which sentence-transformers does not leave out."""

    def value(vectors, classes):
        rows, partners = (functional.normalize(part, dim=-1) for part in vectors.split(ROWS))
        scores = rows @ partners.T / temperature
        own, other = classes.split(ROWS)
        same = (own[:, None] == other[None, :]) & ~torch.eye(ROWS, dtype=torch.bool)
        return functional.cross_entropy(scores.masked_fill(same, -torch.inf), torch.arange(ROWS))

    return value


def cosent(temperature):
    loss = losses.CoSENTLoss(nn.Identity(), scale=1 / temperature)
    return lambda vectors, likeness: loss.compute_loss_from_embeddings(list(vectors.split(ROWS)), likeness)


def triplet(kind, margin):
    loss = kind(nn.Identity(), margin=margin)
    return lambda vectors, classes: loss.compute_loss_from_embeddings([vectors], classes)


def supervised_contrastive(temperature):
    """Khosla et al. 2020, equation 2, written out row by row."""

    def value(vectors, classes):
        unit = functional.normalize(vectors, dim=-1)
        logits = unit @ unit.T / temperature
        terms = []
        for anchor in range(len(classes)):
            others = [at for at in range(len(classes)) if at != anchor]
            positives = [at for at in others if classes[at] == classes[anchor]]
            if positives:
                denominator = torch.logsumexp(logits[anchor, others], 0)
                terms.append(-(logits[anchor, positives] - denominator).mean())
        return torch.stack(terms).mean()

    return value


def matryoshka(loss):
    return lambda vectors, labels: sum(loss(shrink(vectors, dim), labels) for dim in DIMS)


def check_matryoshka(vectors, likeness):
    """`matryoshka` is what MatryoshkaLoss does to a model that gives these vectors."""

    class Model(nn.Module):
        def forward(self, features):
            return {"sentence_embedding": features["vectors"]}

        def get_embedding_dimension(self):
            return WIDTH

    model = Model()
    inner = losses.CoSENTLoss(model)
    whole = losses.MatryoshkaLoss(model, inner, DIMS)
    features = [{"vectors": part} for part in vectors.split(ROWS)]
    found, expected = whole(features, likeness), matryoshka(cosent(1 / 20))(vectors, likeness)
    assert torch.allclose(found, expected, atol=1e-6), (found, expected)


def main():
    ROOT.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(11)
    rows = torch.randn((ROWS, WIDTH), generator=generator)
    vectors = torch.cat([rows, rows + torch.randn((ROWS, WIDTH), generator=generator)])
    # A class of one row, whose partner is of the same class; in `mixed`, pairs of unlike rows too.
    classes = torch.tensor([0, 1, 0, 2, 1, 3, 0, 1, 0, 2, 1, 3])
    mixed = torch.tensor([0, 1, 0, 2, 1, 3, 0, 2, 0, 1, 1, 0])
    numbers = torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0, 0.5, 0.25, -1.0, 0.0, 1.0, 3.5, 0.5])
    apart = torch.arange(ROWS).repeat(2)
    pairs = lambda labels: labels.split(ROWS)  # noqa: E731
    alike = (pairs(mixed)[0] == pairs(mixed)[1]).float()
    nearness = -(pairs(numbers)[0] - pairs(numbers)[1]).abs()
    check_matryoshka(vectors, alike)
    cases = {
        "ranking.apart": (ranking(0.05), apart),
        "ranking.classes": (masked_ranking(0.05), classes),
        "triplet_hard.classes": (triplet(losses.BatchHardTripletLoss, MARGIN), classes),
        "triplet_hard.mixed": (triplet(losses.BatchHardTripletLoss, 5.0), mixed),
        "triplet_all.classes": (triplet(losses.BatchAllTripletLoss, MARGIN), classes),
        "triplet_all.mixed": (triplet(losses.BatchAllTripletLoss, 5.0), mixed),
        "supervised_contrastive.classes": (supervised_contrastive(0.07), classes),
        "supervised_contrastive.mixed": (supervised_contrastive(0.3), mixed),
        "cosent.mixed": (cosent(0.05), alike),
        "cosent.numbers": (cosent(0.2), nearness),
        "matryoshka.ranking": (matryoshka(masked_ranking(0.05)), classes),
        "matryoshka.triplet_all": (matryoshka(triplet(losses.BatchAllTripletLoss, MARGIN)), classes),
        "matryoshka.cosent": (matryoshka(cosent(0.05)), alike),
    }
    tensors = {"vectors": vectors, "classes": classes, "mixed": mixed, "numbers": numbers, "apart": apart}
    for name, (loss, labels) in cases.items():
        leaf = vectors.clone().requires_grad_(True)
        value = loss(leaf, labels)
        value.backward()
        tensors |= {f"{name}.loss": value, f"{name}.gradient": leaf.grad}
    write_tensors(ROOT / "reference.safetensors", tensors)
    (ROOT / "reference.safetensors").chmod(0o644)
    notes = {"versions": versions(), "dims": DIMS, "margin": MARGIN, "cases": sorted(cases)}
    write_json(ROOT / "reference.json", notes)
    print(json.dumps(notes["versions"]))


if __name__ == "__main__":
    main()
