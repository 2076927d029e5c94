"""Reference learning rates of transformers.get_scheduler.

Run:    pip install -r goldens/requirements.txt
        python goldens/schedules.py
Writes: goldens/schedules/reference.json: for each case the learning rate every optimizer step uses.
"""

import json
import platform
from pathlib import Path

import torch
import transformers
from transformers import get_scheduler

FOLDER = Path(__file__).resolve().parent / "schedules"
LEARNING_RATE = 5e-5
TRAINING_STEPS = 20
WARMUP_STEPS = 4
# Optimizer steps past the planned end, for runs that overshoot it.
EXTRA_STEPS = 3
CASES = [
    ("linear", {}),
    ("linear", {"num_warmup_steps": 0}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.5}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr": 1e-5}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1, "num_cycles": 1.0}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2}),
    ("polynomial", {}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-6}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 10}),
    ("inverse_sqrt", {"num_warmup_steps": 0}),
    ("warmup_stable_decay", {"num_decay_steps": 6}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "decay_type": "linear", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "decay_type": "1-sqrt", "warmup_type": "cosine"}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "num_stable_steps": 5, "warmup_type": "1-sqrt", "min_lr_ratio": 0.05}),
]


def learning_rates(name, keywords):
    """The rates used by optimizer steps 0, 1, …: read before each step, as the step sees them."""
    keywords = dict(keywords)
    warmup_steps = keywords.pop("num_warmup_steps", WARMUP_STEPS)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=LEARNING_RATE)
    training_steps = None if "num_stable_steps" in keywords else TRAINING_STEPS
    scheduler = get_scheduler(name, optimizer, warmup_steps, training_steps, keywords)
    rates = []
    for _ in range(TRAINING_STEPS + EXTRA_STEPS):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        scheduler.step()
    return rates


def describe(name, keywords):
    rates = learning_rates(name, keywords)
    keywords = dict(keywords)
    return {
        "lr_scheduler_type": name,
        "num_warmup_steps": keywords.pop("num_warmup_steps", WARMUP_STEPS),
        "lr_scheduler_kwargs": keywords,
        "learning_rates": rates[:TRAINING_STEPS],
        "past_the_end": rates[TRAINING_STEPS:],
    }


def main():
    FOLDER.mkdir(exist_ok=True)
    notes = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "learning_rate": LEARNING_RATE,
        "num_training_steps": TRAINING_STEPS,
        "cases": [describe(name, keywords) for name, keywords in CASES],
    }
    (FOLDER / "reference.json").write_text(json.dumps(notes, indent=1, sort_keys=True) + "\n")
    print(json.dumps(notes["versions"]))


if __name__ == "__main__":
    main()
