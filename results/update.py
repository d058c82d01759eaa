"""Takes the numbers of runs and studies into `results/` and writes README's tables from all that is there.

    python results/update.py runs/busi-multitask-resnet50 ...   # take runs in, then write the tables
    python results/update.py studies/kfold-multitask-cnn ...    # take in what a study has so far, then the tables
    python results/update.py                                    # write the tables alone

Only numbers and plots of numbers are taken: no image of the data set, and no figure that shows one.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from busi_keras.errors import UsageError  # noqa: E402
from busi_keras.files import write_text  # noqa: E402
from busi_keras.training.run import Run  # noqa: E402
from results.ablations import PAGE, ablations_page  # noqa: E402
from results.heat_maps import heat_map_table  # noqa: E402
from results.limits import limits  # noqa: E402
from results.made import MADE_FILE, made, shared_experiment  # noqa: E402
from results.studies import (  # noqa: E402
    complete_studies,
    encoder,
    is_study,
    leakage_table,
    seed_table,
    studies_table,
    take_study,
)

RESULTS = ROOT / "results"
README = ROOT / "README.md"
NUMBERS = ("metrics.json", "predictions.csv", "history.jsonl", "split.json")
PLOTS = ("history.png", "confusion.png", "roc.png")


def take(run: Run) -> Path:
    """Copies a finished run's numbers and plots of numbers into `results/NAME/`."""
    folder = RESULTS / run.folder.resolve().name
    folder.mkdir(exist_ok=True)
    for name in NUMBERS:
        shutil.copy(run.folder / name, folder / name)
    for name in PLOTS:
        shutil.copy(run.figures / name, folder / name)
    if json.loads((folder / "metrics.json").read_text())["split"] != run.split.scored:
        raise SystemExit(f"{run.folder} was last scored on another part; python cli.py evaluate {run.folder} first")
    write_text(folder / "experiment.json", shared_experiment(run).to_json())
    write_text(folder / MADE_FILE, json.dumps(made(run), indent=2) + "\n")
    return folder


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


def everyday_lines() -> str:
    """What a user waits for before and beside training."""
    file = RESULTS / "everyday.json"
    if not file.exists():
        return ""
    found = json.loads(file.read_text())
    start = found["help"]
    audits = sorted((int(count), one) for count, one in found["audit_of_phantoms"].items())
    (few, least), (many, most) = audits[0], audits[-1]
    growth = most["processor_seconds"] / least["processor_seconds"]
    lines = [
        f"- `cli.py --help` takes {start['seconds']:.2f} s, {start['ratio']:.1f} times what importing typer takes.",
        f"- {found['phantoms_per_second_and_core']:.0f} phantoms a second and core, 256 x 256 px.",
        f"- `data groups` on BUSI, 780 images: {_cost(found['near_duplicates_of_busi'])}.",
        f"- `data audit` on BUSI: {_cost(found['audit_of_busi'])}; on {few:,} phantoms: {_cost(least)}; on {many:,}: "
        f"{_cost(most)}: {growth:.1f} times the processor time for {many / few:.0f} times the images.",
    ]
    if first := found.get("first_command"):
        lines.append(
            f"- The first command above, from a fresh clone on, without BUSI: {first['seconds'] / 60:.1f} minutes, "
            f"at most {first['peak_megabytes']} MB a process."
        )
    return "\n".join(lines)


def _cost(one: dict[str, Any]) -> str:
    return f"{one['seconds']:.0f} s, {one['peak_megabytes']} MB"


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
    lines = [f"{loss['what']} of BUSI, n = {loss['n']}, a processor {'with' if loss['vnni'] else 'without'} VNNI:", ""]
    for variant, found in loss["variants"].items():
        after = found["scores"]
        changes = (f"{name.replace('_', ' ')} {loss['float32'][name]:.4f} to {after[name]:.4f}" for name in after)
        lines.append(
            f"- `openvino-{variant}`: {', '.join(changes)}; another class in {found['other_class']}; "
            f"{found['size_ratio']:.1%} of the size."
        )
    return "\n".join(lines)


def novelty_line() -> str:
    """What is noticed as foreign, and how often held-out images are."""
    file = RESULTS / "novelty.json"
    if not file.exists():
        return ""
    novelty = json.loads(file.read_text())
    least = (f"{name} {one['least']:.1f}" for name, one in novelty["distance_over_threshold"].items())
    held_out = novelty["held_out"]
    return (
        f"{novelty['what']}: distance over threshold, the least of the networks: {', '.join(least)}; warned of "
        f"{held_out['share_warned_of']:.1%} of {held_out['n']} held-out images."
    )


def page_lines() -> str:
    """How long the page takes from drop to drawn, and how it bears many users."""
    lines = []
    if (file := RESULTS / "page_drop.json").exists():
        drop = json.loads(file.read_text())
        for one in drop["models"]:
            kinds = (
                f"{kind} {found['median']:.2f} s, 95 % {found['percentile_95']:.2f} s"
                for kind, found in one["drop_to_drawn_seconds"].items()
            )
            lines.append(
                f"- {one['model']}: the page after {one['seconds_to_page']:.1f} s, the model after "
                f"{one['seconds_to_ready']:.1f} s; from drop to drawn, median: {'; '.join(kinds)} ({drop['what']})."
            )
    if (file := RESULTS / "page_cine.json").exists():
        cine = json.loads(file.read_text())
        memory = cine["megabytes"]
        lines.append(
            f"- {cine['model']}, {cine['what']}: {cine['frames_per_second']:.1f} frames a second; memory "
            f"{memory['before']} MB before, at most {memory['peak']} MB, and {cine['stored_megabytes']} MB of upload "
            "and cases in the session's folder, in memory where there is /dev/shm; the progress bar stood in "
            f"{cine['positions_of_the_bar_seen']} places."
        )
    if (file := RESULTS / "page_load.json").exists():
        load = json.loads(file.read_text())
        result, memory = load["result_seconds"], load["megabytes"]
        lines.append(
            f"- {load['what']}: {load['requests']} requests, {sum(load['errors'].values())} errors, result median "
            f"{result['median']:.2f} s, 95 % {result['percentile_95']:.2f} s; memory {memory['at_start']} MB at the "
            f"start, then minute by minute {', '.join(map(str, memory['median_of_each_minute']))}."
        )
    return "\n".join(lines)


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
        "studies": studies_table(RESULTS),
        "leakage": leakage_table(RESULTS),
        "seed": seed_table(RESULTS),
        "limits": limits(complete_studies(RESULTS)),
        "heat maps": heat_map_table(complete_studies(RESULTS)),
        "speed": speed_table(),
        "feeding": feeding_and_memory(),
        "everyday": everyday_lines(),
        "gradcam": gradcam_table(),
        "engines": engine_table(),
        "page": page_lines(),
        "int8": int8_line(),
        "novelty": novelty_line(),
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
    epochs = ", ".join(f"{stage['trained']} ({stage['chosen']})" for stage in made["epochs"].values())
    numbers = [metrics[name] for name in ("dice", "lesion_dice", "iou", "normal_clean", "accuracy", "macro_f1")]
    cells = ["" if value is None else f"{value:.3f}" for value in [*numbers, metrics["auc"]["malignant"]]]
    name = f"[{experiment['approach']}](results/{folder.name}/)"
    return f"| {name} | {encoder(experiment)} | {epochs} | {' | '.join(cells)} | {sum(metrics['n'].values())} |"


def main(folders: list[str]) -> None:
    """Takes runs and studies in, then writes README."""
    for folder in map(Path, folders):
        try:
            taken = take_study(folder, RESULTS) if is_study(folder) else take(Run(folder))
        except UsageError as error:
            raise SystemExit(f"error: {error}") from None
        print(f"taken into {taken.relative_to(ROOT)}")
    write_text(README, readme(README.read_text()))
    write_text(RESULTS / PAGE, ablations_page(RESULTS))


if __name__ == "__main__":
    main(sys.argv[1:])
