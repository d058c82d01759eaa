"""Does feeding limit training? Batches alone against the training step, on the backend in use.

Run from the root: `PYTHONPATH=. python benchmarks/feeding_speed.py --output results/feeding_speed.json`.
Expect a ratio of 10 or more. Decoding is no part of it: the images are in memory before the first epoch.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from machine import circumstances

from busi_keras.config import Experiment
from busi_keras.files import write_text
from busi_keras.models import build
from busi_keras.training.batches import Arrays, TrainingBatches
from busi_keras.training.objective import Objective

BATCH_SIZE, SIZE, BATCHES, STEPS = 16, 224, 20, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    count = BATCH_SIZE * BATCHES
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    masks = rng.integers(0, 2, (count, SIZE, SIZE, 1), dtype=np.uint8)
    batches = TrainingBatches(Arrays(images, masks, rng.integers(0, 3, count, dtype=np.int32)), BATCH_SIZE, 0, 0)

    experiment = Experiment("multitask", "phantom", image_size=SIZE, backend=keras.backend.backend())
    objective = Objective(build(experiment), experiment.mask_loss, 1.0, 1.0, 0.0, (1.0, 1.0, 1.0))
    objective.compile(keras.optimizers.AdamW(1e-4))
    objective.train_on_batch(batches[0][0])

    feeding = median_seconds(batches.num_batches, lambda step: batches[step])
    training = median_seconds(STEPS, lambda step: objective.train_on_batch(batches[step][0]))
    result = {
        "what": f"multitask, ResNet50, batch {BATCH_SIZE}, {SIZE} px, on {keras.backend.backend()}",
        "feeding_images_per_second": BATCH_SIZE / feeding,
        "training_images_per_second": BATCH_SIZE / training,
        "ratio": training / feeding,
        **circumstances(),
    }
    print(json.dumps(result, indent=2))
    if options.output:
        write_text(options.output, json.dumps(result, indent=2) + "\n")


def median_seconds(count: int, work: Callable[[int], Any]) -> float:
    """Of one call of `work(step)`."""
    seconds = []
    for step in range(count):
        started = time.perf_counter()
        work(step)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
