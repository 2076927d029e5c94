"""Exports an encoder for ONNX Runtime: f32 with its transformer fusions, and int8 with its dynamic quantisation.

Usage:  python bench/prepare/export_onnx.py MODEL_FOLDER OUTPUT

Leaves `float32.onnx` and `int8.onnx` in OUTPUT: input_ids and attention_mask in, last_hidden_state out.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.optimizer import optimize_model
from transformers import AutoModel


class LastHiddenState(torch.nn.Module):
    """The encoder as a function of two tensors."""

    def __init__(self, folder: str) -> None:
        super().__init__()
        # The eager attention is the form that ONNX Runtime's fusions look for.
        self.encoder = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export(folder: str, output: Path) -> torch.nn.Module:
    model = LastHiddenState(folder)
    ids = torch.arange(1000, 1032).reshape(2, 16)
    mask = torch.ones_like(ids)
    mask[1, 10:] = 0
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        model,
        (ids, mask),
        output,
        input_names=names,
        output_names=["last_hidden_state"],
        dynamic_axes={name: {0: "rows", 1: "tokens"} for name in [*names, "last_hidden_state"]},
        opset_version=18,
        dynamo=False,
    )
    return model


def main(folder: str, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    plain = output / "plain.onnx"
    config = export(folder, plain).encoder.config
    heads = getattr(config, "num_attention_heads", None) or config.n_heads
    fused = optimize_model(str(plain), "bert", num_heads=heads, hidden_size=config.hidden_size, opt_level=1)
    print("fusions:", fused.get_fused_operator_statistics())
    fused.save_model_to_file(str(output / "float32.onnx"))
    # Shape inference does not know the outputs of the fused operators.
    types = {"DefaultTensorType": TensorProto.FLOAT}
    source, target = output / "float32.onnx", output / "int8.onnx"
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, extra_options=types)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
