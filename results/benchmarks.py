"""README's tables of what was measured in `benchmarks/`: speed, memory, and what formats and warnings cost.

Each is empty where its file is not there.
"""

import json
from pathlib import Path
from typing import Any

from busi_keras.report.markdown import table

KERAS = {
    "tensorflow-eigen": "Keras on tensorflow, without oneDNN",
    "tensorflow-composed": "Keras on tensorflow, with Keras' BatchNormalization",
}


def speed_table(results: Path) -> str:
    """Training speed of each backend as a ratio to the same network in PyTorch, and on what."""
    if not (speed := _read(results / "training_speed.json")):
        return ""
    rows = {"plain PyTorch": speed["peer"] | {"ratio": 1.0}}
    rows |= {KERAS.get(name, f"Keras on {name}"): result for name, result in speed["backends"].items()}
    cells = [
        [name, f"{one['images_per_second']:.2f}", f"{one['ratio']:.2f}", _counted(one)] for name, one in rows.items()
    ]
    on = f"{speed['processor']}, {speed['cores']} cores. Steps count where no other program used the machine."
    return table(["network", "images per second", "ratio", "steps counted"], cells) + f"\n\n{on}"


def _counted(network: dict[str, Any]) -> str:
    count = f"{network['steps_counted']} of {len(network['steps'])}"
    return count if network["quiet"] else f"{count}, all while others used the machine"


def feeding_and_memory(results: Path) -> str:
    """What feeding delivers against what training takes, and whether memory grows."""
    lines = []
    if feeding := _read(results / "feeding_speed.json"):
        lines.append(
            f"- Feeding alone delivers {feeding['ratio']:.0f} times the images that a training step takes "
            f"({feeding['what']}; {feeding['processor']}): the images are in memory, augmentation is part of the "
            "compiled step."
        )
    if memory := _read(results / "memory_growth.json"):
        growth = memory["growth_megabytes_an_epoch_after_20"]
        lines.append(
            f"- After the first 20 epochs, resident memory grows by {growth:.2f} MB per epoch ({memory['what']})."
        )
    return "\n".join(lines)


def everyday_lines(results: Path) -> str:
    """What a user waits for before and beside training."""
    if not (found := _read(results / "everyday.json")):
        return ""
    start = found["help"]
    audits = sorted((int(count), one) for count, one in found["audit_of_phantoms"].items())
    (few, least), (many, most) = audits[0], audits[-1]
    growth = most["processor_seconds"] / least["processor_seconds"]
    lines = [
        f"- `cli.py --help` takes {start['seconds']:.2f} s, {start['ratio']:.1f} times what importing typer takes.",
        f"- {found['phantoms_per_second_and_core']:.0f} phantoms per second and core, 256 x 256 px.",
        f"- `data groups` on BUSI, 780 images: {_cost(found['near_duplicates_of_busi'])}.",
        f"- `data audit` on BUSI: {_cost(found['audit_of_busi'])}; on {few:,} phantoms: {_cost(least)}; on {many:,}: "
        f"{_cost(most)}: {growth:.1f} times the processor time for {many / few:.0f} times the images.",
    ]
    if first := found.get("first_command"):
        lines.append(
            f"- The first command above, from a fresh clone on, without BUSI: {first['seconds'] / 60:.1f} minutes, "
            f"at most {first['peak_megabytes']} MB per process."
        )
    lines.append(f"- Measured on: {found['processor']}, {found['cores']} cores.")
    return "\n".join(lines)


def _cost(one: dict[str, Any]) -> str:
    return f"{one['seconds']:.0f} s, {one['peak_megabytes']} MB"


def engine_table(results: Path) -> str:
    """Latency, throughput, memory and size of each engine, and what int8 costs."""
    if not (speed := _read(results / "engine_speed.json")):
        return ""
    seconds = speed["predict_seconds"]
    titles = [
        "engine", "median ms", "95 % ms", "to the SavedModel", "images/s, batch 8", "peak MB", "file MB", "`predict` s"
    ]  # fmt: skip
    rows = []
    for name, one in speed["engines"].items():
        throughput = next(value for key, value in one.items() if key.startswith("images_per_second"))
        rows.append(
            [
                name,
                f"{one['median_ms']:.0f}",
                f"{one['percentile_95_ms']:.0f}",
                f"{one['time_ratio']:.2f}",
                f"{throughput:.1f}",
                _peak(one),
                f"{one['megabytes']:.1f}",
                f"{seconds[name]:.2f}" if name in seconds else "",
            ]
        )
    return table(titles, rows)


def _peak(one: dict[str, Any]) -> str:
    return "not measured" if one["peak_megabytes"] is None else f"{one['peak_megabytes']:.0f}"


def int8_line(results: Path) -> str:
    """What int8 costs in Dice and accuracy."""
    if not (loss := _read(results / "int8_loss.json")):
        return ""
    lines = [f"{loss['what']} of BUSI, n = {loss['n']}, a processor {'with' if loss['vnni'] else 'without'} VNNI:", ""]
    for variant, found in loss["variants"].items():
        after = found["scores"]
        changes = (f"{name.replace('_', ' ')} {loss['float32'][name]:.4f} to {after[name]:.4f}" for name in after)
        lines.append(
            f"- `openvino-{variant}`: {', '.join(changes)}; another class in {found['other_class']}; "
            f"{found['size_ratio']:.1%} of the size."
        )
    return "\n".join(lines)


def novelty_line(results: Path) -> str:
    """What is noticed as foreign, and how often held-out images are."""
    if not (novelty := _read(results / "novelty.json")):
        return ""
    least = (f"{name} {one['least']:.1f}" for name, one in novelty["distance_over_threshold"].items())
    held_out = novelty["held_out"]
    return (
        f"{novelty['what']}: distance over threshold, the least of the networks: {', '.join(least)}; warned of "
        f"{held_out['share_warned_of']:.1%} of {held_out['n']} held-out images."
    )


def page_lines(results: Path) -> str:
    """How long the page takes from drop to drawn, and how it bears many users."""
    lines = []
    if drop := _read(results / "page_drop.json"):
        for one in drop["models"]:
            kinds = (
                f"{kind} {found['median']:.2f} s, 95 % {found['percentile_95']:.2f} s"
                for kind, found in one["drop_to_drawn_seconds"].items()
            )
            lines.append(
                f"- {one['model']}: the page after {one['seconds_to_page']:.1f} s, the model after "
                f"{one['seconds_to_ready']:.1f} s; from drop to drawn, median: {'; '.join(kinds)} ({drop['what']})."
            )
    if cine := _read(results / "page_cine.json"):
        memory = cine["megabytes"]
        lines.append(
            f"- {cine['model']}, {cine['what']}: {cine['frames_per_second']:.1f} frames a second; memory "
            f"{memory['before']} MB before, at most {memory['peak']} MB, and {cine['stored_megabytes']} MB of upload "
            "and cases in the session's folder, in memory where there is /dev/shm; the progress bar stood in "
            f"{cine['positions_of_the_bar_seen']} places."
        )
    if load := _read(results / "page_load.json"):
        result, memory = load["result_seconds"], load["megabytes"]
        lines.append(
            f"- {load['what']}: {load['requests']} requests, {sum(load['errors'].values())} errors, result median "
            f"{result['median']:.2f} s, 95 % {result['percentile_95']:.2f} s; memory {memory['at_start']} MB at the "
            f"start, then minute by minute {', '.join(map(str, memory['median_of_each_minute']))}."
        )
    return "\n".join(lines)


def gradcam_table(results: Path) -> str:
    """What a heat map costs beside a forward pass, here and in the peers."""
    if not (speed := _read(results / "gradcam_speed.json")):
        return ""
    rows = [
        [name, *(f"{one[key]:.2f}" for key in ("forward_seconds", "gradcam_seconds", "ratio"))]
        for name, one in speed["contenders"].items()
    ]
    return table(["", "forward pass, s per batch", "Grad-CAM, s per batch", "ratio"], rows)


def _read(file: Path) -> dict[str, Any]:
    """Empty where there is no such file."""
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    return found
