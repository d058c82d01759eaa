"""`report.md`: a run's numbers and plots on one page, next to the original project's."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from busi_keras.card import RESEARCH_USE
from busi_keras.config import CLASSES, PHANTOM, Experiment
from busi_keras.data.split import PARTS
from busi_keras.evaluation.evaluation import Evaluation
from busi_keras.evaluation.history import chosen_and_last
from busi_keras.evaluation.scores import Metrics
from busi_keras.files import write_text
from busi_keras.report.class_table import class_table
from busi_keras.report.markdown import number, table
from busi_keras.report.plots import plot_confusion, plot_history, plot_perturbation, plot_reliability, plot_roc
from busi_keras.training.run import Run

ORIGINAL = (
    ("original U-Net", "0.6506", "0.5060", "", "ImageNet ResNet50, 15 epochs, 224 px, as in all rows of the original"),
    ("original ResNet50", "", "", "0.9272", "n = 316: mask files were counted as images; not a real result"),
    ("original multitask", "0.6506", "0.5060", "0.9272", "same flaw"),
    (
        "original multitask-cnn + Grad-CAM", "0.6502", "0.5564", "0.9104",
        "n = 156; the epoch was chosen on the images scored",
    ),
)  # fmt: skip

HEAT_MAP_LEGEND = (
    "Grad-CAM of the predicted class, means over images, their number in brackets. With the true mask: the share of "
    "the map inside the lesion, and what a map that ignores the image would have; whether its largest value lies "
    "in the lesion; IoU of the lesion and the half-maximum region. Without it: mean probability as the hottest pixels "
    "are blurred first (deletion, lower is better) or restored first (insertion, higher is better); rank "
    "correlation with the maps of random label heads (should be near 0). `evaluate` fills in the last three."
)

PHANTOM_WARNING = "**Trained and scored on phantoms, synthetic images: these numbers say nothing about patients.**"


def write_report(run: Run, evaluation: Evaluation) -> None:
    """Draws a run's plots into `figures/` and writes its `report.md`."""
    rows = run.history()
    plot_history(rows, run.figures / "history.png")
    figures = {"Training": "history.png"}
    if evaluation.metrics.confusion is not None:
        plot_confusion(evaluation.metrics, run.figures / "confusion.png")
        plot_roc(evaluation.scores, evaluation.metrics, run.figures / "roc.png")
        plot_reliability(evaluation.scores, run.figures / "reliability.png")
        figures |= {"Confusion matrix": "confusion.png", "ROC curves": "roc.png", "Reliability": "reliability.png"}
    perturbed = run.figures / "perturbation.png"
    if curves := evaluation.curves:
        plot_perturbation(curves, perturbed)
        figures["Heat maps: deletion and insertion"] = perturbed.name
    else:
        perturbed.unlink(missing_ok=True)  # that of an earlier evaluation
    if (run.figures / "masks.png").exists():
        figures["Example masks with predicted labels"] = "masks.png"
    write_text(run.report_file, _page(run, rows, evaluation, figures))


def _page(run: Run, rows: Sequence[dict[str, Any]], evaluation: Evaluation, figures: dict[str, str]) -> str:
    metrics, scored = evaluation.metrics, evaluation.split
    experiment = run.experiment
    split = run.split
    total = sum(metrics.n.values())
    sizes = ", ".join(f"{part} {len(split.part(part))}" for part in PARTS)
    blocks = [
        f"# {experiment.approach} on {experiment.data}",
        RESEARCH_USE,
        *([PHANTOM_WARNING] if experiment.data == PHANTOM else []),
        f"Scored on {total} {scored} images ({_counts(metrics)}). {evaluation.note}".strip(),
        "## Scores",
        _headline(experiment, metrics),
        "Dice and IoU are means over images, at threshold 0.5; an empty prediction on an empty mask counts as 1.",
        "## Next to the original project",
        _next_to_original(experiment, metrics, scored),
        "Different images and split: only protocol `seed` is scored on the same images as the original's last row.",
        "## Classes",
        class_table(asdict(metrics)),
        "## Heat maps",
        _heat_maps(evaluation.heat_maps),
        HEAT_MAP_LEGEND,
        "## How it was made",
        _settings(experiment, rows, sizes),
        *(f"## {title}\n\n![{title}](figures/{name})" for title, name in figures.items()),
    ]
    return "\n\n".join(blocks) + "\n"


def _headline(experiment: Experiment, metrics: Metrics) -> str:
    lines = [
        ("Dice, all images", metrics.dice),
        ("IoU, all images", metrics.iou),
        ("Dice, lesion images", metrics.lesion_dice),
        ("IoU, lesion images", metrics.lesion_iou),
        ("normal images left clean", metrics.normal_clean),
        ("accuracy", metrics.accuracy),
        ("macro F1", metrics.macro_f1),
        ("weighted F1", metrics.weighted_f1),
        ("Brier score", metrics.brier),
        ("expected calibration error, 15 bins of equal mass", metrics.calibration_error),
        ("average precision of malignant", metrics.malignant_average_precision),
        ("sensitivity for malignant at 90 % specificity", metrics.malignant_sensitivity_at_90_specificity),
        ("specificity for malignant at 90 % sensitivity", metrics.malignant_specificity_at_90_sensitivity),
        (f"HD95 in px, {metrics.n_surface} images where both masks have a lesion", metrics.hd95_px),
        ("HD95 in % of the image's diagonal", metrics.hd95_percent),
        ("average surface distance in px", metrics.surface_distance_px),
        ("average surface distance in % of the diagonal", metrics.surface_distance_percent),
        ("pixel sensitivity", metrics.pixel_sensitivity),
        ("pixel precision", metrics.pixel_precision),
        ("lesions found, at IoU > 0.3", metrics.lesions_found),
        ("false finds per image", metrics.false_finds),
    ]
    return table(["score", "value"], ([name, number(value)] for name, value in lines))


def _next_to_original(experiment: Experiment, metrics: Metrics, scored: str) -> str:
    scores = [number(value) for value in (metrics.dice, metrics.iou, metrics.accuracy)]
    images = f"{sum(metrics.n.values())}{' phantoms' if experiment.data == PHANTOM else ''}"
    this = ["this run", *scores, f"n = {images}, {scored}; protocol {experiment.protocol}"]
    return table(["system", "Dice", "IoU", "accuracy", "note"], [*ORIGINAL, this])


def _heat_maps(heat_maps: dict[str, dict[str, float | None]]) -> str:
    names = {
        "energy_inside": "energy inside",
        "chance": "uniform map",
        "pointing_game": "pointing game",
        "iou": "IoU",
        "deletion": "deletion",
        "insertion": "insertion",
        "randomization": "randomization",
    }
    rows = (
        [label, *(_counted(found[score], found[f"n_{score}"]) for score in names)] for label, found in heat_maps.items()
    )
    return table(["class", *names.values()], rows)


def _counted(value: float | None, n: float | None) -> str:
    return "–" if value is None else f"{value:.3f} ({n})"


def _settings(experiment: Experiment, rows: Sequence[dict[str, Any]], sizes: str) -> str:
    chosen = "; ".join(
        f"{stage}: {found['last']['epoch'] + 1} epochs, epoch {found['chosen']['epoch'] + 1} chosen"
        for stage, found in chosen_and_last(rows).items()
    )
    minutes = sum(row["seconds"] for row in rows) / 60
    return "\n".join(
        [
            f"- split: {experiment.protocol}, seed {experiment.seed}: {sizes}",
            f"- backbone {experiment.backbone}, starting weights: {experiment.weights.rsplit('/', 1)[-1]}; "
            f"{experiment.image_size} px, batches of {experiment.batch_size}",
            f"- {chosen}, by {_criterion(experiment)} on validation; {minutes:.0f} minutes of training",
            f"- {experiment.backend}, {experiment.precision}; all settings: `experiment.json`",
        ]
    )


def _criterion(experiment: Experiment) -> str:
    by_iou = experiment.choose_by == "iou"
    if experiment.approach == "two-stage":
        return f"{'IoU' if by_iou else 'Dice'} for the segmenter and accuracy for the classifier,"
    return "IoU" if by_iou else "(Dice + accuracy) / 2"


def _counts(metrics: Metrics) -> str:
    return ", ".join(f"{metrics.n[name]} {name}" for name in CLASSES)
