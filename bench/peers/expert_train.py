"""Adaptation and fine-tuning as an expert would write them for a CPU with bfloat16 instructions.

Autocast to bfloat16, batches of rows of like length, no attention mask where nothing is padded, logits at masked tokens
only, fused AdamW, and no Trainer around it.
"""

from job import Job, sorted_batches

import csv
import random
import sys

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    get_linear_schedule_with_warmup,
)


def padded(rows: list[list[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The ids, and the attention mask if there is any padding."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
    if min(map(len, rows)) == longest:
        return ids, None
    lengths = torch.tensor([len(row) for row in rows])
    return ids, (torch.arange(longest)[None] < lengths[:, None]).long()


def head_logits(model, hidden: torch.Tensor) -> torch.Tensor:
    """The masked-language-model head on some rows of states."""
    if model.config.model_type == "distilbert":
        return model.vocab_projector(model.vocab_layer_norm(model.activation(model.vocab_transform(hidden))))
    return model.cls(hidden)


class MaskedLanguageModel:
    """The objective of run_mlm: 15 % of the ordinary tokens; of these 80 % hidden, 10 % random, 10 % left."""

    def __init__(self, job: Job, tokenizer) -> None:
        self.model = AutoModelForMaskedLM.from_pretrained(job["model"], dtype=torch.float32)
        self.rows = tokenizer(job.texts(), truncation=True, max_length=job["max_seq_length"])["input_ids"]
        self.special = torch.tensor(tokenizer.all_special_ids)
        self.tokenizer, self.probability = tokenizer, job["mlm_probability"]

    def masked(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The ids that the model sees, and where it has to answer."""
        chosen = (torch.rand(ids.shape) < self.probability) & ~torch.isin(ids, self.special)
        fate = torch.rand(ids.shape)
        seen = ids.masked_fill(chosen & (fate < 0.8), self.tokenizer.mask_token_id)
        replaced = chosen & (fate >= 0.8) & (fate < 0.9)
        return torch.where(replaced, torch.randint_like(ids, len(self.tokenizer)), seen), chosen

    def loss(self, batch: list[int]) -> torch.Tensor:
        ids, mask = padded([self.rows[row] for row in batch], self.tokenizer.pad_token_id)
        seen, chosen = self.masked(ids)
        hidden = self.model.base_model(input_ids=seen, attention_mask=mask).last_hidden_state
        return cross_entropy(head_logits(self.model, hidden[chosen]).float(), ids[chosen])


class Classification:
    """One label a row."""

    def __init__(self, job: Job, tokenizer) -> None:
        csv.field_size_limit(sys.maxsize)
        with open(job["input_file"], encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        labels = sorted({row["label"] for row in rows})
        self.targets = torch.tensor([labels.index(row["label"]) for row in rows])
        texts = [row["text"] for row in rows]
        self.rows = tokenizer(texts, truncation=True, max_length=job["max_seq_length"])["input_ids"]
        self.padding = tokenizer.pad_token_id
        self.model = AutoModelForSequenceClassification.from_pretrained(
            job["model"], num_labels=len(labels), dtype=torch.float32
        )

    def loss(self, batch: list[int]) -> torch.Tensor:
        ids, mask = padded([self.rows[row] for row in batch], self.padding)
        logits = self.model(input_ids=ids, attention_mask=mask).logits
        return cross_entropy(logits.float(), self.targets[batch])


def optimizer_of(model: torch.nn.Module, job: Job) -> torch.optim.Optimizer:
    """AdamW with the groups of Trainer: biases and norms do not decay."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": job["weight_decay"]}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=job["learning_rate"], fused=True)


def train(objective: MaskedLanguageModel | Classification, job: Job) -> list[tuple[int, float]]:
    model, batches = objective.model, sorted_batches(list(map(len, objective.rows)), job["per_device_train_batch_size"])
    random.Random(job["seed"]).shuffle(batches)
    optimizer = optimizer_of(model, job)
    schedule = get_linear_schedule_with_warmup(optimizer, job["warmup_steps"], len(batches))
    losses = []
    model.train()
    for step, batch in enumerate(batches, start=1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = objective.loss(batch)
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append((step, loss.item()))
    return losses


def main() -> None:
    job = Job()
    job.imported()
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    objective = Classification(job, tokenizer) if job["kind"] == "finetune" else MaskedLanguageModel(job, tokenizer)
    losses = train(objective, job)
    objective.model.save_pretrained(job["output"])
    tokenizer.save_pretrained(job["output"])
    job.finish(sum(map(len, objective.rows)), steps=len(losses), losses=losses)


if __name__ == "__main__":
    main()
