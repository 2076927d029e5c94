"""Extraction as most people do it: sentence-transformers' `encode`, batches of 32, 32-bit floats."""

from job import Job

from sentence_transformers import SentenceTransformer


def main() -> None:
    job = Job()
    job.imported()
    model = SentenceTransformer(job["model"], device="cpu")
    model.max_seq_length = job["max_seq_length"]
    texts = job.texts()
    job.save_vectors(model.encode(texts, batch_size=32, show_progress_bar=False))
    # sentence-transformers does not tell how many tokens there were; the count is that of the input files.
    job.finish(job["tokens"])


if __name__ == "__main__":
    main()
