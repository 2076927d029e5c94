"""Extraction with ONNX Runtime, in 32-bit floats or int8: rows of like length together, in batches of 32."""

from job import Job, mean_pooled, sorted_batches

import numpy
import onnxruntime
from tokenizers import Tokenizer

ROWS_PER_BATCH = 32


def session_of(job: Job) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(job["onnx_model"], options, providers=["CPUExecutionProvider"])


def main() -> None:
    job = Job()
    job.imported()
    session = session_of(job)
    tokenizer = Tokenizer.from_file(f"{job['model']}/tokenizer.json")
    tokenizer.no_padding()
    tokenizer.enable_truncation(job["max_seq_length"])
    rows = [encoding.ids for encoding in tokenizer.encode_batch(job.texts())]
    lengths = list(map(len, rows))
    vectors = None
    for batch in sorted_batches(lengths, ROWS_PER_BATCH):
        ids = numpy.zeros((len(batch), lengths[batch[0]]), numpy.int64)
        for place, row in enumerate(batch):
            ids[place, : lengths[row]] = rows[row]
        mask = (numpy.arange(ids.shape[1])[None] < numpy.array([lengths[row] for row in batch])[:, None]).astype(numpy.int64)
        (hidden,) = session.run(None, {"input_ids": ids, "attention_mask": mask})
        if vectors is None:
            vectors = numpy.empty((len(rows), hidden.shape[2]), numpy.float32)
        vectors[batch] = mean_pooled(hidden, mask.astype(numpy.float32), job["normalize"])
    job.save_vectors(vectors)
    job.finish(sum(lengths))


if __name__ == "__main__":
    main()
