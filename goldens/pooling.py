"""Reference numbers of sentence-transformers' Pooling.

Run:    pip install -r goldens/requirements.txt
        python goldens/pooling.py
Writes: goldens/pooling/reference.safetensors and reference.json (layout in goldens/README.md).
"""

import json
import platform
from pathlib import Path

import sentence_transformers
import torch
from safetensors.torch import save_file
from sentence_transformers.sentence_transformer.modules import Pooling

FOLDER = Path(__file__).resolve().parent / "pooling"
EMBEDDING_DIMENSION = 8
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
# ST 6.2 concatenates in the order given; the booleans of older files give the order of MODES.
CONCATENATIONS = {
    "all": MODES,
    "lasttoken_then_mean": ("lasttoken", "mean"),
    "booleans_mean_and_cls": ("cls", "mean"),
}
BATCHES = {
    # right padding, left padding, none
    "mixed": [[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]],
    # right padding only; the last row is shorter than the longest prompt below
    "right": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]],
}
# prompt_length 0: include_prompt true. 4 empties the last row of "right".
CASES = [("mixed", 0), ("mixed", 2), ("right", 0), ("right", 2), ("right", 4)]


def pool(module, token_embeddings, mask, prompt_length):
    features = {"token_embeddings": token_embeddings.clone(), "attention_mask": mask.clone()}
    if prompt_length:
        features["prompt_length"] = prompt_length
    return module(features)["sentence_embedding"].contiguous().clone()


def make_modules(include_prompt):
    modules = {mode: Pooling(EMBEDDING_DIMENSION, mode, include_prompt) for mode in MODES}
    for name, modes in CONCATENATIONS.items():
        modules[f"concatenation.{name}"] = Pooling(EMBEDDING_DIMENSION, modes, include_prompt)
    booleans = Pooling(
        EMBEDDING_DIMENSION,
        pooling_mode_mean_tokens=True,
        pooling_mode_cls_token=True,
        include_prompt=include_prompt,
    )
    assert booleans.pooling_mode == CONCATENATIONS["booleans_mean_and_cls"]
    return modules


def main():
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    generator = torch.Generator().manual_seed(20)
    token_embeddings = torch.randn((3, 6, EMBEDDING_DIMENSION), generator=generator)
    tensors, cases = {"token_embeddings": token_embeddings}, []
    for batch, rows in BATCHES.items():
        tensors[f"{batch}.attention_mask"] = torch.tensor(rows, dtype=torch.int32)
    for batch, prompt_length in CASES:
        mask = tensors[f"{batch}.attention_mask"].long()
        case = f"{batch}.prompt_{prompt_length}" if prompt_length else batch
        cases.append({"case": case, "mask": f"{batch}.attention_mask", "prompt_length": prompt_length})
        for name, module in make_modules(include_prompt=not prompt_length).items():
            tensors[f"{case}.{name}"] = pool(module, token_embeddings, mask, prompt_length)
    save_file(tensors, FOLDER / "reference.safetensors", metadata={"format": "pt"})
    (FOLDER / "reference.safetensors").chmod(0o644)
    notes = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "sentence_transformers": sentence_transformers.__version__,
        },
        "modes": MODES,
        "concatenations": CONCATENATIONS,
        "cases": cases,
        "tensor_name": "<case>.<mode> or <case>.concatenation.<name>",
    }
    (FOLDER / "reference.json").write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n")
    print(json.dumps(notes["versions"]))


if __name__ == "__main__":
    main()
