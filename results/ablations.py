"""`ABLATIONS.md`: what each change to a study did, helped or not, from `results/ablations/`."""

import json
from dataclasses import dataclass
from pathlib import Path

from busi_keras.errors import UsageError
from busi_keras.evaluation.comparison import Comparison, Difference, compare_studies
from busi_keras.evaluation.intervals import Interval
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.files import write_text
from busi_keras.report.comparison_table import signed
from busi_keras.report.markdown import table
from results.studies import LEAKAGE, complete_studies, take_folds

PAGE = "ABLATIONS.md"
FOLDER = "ablations"
PREFIX = "ablation-"
SEED_NOISE = "seed_noise.json"
CONTROL = f"{LEAKAGE}/unique.json"
SHOWN = ("lesion_dice", "normal_clean", "accuracy", "malignant_auc", "brier", "false_finds")
HEAD = """# Ablations

One change at a time (several where its section says so), on the same images (held out in `kfold`; in `seed` and
`lesion-70-30` those that chose the epoch), by paired bootstrap over groups of near-duplicates. To keep them affordable
on two CPU cores, most were made to the MobileNetV2 network of the main study at 128 px and 12 epochs, some on two or
three of the five folds. Base and n stand with each; the base is the study in this folder that the change differs least
from. At full size a change need not do the same. The base's `made.json` has its command; a change adds the option that
it names. Each file in `ablations/` is what `python cli.py compare CHANGED BASE --common --json` printed, with all
scores and, where there is more to say, a `note`; this page is written from them by `python results/update.py`.
"""
LEGEND = """Changed minus unchanged, with the 95 % interval; **bold** where it excludes 0. Lower is better for Brier
score and false finds (per image). Last columns: how many of all scores improve, and how many worsen, with an interval
that excludes 0; one that repeats another is not counted (pixels beside percent, lesions alone where every image has
one). Of so many intervals at 95 %, one in twenty excludes 0 by luck, and none covers what another training with the
same settings would change: see below before believing one. HD95, surface distance and pixel precision are means over
images where both networks marked something; they are missing where that was not taken into account.
"""


@dataclass(frozen=True)
class Change:
    """One file of `ablations/`."""

    title: str
    note: str
    comparison: Comparison

    @classmethod
    def read(cls, file: Path) -> "Change":
        found = json.loads(file.read_text())
        del found["intended_use"]
        note = found.pop("note", "")
        differences = {
            score: Difference(**{**one, "interval": Interval(**one["interval"])})
            for score, one in found.pop("differences").items()
        }
        comparison = Comparison(**{**found, "settings": tuple(found["settings"])}, differences=differences)
        return cls(file.stem.replace("-", " "), note, comparison)

    def decided(self, side: str) -> dict[str, Difference]:
        """The scores that are better with the change (`first`), or without it (`second`)."""
        return decided(self.comparison.differences, side)


def decided(differences: dict[str, Difference], side: str) -> dict[str, Difference]:
    """The scores that one of two studies is better in, `first` or `second`, of those that repeat no other."""
    return {score: one for score, one in distinct(differences).items() if one.better == side}


def distinct(differences: dict[str, Difference]) -> dict[str, Difference]:
    """The scores without those in pixels that are there in percent, too, and those of lesions alone that are equal to
    those of all images."""

    def repeats(score: str) -> bool:
        in_percent = score.removesuffix("_px") + "_percent"
        of_all = differences.get(score.removeprefix("lesion_"))
        return (score.endswith("_px") and in_percent in differences) or (
            score.startswith("lesion_") and of_all == differences[score]
        )

    return {score: one for score, one in differences.items() if not repeats(score)}


def is_change(folder: Path) -> bool:
    """Whether a study's folder is called `ablation-NAME`: it is there to be set beside another study."""
    return folder.resolve().name.startswith(PREFIX)


def take_change(folder: Path, results: Path) -> Path:
    """Copies a changed study's finished folds into `results/ablations/NAME/`; what they changed goes into `NAME.json`.

    A note that stands there stays.

    Raises:
        UsageError: as `take_study`, or there is no study to set it beside.
    """
    name = folder.resolve().name.removeprefix(PREFIX)
    place = results / FOLDER / name
    study = StudyFolder.open(folder)
    base = nearest(study, results)
    take_folds(study, place)
    found = compare_studies(StudyFolder(place), base, base.groups(), common=True)
    file = place.with_name(f"{name}.json")
    note = json.loads(file.read_text()).get("note", "") if file.exists() else ""
    write_text(file, json.dumps({"note": note, **found.to_json()}, indent=2) + "\n")
    return place


def nearest(study: StudyFolder, results: Path) -> StudyFolder:
    """The complete study of the same protocol in `results/` that differs in the fewest settings.

    Raises:
        UsageError: there is none.
    """
    protocol = study.experiment.protocol
    bases = [base for base in complete_studies(results) if base.experiment.protocol == protocol]
    if not bases:
        raise UsageError(f"{results} has no complete study of protocol {protocol} to set {study.folder} beside")
    return min(bases, key=lambda base: len(study.experiment.differences(base.experiment)))


def ablations_page(results: Path) -> str:
    """The page, as Markdown: all changes at a glance, then what each of them decided."""
    changes = [Change.read(file) for file in sorted((results / FOLDER).glob("*.json"))]
    return "\n".join([HEAD, _summary(changes), _seed_noise(results), *map(_section, changes)])


def _summary(changes: list[Change]) -> str:
    titles = ["change", "n", *(score.replace("_", " ") for score in SHOWN), "better", "worse"]
    rows = []
    for change in changes:
        cells = [_cell(change.comparison.differences[score]) for score in SHOWN]
        counts = [str(len(change.decided(side))) for side in ("first", "second")]
        anchor = change.title.replace(" ", "-").replace(".", "")
        rows.append([f"[{change.title}](#{anchor})", str(change.comparison.n), *cells, *counts])
    return f"{LEGEND}\n{table(titles, rows)}\n"


def _cell(one: Difference) -> str:
    shown = signed(one.interval)
    return shown if one.better == "not decided" else f"**{shown}**"


def _seed_noise(results: Path) -> str:
    """What another training with the same settings does to the scores: intervals over images do not cover that."""
    if not (results / SEED_NOISE).exists():
        return ""
    found = json.loads((results / SEED_NOISE).read_text())
    seeds = [f"seed {number + 1}" for number in range(found["seeds"])]
    titles = ["score", *seeds, "standard deviation", "pairs decided"]
    rows = [
        [
            name.replace("_", " "),
            *(f"{value:.3f}" for value in one["of_each"]),
            f"{one['deviation']:.3f}",
            f"{one['pairs_decided']} of {found['pairs']}",
        ]
        for name, one in found["scores"].items()
    ]
    lead = (
        f"{found['what']}: {found['seeds']} networks per fold that differ only in the seed of training, scored one "
        "by one (`benchmarks/seed_noise.py`). The intervals of this page cover the choice of images, not the seed: a "
        "difference no larger than these says nothing. Last column: pairs of seeds that the bootstrap calls decided."
    )
    head = "## what the seed alone does"
    return "\n".join([head, "", lead, "", table(titles, rows), "", *_control(results / CONTROL)])


def _control(file: Path) -> list[str]:
    """Two trainings without any change between them that could matter, compared as the changes are."""
    if not file.exists():
        return []
    comparison = Change.read(file).comparison
    scores = decided(comparison.differences, "first") | decided(comparison.differences, "second")
    shown = ", ".join(f"{score.replace('_', ' ')} {signed(one.interval)}" for score, one in scores.items())
    return [
        f"A control: `{comparison.first}` and `{comparison.second}` train the same network on other folds; on the "
        f"{comparison.n} images without near-duplicates nothing that is known can leak. Even so {len(scores)} of "
        f"{len(distinct(comparison.differences))} scores are decided: {shown or 'none'}.",
        "",
    ]


def _section(change: Change) -> str:
    comparison = change.comparison
    settings = f"`{'; '.join(comparison.settings)}`" if comparison.settings else "Trained by the same experiment"
    found = {"Better": change.decided("first"), "Worse": change.decided("second")}
    scores_compared = len(distinct(comparison.differences))
    undecided = scores_compared - sum(map(len, found.values()))
    parts = [
        f"## {change.title}",
        f"{settings}; beside {comparison.second}, n = {comparison.n}. {change.note}".rstrip(),
        *(f"{word}: {_listed(scores)}." for word, scores in found.items() if scores),
        f"Not decided: the other {undecided} scores." if undecided < scores_compared else "Nothing decided.",
    ]
    return "\n\n".join(parts) + "\n"


def _listed(scores: dict[str, Difference]) -> str:
    return ", ".join(
        f"{score.replace('_', ' ')} {one.first:.3f} (was {one.second:.3f})" for score, one in scores.items()
    )
