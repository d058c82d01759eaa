"""Training speed of the `multitask` network on each Keras backend, side by side with the same network in plain PyTorch.

Run from the root: `PYTHONPATH=. python benchmarks/training_speed.py --output results/training_speed.json`.

Each runs in a process of its own and takes one training step in turn, so that all see the same machine. A step during
which other programs used the processor does not count: PyTorch's threads wait for each other and lose far more by it
than TensorFlow's. Expect a ratio of 1.0 or more for TensorFlow on a CPU, with oneDNN's kernels, as the commands use it;
`tensorflow-eigen` is without them: TensorFlow's own choice on processors older than AVX-512 VNNI; `tensorflow-composed`
has Keras' BatchNormalization instead of `FusedBatchNormalization`. The peer:
channels_last, `torch.optim.Adam`, eager, float32. Exits with 1 where the machine was never quiet: the numbers are then
no result.
"""

import argparse
import importlib.metadata
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances
from timed_process import TimedProcess, quiet_seconds, work_when_told

from busi_keras.files import write_text

PEER = "pytorch"
COMPOSED = "tensorflow-composed"
ENVIRONMENTS = {
    PEER: {"KERAS_BACKEND": "torch"},
    "tensorflow": {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1"},
    COMPOSED: {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "1"},
    "tensorflow-eigen": {"KERAS_BACKEND": "tensorflow", "TF_ENABLE_ONEDNN_OPTS": "0"},
    "jax": {"KERAS_BACKEND": "jax"},
    "torch": {"KERAS_BACKEND": "torch"},
}
BACKENDS = tuple(name for name in ENVIRONMENTS if name != PEER)
WARM_UP_STEPS = 2
LEARNING_RATE = 1e-4
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy")

Batch = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Runner:
    """A process that takes one training step when told to."""

    process: TimedProcess
    steps: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, name: str, options: argparse.Namespace) -> "Runner":
        """Starts the process and waits until it has warmed up."""
        sizes = ["--batch-size", str(options.batch_size), "--image-size", str(options.image_size)]
        command = [sys.executable, __file__, "--runner", name, *sizes]
        return cls(TimedProcess(command, {"TF_CPP_MIN_LOG_LEVEL": "3"} | ENVIRONMENTS[name]))

    @property
    def parameters(self) -> int:
        """How many are trained."""
        return int(self.process.ready["parameters"])

    def step(self) -> None:
        """Takes one step and keeps its time."""
        self.steps.append(self.process.work("step"))

    def result(self, images: int) -> dict[str, Any]:
        """Images a second, of the median counted step of `images` images."""
        quiet = quiet_seconds(self.steps)
        counted = quiet or [step["seconds"] for step in self.steps]
        return {
            "images_per_second": images / statistics.median(counted),
            "steps": self.steps,
            "steps_counted": len(counted),
            "quiet": bool(quiet),
        }


def run(name: str, batch: Batch) -> None:
    """What a runner does: says how many parameters it trains, then takes a step for each line it reads."""
    step, parameters = pytorch_step(batch) if name == PEER else keras_step(batch, fused=name != COMPOSED)

    def work(_: str) -> dict[str, Any]:
        step()
        return {}

    for _ in range(WARM_UP_STEPS):
        step()
    work_when_told(work, {"parameters": parameters})


def keras_step(batch: Batch, fused: bool) -> tuple[Callable[[], Any], int]:
    """A training step of this project's network, and how many parameters it trains."""
    import keras

    from busi_keras.config import Experiment
    from busi_keras.models import build
    from busi_keras.models.normalization import FusedBatchNormalization

    if not fused:
        FusedBatchNormalization.call = keras.layers.BatchNormalization.call  # type: ignore[method-assign]
    images, masks, labels = batch
    network = build(Experiment("multitask", "phantom", image_size=images.shape[1], backend=keras.backend.backend()))
    network.compile(
        keras.optimizers.Adam(LEARNING_RATE),
        {
            "mask": keras.losses.BinaryCrossentropy(from_logits=True),
            "label": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        },
    )
    truth = {"mask": masks, "label": labels}
    parameters = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    return lambda: network.train_on_batch(images, truth, return_dict=True), parameters


def pytorch_step(batch: Batch) -> tuple[Callable[[], Any], int]:
    """The same of the peer."""
    import torch
    from pytorch_peer import Multitask
    from torch.nn import functional

    network = Multitask().train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    images, masks = (torch.from_numpy(maps).permute(0, 3, 1, 2) for maps in batch[:2])
    labels = torch.from_numpy(batch[2]).long()

    def step() -> float:
        optimizer.zero_grad()
        mask_logits, label_logits = network(images)
        loss = functional.binary_cross_entropy_with_logits(mask_logits, masks)
        loss = loss + functional.cross_entropy(label_logits, labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, sum(parameter.numel() for parameter in network.parameters())


def random_batch(batch_size: int, image_size: int) -> Batch:
    """Images float32 `(B, S, S, 3)` 0-255, masks float32 `(B, S, S, 1)` 0 or 1, labels int32 `(B,)`."""
    chance = np.random.default_rng(0)
    images = chance.uniform(0, 255, (batch_size, image_size, image_size, 3)).astype("float32")
    masks = (chance.random((batch_size, image_size, image_size, 1)) > 0.8).astype("float32")
    return images, masks, chance.integers(0, 3, batch_size).astype("int32")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Runs peer and backends in turn: all that goes into the JSON."""
    runners = [Runner.start(name, options) for name in (PEER, *options.backends)]
    assert len({runner.parameters for runner in runners}) == 1, "the peer is not the same network"
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline and any(len(quiet_seconds(runner.steps)) < options.steps for runner in runners):
        for runner in runners:
            runner.step()
    for runner in runners:
        runner.process.stop()
    peer, *backends = (runner.result(options.batch_size) for runner in runners)
    for result in backends:
        result["ratio"] = result["images_per_second"] / peer["images_per_second"]
    return {
        "what": f"training the multitask network, batch {options.batch_size}, {options.image_size} px, float32",
        **circumstances(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "trained_parameters": runners[0].parameters,
        "peer": peer,
        "backends": dict(zip(options.backends, backends, strict=True)),
        "quiet": all(len(quiet_seconds(runner.steps)) >= options.steps for runner in runners),
        "best_ratio": max(result["ratio"] for result in backends),
    }


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [results["what"], f"{results['processor']}, {results['cores']} cores", ""]
    for name, result in {PEER: results["peer"], **results["backends"]}.items():
        counted = f"{result['steps_counted']} of {len(result['steps'])} steps counted"
        busy = "" if result["quiet"] else ", all while other programs ran"
        ratio = f"{result.get('ratio', 1.0):.2f} x"
        lines.append(f"{name:<18}{result['images_per_second']:6.2f} images/s   {ratio}   {counted}{busy}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--steps", type=int, default=5, help="steps of each that must count")
    parser.add_argument("--seconds", type=float, default=600, help="stop taking steps after so long")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--runner", choices=(PEER, *BACKENDS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runner:
        run(options.runner, random_batch(options.batch_size, options.image_size))
        return
    results = measure(options)
    print(table(results))
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")
    if not results["quiet"]:
        raise SystemExit("the machine was never quiet: no result; end the other programs, or give more --seconds")


if __name__ == "__main__":
    main()
