"""Takes the numbers of finished runs into `results/` and writes README's tables from all that is there.

    python results/update.py runs/busi-multitask-resnet50 ...   # take runs in, then write the tables
    python results/update.py                                    # write the tables alone

Only numbers and plots of numbers are taken: no image of the data set, and no figure that shows one.
"""

import json
import os
import shutil
import sys
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from busi_keras.card import read_card  # noqa: E402
from busi_keras.config import PRESETS, PRETRAINED_ENCODER_RATE, PROTOCOL_PRESETS, Experiment  # noqa: E402
from busi_keras.files import write_text  # noqa: E402
from busi_keras.training.run import Run  # noqa: E402

RESULTS = ROOT / "results"
README = ROOT / "README.md"
NUMBERS = ("metrics.json", "predictions.csv", "history.jsonl", "split.json")
PLOTS = ("history.png", "confusion.png", "roc.png")


def take(run: Run) -> Path:
    """Copies a finished run's numbers and plots of numbers into `results/NAME/`."""
    from busi_keras.training.device import processor_name

    folder = RESULTS / run.folder.resolve().name
    folder.mkdir(exist_ok=True)
    for name in NUMBERS:
        shutil.copy(run.folder / name, folder / name)
    for name in PLOTS:
        shutil.copy(run.figures / name, folder / name)
    card = read_card(run.model_file)
    if json.loads((folder / "metrics.json").read_text())["split"] != run.split.scored:
        raise SystemExit(f"{run.folder} was last scored on another part; python cli.py evaluate {run.folder} first")
    experiment = asdict(run.experiment) | {"weights": card.weights}
    write_text(folder / "experiment.json", json.dumps(experiment, indent=2) + "\n")
    made = {
        "command": command(Experiment(**experiment)),
        "date": card.date,
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "versions": card.versions,
        "epochs": card.epochs,
        "training_minutes": round(sum(row["seconds"] for row in run.history()) / 60, 1),
    }
    write_text(folder / "made.json", json.dumps(made, indent=2) + "\n")
    return folder


def command(experiment: Experiment) -> str:
    """The command that repeats an experiment."""
    defaults = Experiment(experiment.approach, experiment.data)
    defaults = replace(defaults, **PRESETS[experiment.approach], **PROTOCOL_PRESETS.get(experiment.protocol, {}))
    if experiment.pretrained:
        defaults = replace(defaults, encoder_rate=PRETRAINED_ENCODER_RATE)
    follows = {"approach", "data", "fingerprint", "frozen_epochs", "augment"}
    always = {"backbone", "weights", "epochs"}
    given = [
        f"--{field.name.replace('_', '-')} {getattr(experiment, field.name)}"
        for field in fields(experiment)
        if field.name in always
        or (field.name not in follows and getattr(experiment, field.name) != getattr(defaults, field.name))
    ]
    return " ".join(["python cli.py train --approach", experiment.approach, "--data", experiment.data, *given])


def results_table() -> str:
    """The runs in `results/`, a row each."""
    header = (
        "| approach | encoder, starting weights | epochs trained (chosen) | Dice | lesion Dice | IoU | normals clean "
        "| accuracy | macro F1 | malignant AUC | n |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    return "\n".join(
        [header, *(_row(folder) for folder in sorted(RESULTS.glob("*/")) if (folder / "made.json").exists())]
    )


def speed_table() -> str:
    """Training speed of each backend as a ratio to the same network in PyTorch."""
    file = RESULTS / "training_speed.json"
    if not file.exists():
        return ""
    speed = json.loads(file.read_text())
    rows = {"plain PyTorch": speed["peer"] | {"ratio": 1.0}}
    rows |= {f"Keras on {name}": result for name, result in speed["backends"].items()}
    lines = [
        f"| {name} | {r['images_per_second']:.2f} | {r['ratio']:.2f} | {'yes' if r['quiet'] else 'no'} |"
        for name, r in rows.items()
    ]
    return "\n".join(["| network | images a second | ratio | machine was quiet |\n|---|---|---|---|", *lines])


def feeding_and_memory() -> str:
    """What feeding delivers against what training takes, and whether memory grows."""
    lines = []
    if (file := RESULTS / "feeding_speed.json").exists():
        feeding = json.loads(file.read_text())
        lines.append(
            f"- Feeding alone delivers {feeding['ratio']:.0f} times the images that a training step takes "
            f"({feeding['what']}): the images are in memory, augmentation is part of the compiled step."
        )
    if (file := RESULTS / "memory_growth.json").exists():
        memory = json.loads(file.read_text())
        growth = next(value for name, value in memory.items() if name.startswith("growth"))
        lines.append(f"- Resident memory grows by {growth:.2f} MB an epoch ({memory['what']}).")
    return "\n".join(lines)


def engine_table() -> str:
    """Latency, throughput, memory and size of each engine, and what int8 costs."""
    file = RESULTS / "engine_speed.json"
    if not file.exists():
        return ""
    speed = json.loads(file.read_text())
    seconds = speed["predict_seconds"]
    lines = [
        "| engine | median ms | 95 % ms | to the SavedModel | images/s, batch 8 | peak MB | file MB | `predict` s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, one in speed["engines"].items():
        throughput = next(value for key, value in one.items() if key.startswith("images_per_second"))
        lines.append(
            f"| {name} | {one['median_ms']:.0f} | {one['percentile_95_ms']:.0f} | {one['time_ratio']:.2f} | "
            f"{throughput:.1f} | {_peak(one)} | {one['megabytes']:.1f} | "
            f"{f'{seconds[name]:.2f}' if name in seconds else ''} |"
        )
    return "\n".join(lines)


def _peak(one: dict[str, Any]) -> str:
    return "not measured" if one["peak_megabytes"] is None else f"{one['peak_megabytes']:.0f}"


def int8_line() -> str:
    """What int8 costs in Dice and accuracy."""
    file = RESULTS / "int8_loss.json"
    if not file.exists():
        return ""
    loss = json.loads(file.read_text())
    before, after = loss["scores"]["float32"], loss["scores"]["int8"]
    changes = (f"{name.replace('_', ' ')} {before[name]:.4f} to {after[name]:.4f}" for name in before)
    return (
        f"{loss['what']} of BUSI, n = {loss['n']}: {', '.join(changes)}; another class in {loss['other_class']}; "
        f"{loss['size_ratio']:.0%} of the size."
    )


def gradcam_table() -> str:
    """What a heat map costs beside a forward pass, here and in the peers."""
    file = RESULTS / "gradcam_speed.json"
    if not file.exists():
        return ""
    lines = ["| | forward pass, s a batch | Grad-CAM, s a batch | ratio |", "|---|---|---|---|"]
    for name, one in json.loads(file.read_text())["contenders"].items():
        lines.append(f"| {name} | {one['forward_seconds']:.2f} | {one['gradcam_seconds']:.2f} | {one['ratio']:.2f} |")
    return "\n".join(lines)


def readme(text: str) -> str:
    """README with its tables as `results/` has them now."""
    for name, table in {
        "results": results_table(),
        "speed": speed_table(),
        "feeding": feeding_and_memory(),
        "gradcam": gradcam_table(),
        "engines": engine_table(),
        "int8": int8_line(),
    }.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        text = f"{before}{start}\n{table}\n{end}{after}"
    return text


def _row(folder: Path) -> str:
    experiment = json.loads((folder / "experiment.json").read_text())
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    made = json.loads((folder / "made.json").read_text())
    weights = {"none": "from scratch", "imagenet": "ImageNet"}.get(experiment["weights"], experiment["weights"])
    encoder = f"{experiment['backbone']}, {weights}, {experiment['image_size']} px"
    if experiment["approach"] == "two-stage":
        encoder = f"{experiment['segmenter']} width {experiment['width']}, from scratch; {encoder}"
    epochs = ", ".join(f"{stage['trained']} ({stage['chosen']})" for stage in made["epochs"].values())
    numbers = [metrics[name] for name in ("dice", "lesion_dice", "iou", "normal_clean", "accuracy", "macro_f1")]
    cells = ["" if value is None else f"{value:.3f}" for value in [*numbers, metrics["auc"]["malignant"]]]
    name = f"[{experiment['approach']}](results/{folder.name}/)"
    return f"| {name} | {encoder} | {epochs} | {' | '.join(cells)} | {sum(metrics['n'].values())} |"


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        print(f"taken into {take(Run(Path(argument))).relative_to(ROOT)}")
    write_text(README, readme(README.read_text()))
