"""How fast each engine runs the `multitask` network (ResNet50), one image on one core, against the SavedModel.

Run from the root: `PYTHONPATH=. python benchmarks/engine_speed.py --output results/engine_speed.json`.

Each engine runs in a process of its own, and they take turns, so that all see the same machine. An answer during which
other programs used the processor does not count. The weights are random, which changes no time. Expect float32 engines
at 0.75 of the SavedModel's time or less, int8 at 0.45. The peer: the same network in plain PyTorch, channels_last.
Also timed: `python cli.py predict image.png --model FILE`, from the start of the process, with all cores.
"""

import argparse
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances, peak_megabytes
from PIL import Image
from timed_process import TimedProcess, quiet_seconds, work_when_told

from busi_keras.card import Card, attach_card
from busi_keras.export.engine_file import ENGINE_FILES, export_engine_file
from busi_keras.export.saved_model import export_saved_model
from busi_keras.files import write_text
from busi_keras.inference.formats import is_standalone

SAVED_MODEL, KERAS, PEER = "saved-model", "keras", "pytorch"
ENGINES = (SAVED_MODEL, KERAS, PEER, *ENGINE_FILES)
SIZE, BATCH = 224, 8
WARM_UP = 3
CALIBRATION_IMAGES = 32
PACKAGES = ("keras", "tensorflow", "torch", "onnxruntime", "openvino", "ai-edge-litert", "numpy")
BUILD = """
import sys
import keras
from busi_keras.models import build_multitask
keras.utils.set_random_seed(0)
build_multitask(int(sys.argv[1]), "resnet50").save(sys.argv[2])
"""


@dataclass
class Runner:
    """A process that runs one engine on one core when told to; `times` are its answers by images in a batch."""

    name: str
    process: TimedProcess
    times: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def start(cls, name: str, model: Path) -> "Runner":
        """Starts the process and waits until it has warmed up."""
        core = str(min(os.sched_getaffinity(0)))
        command = ["taskset", "--cpu-list", core, sys.executable, __file__, "--runner", name, str(model)]
        threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
        return cls(name, TimedProcess(command, {**threads, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}))

    def ask(self, batch: int) -> None:
        """Runs a batch and keeps its time."""
        self.times.setdefault(batch, []).append(self.process.work(str(batch)))

    def result(self) -> dict[str, Any]:
        """Latency of one image, throughput of a batch, and memory."""
        quiet = {batch: quiet_seconds(rows) for batch, rows in self.times.items()}
        counted = {batch: quiet[batch] or [row["seconds"] for row in rows] for batch, rows in self.times.items()}
        return {
            "median_ms": 1e3 * statistics.median(counted[1]),
            "percentile_95_ms": 1e3 * float(np.percentile(counted[1], 95)),
            f"images_per_second_batch_{BATCH}": BATCH / statistics.median(counted[BATCH]),
            "peak_megabytes": self.times[BATCH][-1]["peak_megabytes"],
            "answers_counted": len(counted[1]),
            "answers": len(self.times[1]),
            "quiet": bool(quiet[1] and quiet[BATCH]),
        }


def serve(name: str, model: Path) -> None:
    """What a runner does: a batch for each line it reads, which says how many images."""
    run = engine(name, model)
    images = random_images(BATCH)

    def work(count: str) -> dict[str, Any]:
        run(images[: int(count)])
        return {"peak_megabytes": peak_megabytes()}

    for _ in range(WARM_UP):
        run(images[:1])
    run(images)
    work_when_told(work, {})


def engine(name: str, model: Path) -> Callable[[np.ndarray], Any]:
    """The function that runs letterboxed images, with one thread."""
    if name == PEER:
        return pytorch_network()
    if name in (SAVED_MODEL, KERAS):
        from busi_keras.inference.formats import open_model

        return open_model(model)[0].run
    if name == "onnx":
        from busi_keras.inference.engines.onnx import OnnxEngine

        return OnnxEngine.load(model, threads=1)[0].run
    if name == "litert":
        from busi_keras.inference.engines.litert import LiteRtEngine

        return LiteRtEngine.load(model, threads=1)[0].run
    from busi_keras.inference.engines.openvino import OpenVinoEngine

    return OpenVinoEngine.load(model, threads=1)[0].run


def pytorch_network() -> Callable[[np.ndarray], Any]:
    """The peer, with random weights: mask and class, no heat map."""
    import torch
    from pytorch_peer import Multitask

    torch.set_num_threads(1)
    network = Multitask().eval().to(memory_format=torch.channels_last)

    def run(images: np.ndarray) -> Any:
        with torch.inference_mode():
            mask, label = network(torch.from_numpy(images).permute(0, 3, 1, 2))
            return mask.sigmoid().numpy(), label.softmax(dim=-1).numpy()

    return run


def random_images(count: int) -> np.ndarray:
    """Float32 `(count, S, S, 3)`, 0-255."""
    return np.random.default_rng(0).uniform(0, 255, (count, SIZE, SIZE, 3)).astype(np.float32)


def build_models(folder: Path, engines: Sequence[str]) -> dict[str, Path]:
    """The network in each engine's format."""
    model_file = folder / "model.keras"
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", BUILD, str(SIZE), model_file], check=True, env=environment)
    card = Card("multitask", SIZE, "phantom", {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "")
    attach_card(model_file, card)
    models = {KERAS: model_file, PEER: model_file, SAVED_MODEL: export_saved_model(model_file, folder / "served")}
    calibration = [image[None] for image in random_images(CALIBRATION_IMAGES)]
    for name in set(engines) & set(ENGINE_FILES):
        target = folder / f"model{ENGINE_FILES[name].ending}"
        models[name] = export_engine_file(model_file, name, target, calibration)
    return models


def megabytes(model: Path) -> float:
    """Of a file and what belongs to it, or of a folder."""
    parts = list(model.rglob("*")) if model.is_dir() else [model]
    parts += [model.with_suffix(".bin")] if model.suffix == ".xml" else []
    return sum(part.stat().st_size for part in parts) / 1e6


def size_ratio(models: dict[str, Path]) -> float | None:
    """Int8's size to float32's, where both were exported."""
    sizes = [megabytes(models[name]) for name in ("openvino-int8", "openvino") if name in models]
    return sizes[0] / sizes[1] if len(sizes) == 2 else None


def time_predict(model: Path, image: Path, rounds: int) -> float:
    """The median seconds of `cli.py predict`, from the start of the process."""
    cli = Path(__file__).parents[1] / "cli.py"
    command = [sys.executable, cli, "predict", image, "--model", model, "--output", image.parent / "predictions"]
    seconds = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        subprocess.run(list(map(str, command)), check=True, capture_output=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])  # the first fills the disk's cache


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All that goes into the JSON."""
    models = build_models(folder, options.engines)
    runners = [Runner.start(name, models[name]) for name in options.engines]
    for _ in range(options.rounds):
        for runner in runners:
            runner.ask(1)
    for _ in range(max(1, options.rounds // BATCH)):
        for runner in runners:
            runner.ask(BATCH)
    results = {}
    for runner in runners:
        runner.process.stop()
        results[runner.name] = runner.result() | {"megabytes": megabytes(models[runner.name])}
    for result in results.values():
        result["time_ratio"] = result["median_ms"] / results[SAVED_MODEL]["median_ms"]
    image = folder / "image.png"
    Image.fromarray(random_images(1)[0].astype(np.uint8)).resize((562, 471)).save(image)
    timed = [name for name in options.engines if name == KERAS or is_standalone(models[name])]
    return {
        "what": f"the multitask network (ResNet50), {SIZE} px, one image, one core; all outputs with the heat map",
        **circumstances(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "engines": results,
        "int8_size_ratio": size_ratio(models),
        "predict_seconds": {name: time_predict(models[name], image, options.predict_rounds) for name in timed},
        "quiet": all(result["quiet"] for result in results.values()),
    }


def table(results: dict[str, Any]) -> str:
    """The results for people."""
    lines = [results["what"], results["processor"], f"{'':<15}median   95 %  ratio  images/s  peak MB  file MB"]
    for name, one in results["engines"].items():
        throughput = one[f"images_per_second_batch_{BATCH}"]
        lines.append(
            f"{name:<15}{one['median_ms']:6.0f} {one['percentile_95_ms']:6.0f} {one['time_ratio']:6.2f}"
            f" {throughput:9.2f} {one['peak_megabytes'] or float('nan'):8.0f} {one['megabytes']:8.1f}"
            + ("" if one["quiet"] else "   never quiet")
        )
    if results["int8_size_ratio"]:
        lines.append(f"int8 is {results['int8_size_ratio']:.2f} of float32's size")
    return "\n".join(lines + [f"predict with {name}: {s:.2f} s" for name, s in results["predict_seconds"].items()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--rounds", type=int, default=40, help="images each engine gets, in turn")
    parser.add_argument("--predict-rounds", type=int, default=5, help="times `predict` is started")
    parser.add_argument("--runner", nargs=2, metavar=("ENGINE", "MODEL"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.runner:
        serve(options.runner[0], Path(options.runner[1]))
        return
    if SAVED_MODEL not in options.engines:
        parser.error(f"--engines needs {SAVED_MODEL}, which the ratios are to")
    with tempfile.TemporaryDirectory() as folder:
        results = measure(options, Path(folder))
    print(table(results))
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")
    if not results["quiet"]:
        raise SystemExit("the machine was not quiet for each engine: no result; end the other programs and run again")


if __name__ == "__main__":
    main()
