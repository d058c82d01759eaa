"""A study in Markdown: headline scores with intervals, parts of the images, and what to read it against."""

from dataclasses import asdict

from busi_keras.evaluation.intervals import headline
from busi_keras.evaluation.public_table import PUBLISHED, PublicScore, PublicScores
from busi_keras.evaluation.scores import Metrics
from busi_keras.evaluation.study import UNDISPUTED, Study
from busi_keras.report.class_table import class_table
from busi_keras.report.markdown import number, table
from busi_keras.report.model_card import CONVENTIONS

DECIMALS = 3
SUBSET_COLUMNS = (
    "dice",
    "lesion_dice",
    "iou",
    "normal_clean",
    "accuracy",
    "macro_f1",
    "malignant_auc",
    "calibration_error",
    "hd95_px",
    "lesions_found",
)


def study_table(study: Study) -> str:
    """What `study` prints and `table.md` holds."""
    blocks = [_headline(study), CONVENTIONS]
    if study.metrics.confusion is not None:
        blocks.append(class_table(asdict(study.metrics), DECIMALS))
    blocks.append(_subsets(study))
    if study.public:
        blocks.append(public_table({"this study": study.public}))
    return "\n\n".join([*blocks, *([study.note] if study.note else [])])


def public_table(ours: dict[str, PublicScores]) -> str:
    """Our scores beside the public segmentation table's, computed as it computes them."""
    networks = {f"{name}, published": one for name, one in PUBLISHED.items()}
    for name, both in ours.items():
        networks |= {name: both.image_by_image, f"{name}, the pixels of 8 images pooled": both.in_eights}
    rows = [[name, *_shown(one)] for name, one in networks.items()]
    lead = (
        "Mean ± standard deviation of three splits (ours is divided by 3; by what the published ones are, the table "
        "does not say), image by image, as the published pairs of IoU and F1 suggest:"
    )
    return "\n\n".join([lead, table(["network", "IoU", "F1"], rows)])


def _headline(study: Study) -> str:
    columns = [study.intervals]
    titles = [f"all images, {_counted(study)}"]
    if study.undisputed is not None:
        columns.append(study.undisputed)
        titles.append(f"{UNDISPUTED}, n = {sum(study.subsets[UNDISPUTED].n.values())}")
    rows = [[name.replace("_", " "), *(str(column[name]) for column in columns)] for name in study.intervals]
    return "\n\n".join([table(["score (95 % interval)", *titles], rows), *_without_surface(study.metrics)])


def _counted(study: Study) -> str:
    """How many scores there are, and of how many images where random splits score some of them more than once."""
    names = [score.name for score in study.scores]
    distinct = len(set(names))
    return f"n = {len(names)}" if distinct == len(names) else f"n = {len(names)} scores of {distinct} images"


def _without_surface(metrics: Metrics) -> list[str]:
    """Of how many images HD95 and surface distance are, below the table."""
    if metrics.dice is None:
        return []
    left_out = sum(metrics.n.values()) - metrics.n_surface
    return [
        f"HD95 and surface distance are means over the {metrics.n_surface} scores where both the true and the "
        f"predicted mask have a lesion; in the other {left_out} one or both are empty."
    ]


def _subsets(study: Study) -> str:
    rows = [_row(name, metrics) for name, metrics in study.subsets.items()]
    return table(["images", "n", *(name.replace("_", " ") for name in SUBSET_COLUMNS)], rows)


def _row(name: str, metrics: Metrics) -> list[str]:
    values = headline(metrics)
    return [name, str(sum(metrics.n.values())), *(number(values[column], DECIMALS) for column in SUBSET_COLUMNS)]


def _shown(one: PublicScore) -> list[str]:
    pairs = ((one.iou, one.iou_deviation), (one.f1, one.f1_deviation))
    return [f"{100 * mean:.2f} ± {100 * deviation:.2f}" for mean, deviation in pairs]
