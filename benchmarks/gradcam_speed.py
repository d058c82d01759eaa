"""What does a heat map cost beside a plain forward pass? Grad-CAM of a class against its peers, each in a process.

    pip install --no-deps tf-keras-vis deprecated imageio grad-cam ttach opencv-python-headless
    PYTHONPATH=. python benchmarks/gradcam_speed.py --output results/gradcam_speed.json

The network is `multitask` (ResNet50) with random weights. tf-keras-vis explains the same Keras model, pytorch-grad-cam
the same network in plain PyTorch (`pytorch_peer.py`). Expect a ratio of at most 1.2 on each backend: only the head is
differentiated, and what the heat map does not need is not computed.
"""

import argparse
import importlib.metadata
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from machine import circumstances, processor_seconds

from busi_keras.files import write_text

OURS = {"busi_keras on tensorflow": "tensorflow", "busi_keras on jax": "jax", "busi_keras on torch": "torch"}
PEERS = {"tf-keras-vis": "tensorflow", "pytorch-grad-cam": "torch"}
PACKAGES = ("keras", "tensorflow", "jax", "torch", "tf-keras-vis", "grad-cam")
Work = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(measure(options)))
        return

    busy, own, started = processor_seconds(), _own_seconds(), time.monotonic()
    results = {name: run(name, backend, options) for name, backend in {**OURS, **PEERS}.items()}
    others = processor_seconds() - busy - (_own_seconds() - own)
    share = max(0.0, others / ((time.monotonic() - started) * (os.cpu_count() or 1)))
    document = {
        "what": f"Grad-CAM of one class, multitask (ResNet50), batch {options.batch_size}, {options.image_size} px",
        "contenders": results,
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        **circumstances(),
        "share_of_the_processor_used_by_others": round(share, 3),
    }
    text = json.dumps(document, indent=2)
    print(text)
    if options.output:
        write_text(options.output, text + "\n")


def _own_seconds() -> float:
    """Processor time of this process and of the contenders that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def run(name: str, backend: str, options: argparse.Namespace) -> dict[str, float]:
    """One contender's times, measured in a process of its own."""
    sizes = [f"--batch-size={options.batch_size}", f"--image-size={options.image_size}", f"--rounds={options.rounds}"]
    command = [sys.executable, __file__, "--contender", name, *sizes]
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "KERAS_BACKEND": backend}
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Forward pass and heat map in turn, medians in seconds a batch."""
    shape = (options.batch_size, options.image_size, options.image_size, 3)
    images = np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)
    contenders = {"tf-keras-vis": _tf_keras_vis, "pytorch-grad-cam": _pytorch_grad_cam}
    forward, explain = contenders.get(options.contender, _ours)(images)
    seconds: dict[str, list[float]] = {"forward_seconds": [], "gradcam_seconds": []}
    for _ in range(2 + options.rounds):
        for times, work in zip(seconds.values(), (forward, explain), strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    medians = {name: statistics.median(times[2:]) for name, times in seconds.items()}
    return {**medians, "ratio": medians["gradcam_seconds"] / medians["forward_seconds"]}


def _ours(images: np.ndarray) -> tuple[Work, Work]:
    from busi_keras.explain.gradcam import GradCam
    from busi_keras.models import build_multitask

    network = build_multitask(images.shape[1], "resnet50")
    cam = GradCam(network)
    classes = np.arange(len(images)) % 3
    return lambda: network.predict_on_batch(images), lambda: cam.of_class(images, classes)


def _tf_keras_vis(images: np.ndarray) -> tuple[Work, Work]:
    """Its graph has to be flat and with one output; the mask head is left out, in the forward pass, too."""
    import keras
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    from busi_keras.models import build_multitask

    network = build_multitask(images.shape[1], "resnet50")
    encoder = network.get_layer("encoder")
    classifier = keras.Model(encoder.inputs, network.get_layer("label_head")(encoder.outputs[-1]))
    cam = Gradcam(classifier, clone=False)
    score = CategoricalScore([i % 3 for i in range(len(images))])
    last = encoder.outputs[-1]._keras_history.operation.name
    return lambda: classifier.predict_on_batch(images), lambda: cam(score, images, penultimate_layer=last)


def _pytorch_grad_cam(images: np.ndarray) -> tuple[Work, Work]:
    """It wants torchvision for helpers that are not used here, and torchvision wants a PyTorch built along with it."""
    import torch

    unused = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    sys.modules.update({name: MagicMock() for name in unused})
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from pytorch_peer import Multitask

    class Labels(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = Multitask().eval().to(memory_format=torch.channels_last)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.network(images)[1]

    model = Labels()
    cam = GradCAM(model=model, target_layers=[model.network.encoder])
    targets = [ClassifierOutputTarget(i % 3) for i in range(len(images))]
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)

    def forward() -> None:
        with torch.no_grad():
            model(tensor)

    return forward, lambda: cam(tensor, targets=targets)


if __name__ == "__main__":
    main()
