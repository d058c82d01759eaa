"""Does memory grow with epochs? Resident memory of a training process after each epoch, on the backend in use.

Run from the root on Linux: `PYTHONPATH=. python benchmarks/memory_growth.py --output results/memory_growth.json`.
Expect no growth once the first epochs have filled the backend's buffers: less than 0.5 MB an epoch.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from machine import circumstances

from busi_keras.config import Experiment
from busi_keras.files import write_text
from busi_keras.models import build_unet
from busi_keras.training.batches import Arrays
from busi_keras.training.checkpoint import Checkpoints
from busi_keras.training.trainer import Stage, train_stage

SIZE, IMAGES, EPOCHS, FILLED_AFTER = 64, 64, 60, 20


class MemoryDisplay:
    """Notes the process's memory instead of showing anything."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []

    def begin(self, stage: str, rows: Sequence[dict[str, Any]]) -> None: ...

    def start_stage(self, stage: str, epochs: int, seconds: float) -> None: ...

    def start_epoch(self, stage: str, epoch: int, epochs: int, steps: int) -> None: ...

    def step(self, step: int, logs: dict[str, float]) -> None: ...

    def end_epoch(self, row: dict[str, Any], best: bool) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.megabytes.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    masks = rng.integers(0, 2, (IMAGES, SIZE, SIZE, 1), dtype=np.uint8)
    arrays = Arrays(images, masks, rng.integers(0, 3, IMAGES, dtype=np.int32))
    experiment = Experiment(
        "two-stage", "phantom", image_size=SIZE, epochs=EPOCHS, patience=EPOCHS, backend=keras.backend.backend()
    )
    display = MemoryDisplay()
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage("segmenter", build_unet(SIZE, width=4), pretrained=False)
        train_stage(
            stage, experiment, arrays, arrays, Checkpoints(Path(folder), stage.name), display, lambda rows: None
        )

    growth = np.polyfit(range(EPOCHS - FILLED_AFTER), display.megabytes[FILLED_AFTER:], 1)[0]
    result = {
        "what": f"U-Net of width 4 on {IMAGES} images of {SIZE} px, {EPOCHS} epochs, on {keras.backend.backend()}",
        "megabytes_after_epoch": [round(value) for value in display.megabytes],
        f"growth_megabytes_an_epoch_after_{FILLED_AFTER}": round(float(growth), 3),
        **circumstances(),
    }
    print(json.dumps(result))
    if options.output:
        write_text(options.output, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
