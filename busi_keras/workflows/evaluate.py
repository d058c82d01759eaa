"""`evaluate`: a network's scores on one part of a run's split."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from busi_keras.config import CLASSES, Experiment
from busi_keras.data.busi import Record, read_sample
from busi_keras.data.split import PARTS
from busi_keras.errors import UsageError
from busi_keras.evaluation.detection import detect
from busi_keras.evaluation.evaluation import Evaluation
from busi_keras.evaluation.faithfulness import Faithfulness
from busi_keras.evaluation.protocols import HOW_TO_READ, STRETCHED, phantom_note
from busi_keras.evaluation.scores import ImageScore, overlap, summarize
from busi_keras.evaluation.surface import surface_distance
from busi_keras.files import require_writable
from busi_keras.imaging import MASK_THRESHOLD, resize
from busi_keras.inference.predictor import Prediction, Predictor
from busi_keras.report.mask_grid import Example, draw_mask_grid
from busi_keras.report.run_report import write_report
from busi_keras.training.run import Run
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.data_set import part_records, records_of
from busi_keras.workflows.explainer import Explainer, located
from busi_keras.workflows.lineage import says_seen

EXAMPLES_A_CLASS = 4
PERTURBED = 10


def evaluate_run(folder: Path, split: str = "auto", data: str = "auto", perturb: int = PERTURBED) -> Evaluation:
    """Scores a finished run and writes its `metrics.json`, `predictions.csv`, figures and report anew.

    Args:
        split: `auto` (test where there is one, else validation), `train`, `validation` or `test`.
        data: where its images are; as in `data_set.source_of`.
        perturb: as in `evaluate_records`.

    Raises:
        UsageError: the run is not finished or cannot be written to, or the data are others than it was trained on.
    """
    if perturb < 0:
        raise UsageError(f"--perturb is {perturb}; it must be at least 0")
    run = Run(folder)
    experiment, parts = run.experiment, run.split
    chosen = resolve_split(split, parts.scored)
    require_writable(folder)
    predictor = Predictor.load(folder)  # before its images are looked for, perhaps downloaded
    records = part_records(experiment, parts, chosen, records_of(run, data))
    with progress_bar(f"scoring {chosen} images", len(records)) as advance:
        evaluation = evaluate_records(predictor, experiment, chosen, records, advance, perturb)
    record_evaluation(run, evaluation, predictor, records)
    return evaluation


def record_evaluation(run: Run, evaluation: Evaluation, predictor: Predictor, records: Sequence[Record]) -> None:
    """Writes an evaluation into its run: `metrics.json`, `predictions.csv`, `figures/` and `report.md`."""
    run.write_scores(evaluation.to_json(), evaluation.scores)
    draw_mask_grid(_examples(evaluation, predictor, records), run.figures / "masks.png")
    write_report(run, evaluation)


def evaluate_records(
    predictor: Predictor,
    experiment: Experiment,
    split: str,
    records: Sequence[Record],
    progress: Callable[[], None] = lambda: None,
    perturb: int = 0,
) -> Evaluation:
    """Scores a network on records: at each image's own size; in the protocols of `STRETCHED` as their originals did.

    Args:
        split: what the records are called.
        progress: called after each image.
        perturb: on how many images a class the heat map is put to the tests that run the network again: deletion,
            insertion and randomization.

    Raises:
        UsageError: there are no records.
    """
    if not records:
        raise UsageError(f"the part {split} of this split has no image; choose another --split")
    samples = ((record, read_sample(record)) for record in records)
    items = (((record, sample.mask), sample.image) for record, sample in samples)
    tested = _spread(records, perturb)
    explainer = Explainer(predictor) if tested else None
    scores, faithfulness = [], []
    for ((record, mask), image), prediction in predictor.stream(items):
        card = predictor.card
        novel = None if card.novelty_threshold is None else card.is_novel(prediction.novelty)
        if explainer and record.name in tested:
            faithfulness.append(explainer.faithfulness(image, prediction, prediction.heat_map, mask))
        else:
            faithfulness.append(Faithfulness(located(prediction.heat_map, mask)))
        score = _score(record, mask, prediction, novel, STRETCHED.get(experiment.protocol))
        scores.append(replace(score, heat_map=faithfulness[-1].localization))
        progress()
    return Evaluation(
        split,
        summarize(scores),
        tuple(scores),
        tuple(faithfulness),
        note(experiment, split, scores, predictor.card.weights),
    )


def resolve_split(requested: str, scored: str) -> str:
    """The part that `--split` means: `auto` is test where there is one, else validation."""
    if requested == "auto":
        return scored
    if requested not in PARTS:
        raise UsageError(f"--split is {requested}; it must be auto, {', '.join(PARTS)}")
    return requested


def collapses(scores: Sequence[ImageScore]) -> list[str]:
    """A sentence for each way in which a network says the same of every image: no mean shows that."""
    found = []
    if any(score.true_area for score in scores) and not any(score.predicted_area for score in scores):
        found.append("The network outlines no lesion in any image; its Dice is just the proportion of normal images.")
    predicted = {score.predicted for score in scores}
    if len(predicted) == 1 < len({score.label for score in scores}) and None not in predicted:
        found.append(f"The network classifies every image as {CLASSES[scores[0].predicted or 0]}.")
    return found


def _spread(records: Sequence[Record], count: int) -> set[str]:
    """The names of `count` records of each class, evenly spread over their order."""
    chosen: set[str] = set()
    for label in range(len(CLASSES)):
        names = [record.name for record in records if record.label == label]
        chosen |= {names[i] for i in np.linspace(0, len(names) - 1, min(count, len(names))).astype(int)}
    return chosen


def _examples(evaluation: Evaluation, predictor: Predictor, records: Sequence[Record]) -> list[Example]:
    """Images of each class, evenly spread from the worst Dice to the best."""
    record_of = {record.name: record for record in records}
    examples = []
    for label, name in enumerate(CLASSES):
        ranked = sorted(
            (s for s in evaluation.scores if s.label == label), key=lambda s: s.overlap.dice if s.overlap else 0
        )
        for index in np.unique(np.linspace(0, len(ranked) - 1, EXAMPLES_A_CLASS).astype(int)) if ranked else ():
            sample = read_sample(record_of[ranked[index].name])
            prediction = predictor.predict([sample.image])[0]
            dice = overlap(sample.mask, prediction.mask).dice
            examples.append(Example(sample.image, sample.mask, prediction.mask, name, prediction.label, dice))
    return examples


def _score(
    record: Record, true: np.ndarray, prediction: Prediction, novel: bool | None, stretched: int | None
) -> ImageScore:
    """Compares masks at the image's own size, or at `stretched` x `stretched` pixels."""
    predicted = prediction.mask
    if stretched:
        true = resize(true, stretched, stretched) >= MASK_THRESHOLD
        predicted = resize(prediction.mask_probability, stretched, stretched) >= MASK_THRESHOLD
    common = np.count_nonzero(true & predicted)
    return ImageScore(
        name=record.name,
        label=record.label,
        predicted=CLASSES.index(prediction.label),
        probabilities=prediction.probabilities,
        overlap=overlap(true, predicted),
        true_area=float(np.mean(true)),
        predicted_area=float(np.mean(predicted)),
        surface=surface_distance(true, predicted),
        detection=detect(true, predicted),
        pixel_sensitivity=float(common / np.count_nonzero(true)) if true.any() else None,
        pixel_precision=float(common / np.count_nonzero(predicted)) if predicted.any() else None,
        novelty=prediction.novelty,
        novel=novel,
    )


def note(experiment: Experiment, split: str, scores: Sequence[ImageScore], start: str) -> str:
    """What one must know to read these scores, in sentences.

    Args:
        start: `Card.weights`: more than the file's name where the network may have started from one that has seen the
            images.
    """
    scored = "" if split == "external" else experiment.data
    notes = collapses(scores) + phantom_note(experiment.data, scored)
    stretched = experiment.protocol in STRETCHED
    if experiment.protocol in HOW_TO_READ and not (stretched and split == "train"):
        notes.append(HOW_TO_READ[experiment.protocol])
    if split != "external" and says_seen(start, experiment):
        notes.append(f"The network started from {start}: scores may be too optimistic.")
    if split == "train" or (split == "validation" and not stretched):
        notes.append(f"Scored on the {split} images, not on held-out ones.")
    return " ".join(notes)
