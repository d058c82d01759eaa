import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import hypothesis
import keras
import numpy as np
import pytest
from PIL import Image

from busi_keras.card import Card, attach_card
from busi_keras.config import NORMAL, PROTOCOL_PRESETS, Experiment
from busi_keras.data.busi import fingerprint, read_busi
from busi_keras.data.phantom_set import write_phantoms
from busi_keras.evaluation.detection import Detection
from busi_keras.evaluation.faithfulness import Faithfulness, Localization, Perturbation, summarize_faithfulness
from busi_keras.evaluation.predictions import write_predictions
from busi_keras.evaluation.scores import ImageScore, Overlap, summarize
from busi_keras.evaluation.surface import SurfaceDistance
from busi_keras.workflows.data_set import make_split
from tests.tiny import TINY, register_tiny

os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # small networks are compiled for longer than they run
os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads would wait for each other: workers share the cores

register_tiny()
hypothesis.settings.register_profile("project", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("project")


def pytest_sessionstart(session: pytest.Session) -> None:
    """Notebooks go on with their runs, and would train nothing where these are finished."""
    if not hasattr(session.config, "workerinput"):
        for run in (Path(__file__).parents[1] / "runs" / "notebooks").glob("*-phantom"):
            shutil.rmtree(run)


@pytest.fixture(autouse=True)
def of_its_own_precision() -> Iterator[None]:
    """A training leaves its precision behind in the process; the next test must not find it."""
    yield
    keras.config.set_dtype_policy("float32")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not ("slow" in item.keywords or item.path.suffix == ".ipynb"))
    if os.environ.get("BUSI_DATA_DIR"):
        return
    skip = pytest.mark.skip(reason="needs real BUSI: set BUSI_DATA_DIR to the folder of benign, malignant and normal")
    for item in items:
        if "busi" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 phantoms of 64 px in BUSI's layout; not to be written to."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(folder, 48, seed=0, size=64)
    return folder


@pytest.fixture(scope="session")
def make_study(phantom_folder: Path) -> Callable[..., Path]:
    """Makes folds as if they had been trained elsewhere: real splits of the phantoms, drawn scores, no network.

    `make_study(folder, protocol, made, dice=0.7, seed=0, **experiment)` makes the folds numbered in `made`, with
    lesions' Dice about `dice`; returns the folder.
    """
    records = read_busi(phantom_folder)
    alone = {record.name: record.name for record in records}

    def make(folder: Path, protocol: str, made: range, dice: float = 0.7, seed: int = 0, **fields: object) -> Path:
        settings = {
            "approach": "multitask-cnn", "data": "phantom", "fingerprint": fingerprint(records), "epochs": 1,
            "backbone": "mobilenet-v2", "image_size": 32, "batch_size": 8, "folds": 2, "protocol": protocol,
            "backend": os.environ.get("KERAS_BACKEND") or "tensorflow",
        }  # fmt: skip
        preset = {name: v for name, v in PROTOCOL_PRESETS.get(protocol, {}).items() if name != "image_size"}
        for fold in made:
            experiment = Experiment(**{**settings, **preset, "fold": fold, **fields})
            lesions_only = protocol == "lesion-70-30"
            chosen = [record for record in records if not (lesions_only and record.label == NORMAL)]
            split = make_split(experiment, chosen, alone)
            label_of = {record.name: record.label for record in records}
            rng = np.random.default_rng([seed, fold])
            scores = [_drawn_score(rng, name, label_of[name], dice) for name in split.part(split.scored)]
            place = folder / f"fold-{fold}"
            place.mkdir(parents=True)
            split.write(place / "split.json")
            (place / "experiment.json").write_text(experiment.to_json())
            write_predictions(place / "predictions.csv", scores)
            metrics = summarize(scores)
            perturbed = [
                Perturbation((0.25, 0.25), (0.75, 0.75)) if score.heat_map and not index else None
                for index, score in enumerate(scores)
            ]
            heat_maps = summarize_faithfulness(
                [score.label for score in scores],
                [Faithfulness(score.heat_map, one) for score, one in zip(scores, perturbed, strict=True)],
            )
            kept = {"dice": metrics.dice, "accuracy": metrics.accuracy, "n": metrics.n, "heat_maps": heat_maps}
            (place / "metrics.json").write_text(json.dumps({"split": split.scored, **kept}))
            row = {"stage": "multitask-cnn", "epoch": 0, "val_dice": 0.5, "val_score": 0.5, "seconds": 3.0}
            (place / "history.jsonl").write_text(json.dumps(row) + "\n")
        return folder

    return make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1M,nr_inodes=64", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def _drawn_score(rng: np.random.Generator, name: str, label: int, dice: float) -> ImageScore:
    probabilities = rng.dirichlet(1 + 3 * np.eye(3)[label])
    lesion = label != NORMAL
    share = float(np.clip(rng.normal(dice, 0.1), 0.01, 0.99)) if lesion else 1.0
    return ImageScore(
        name, label, int(probabilities.argmax()), tuple(probabilities), Overlap(share, share / (2 - share)),
        true_area=0.08 * lesion, predicted_area=0.08 * lesion,
        surface=SurfaceDistance(9.0, 3.0, 90.0) if lesion else None, detection=Detection(int(lesion), int(lesion), 0),
        heat_map=Localization(share / 2, share > dice, 0.25, 0.08) if lesion else None,
    )  # fmt: skip


@pytest.fixture(scope="session")
def stored_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `.keras` file of an untrained two-stage network of 64 px, of temperature 2.5, with its card."""
    import keras

    from busi_keras.models import build_classifier, build_two_stage, build_unet
    from busi_keras.models.novelty import novelty_head
    from busi_keras.models.temperature import set_temperature
    from tests.lively import lively

    keras.utils.set_random_seed(4)
    unet = build_unet(64, width=4)
    network = lively(build_two_stage(unet, build_classifier(64, TINY)))
    logits = unet.get_layer("mask_head").get_layer("logits")
    logits.set_weights([20 * values for values in logits.get_weights()])  # untrained masks hover about the threshold
    path = tmp_path_factory.mktemp("stored") / "model.keras"
    novelty = novelty_head(network)
    features = np.random.default_rng(9).normal(size=(40, novelty.get_layer("texture").output.shape[-1]))
    novelty.get_layer("distance").fit(features.astype(np.float32))
    set_temperature(network, 2.5)
    network.save(path)
    card = Card("two-stage", 64, "phantom", {}, "grouped", "none", TINY, {}, "test", {}, {}, "2026-11-23")
    attach_card(path, card)
    return path


@pytest.fixture(scope="session")
def saved_model(stored_network: Path) -> Path:
    """`stored_network` as the eighth version of a served model."""
    from busi_keras.export.saved_model import export_saved_model

    (stored_network.parent / "served" / "7").mkdir(parents=True)
    return export_saved_model(stored_network, stored_network.parent / "served")


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Grey, RGB and RGBA, PNG and JPEG and BMP, larger and smaller than 64 px."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(8)
    coarse = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)

    def image(mode: str, size: tuple[int, int]) -> Image.Image:
        return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)

    image("L", (200, 120)).save(folder / "grey.png")
    image("RGB", (75, 140)).save(folder / "tall.png")
    image("RGBA", (64, 64)).save(folder / "alpha.png")
    image("L", (130, 90)).save(folder / "grey.jpg", quality=95)
    image("RGB", (31, 20)).save(folder / "small.jpg", quality=95)
    image("RGB", (301, 199)).save(folder / "odd.bmp")
    return sorted(folder.iterdir())


@pytest.fixture(scope="session")
def served(saved_model: Path) -> Iterator[Mapping[str, Callable]]:
    """The signatures of `saved_model`, loaded into this process."""
    import tensorflow as tf

    model = tf.saved_model.load(str(saved_model))
    yield model.signatures
    del model  # the signatures hold no reference of their own to its variables
