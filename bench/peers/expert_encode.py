"""Extraction as an expert would write it with PyTorch: weights in bfloat16, rows of like length together, no mask where
nothing is padded."""

from job import Job, mean_pooled, sorted_batches

import numpy
import torch
from transformers import AutoModel, AutoTokenizer

# Rows of a batch are chosen so that a batch has about so many tokens: more leave the caches, fewer cost calls.
TOKENS_PER_BATCH = 4096


def main() -> None:
    job = Job()
    job.imported()
    torch.set_num_threads(job["threads"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModel.from_pretrained(job["model"], dtype=torch.bfloat16).eval()
    rows = tokenizer(job.texts(), truncation=True, max_length=job["max_seq_length"])["input_ids"]
    lengths = list(map(len, rows))
    vectors = numpy.empty((len(rows), model.config.hidden_size), numpy.float32)
    mean_length = max(1, sum(lengths) // len(lengths))
    with torch.inference_mode():
        for batch in sorted_batches(lengths, max(8, TOKENS_PER_BATCH // mean_length)):
            longest, shortest = lengths[batch[0]], lengths[batch[-1]]
            padding = tokenizer.pad_token_id
            ids = torch.tensor([rows[row] + [padding] * (longest - lengths[row]) for row in batch])
            mask = (torch.arange(longest)[None] < torch.tensor([lengths[row] for row in batch])[:, None]).long()
            hidden = model(input_ids=ids, attention_mask=mask if shortest < longest else None).last_hidden_state
            vectors[batch] = mean_pooled(hidden.float(), mask, job["normalize"]).numpy()
    job.save_vectors(vectors)
    job.finish(sum(lengths))


if __name__ == "__main__":
    main()
