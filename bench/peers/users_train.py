"""Adaptation and fine-tuning as the examples of transformers do them (run_mlm --line_by_line, run_classification).

Trainer, 32-bit floats, random batches padded to their longest row, logits of every token.
"""

from job import Job

import csv
import sys

from datasets import Dataset, load_dataset
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorForLanguageModeling,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def tokenized_texts(job: Job, tokenizer) -> Dataset:
    """As run_mlm: a text a line, cut, not padded, with the mask of special tokens."""
    data = load_dataset("text", data_files={"train": job["input_file"]}, cache_dir=job["cache"])["train"]

    def tokenize(examples):
        return tokenizer(
            examples["text"], truncation=True, max_length=job["max_seq_length"], return_special_tokens_mask=True
        )

    return data.map(tokenize, batched=True, remove_columns=["text"])


def tokenized_rows(job: Job, tokenizer) -> tuple[Dataset, list[str]]:
    """As run_classification: the texts with the numbers of their labels, and the labels."""
    csv.field_size_limit(sys.maxsize)
    data = load_dataset("csv", data_files={"train": job["input_file"]}, cache_dir=job["cache"])["train"]
    labels = sorted(set(data["label"]))
    numbers = {label: number for number, label in enumerate(labels)}

    def tokenize(examples):
        result = tokenizer(examples["text"], truncation=True, max_length=job["max_seq_length"])
        result["labels"] = [numbers[label] for label in examples["label"]]
        return result

    return data.map(tokenize, batched=True, remove_columns=["text", "label"]), labels


def training_arguments(job: Job) -> TrainingArguments:
    keys = ["per_device_train_batch_size", "learning_rate", "warmup_steps", "weight_decay", "logging_steps"]
    return TrainingArguments(
        output_dir=job["output"],
        num_train_epochs=1,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        save_strategy="no",
        eval_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=job["seed"],
        **{key: job[key] for key in keys},
    )


def main() -> None:
    job = Job()
    job.imported()
    set_seed(job["seed"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    if job["kind"] == "finetune":
        data, labels = tokenized_rows(job, tokenizer)
        model = AutoModelForSequenceClassification.from_pretrained(
            job["model"], num_labels=len(labels), dtype="float32"
        )
        collator = DataCollatorWithPadding(tokenizer)
    else:
        data = tokenized_texts(job, tokenizer)
        model = AutoModelForMaskedLM.from_pretrained(job["model"], dtype="float32")
        collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=job["mlm_probability"])
    trainer = Trainer(
        model=model, args=training_arguments(job), train_dataset=data, data_collator=collator, processing_class=tokenizer
    )
    trainer.train()
    trainer.save_model()
    losses = [(entry["step"], entry["loss"]) for entry in trainer.state.log_history if "loss" in entry]
    job.finish(sum(map(len, data["input_ids"])), steps=trainer.state.global_step, losses=losses)


if __name__ == "__main__":
    main()
