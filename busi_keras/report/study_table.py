"""A study in Markdown: headline scores with intervals, parts of the images, and what to read it against."""

from busi_keras.evaluation.intervals import headline
from busi_keras.evaluation.public_table import PUBLISHED, PublicScore, PublicScores
from busi_keras.evaluation.scores import Metrics
from busi_keras.evaluation.study import UNDISPUTED, Study

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
    blocks = [_headline(study), _subsets(study)]
    if study.public:
        blocks.append(public_table({"this study": study.public}))
    return "\n\n".join([*blocks, *([study.note] if study.note else [])])


def public_table(ours: dict[str, PublicScores]) -> str:
    """Our scores beside the public segmentation table's, computed as it computes them."""
    networks = {f"{name}, published": one for name, one in PUBLISHED.items()}
    for name, both in ours.items():
        networks |= {name: both.image_by_image, f"{name}, the pixels of 8 images pooled": both.in_eights}
    rows = [f"| {name} | {_shown(one)} |" for name, one in networks.items()]
    lead = "Mean ± standard deviation over three splits, image by image, as the published pairs of IoU and F1 must be:"
    return "\n".join([lead, "", "| network | IoU | F1 |", "|---|---|---|", *rows])


def _headline(study: Study) -> str:
    counts = [sum(study.metrics.n.values())]
    columns = [study.intervals]
    if study.undisputed is not None:
        counts.append(sum(study.subsets[UNDISPUTED].n.values()))
        columns.append(study.undisputed)
    titles = [f"all images, n = {counts[0]}", *(f"{UNDISPUTED}, n = {count}" for count in counts[1:])]
    rows = [
        f"| {name.replace('_', ' ')} | {' | '.join(str(column[name]) for column in columns)} |"
        for name in study.intervals
    ]
    header = [f"| score (95 % interval) | {' | '.join(titles)} |", f"|---|{'---|' * len(columns)}"]
    return "\n".join([*header, *rows, *_without_surface(study.metrics)])


def _without_surface(metrics: Metrics) -> list[str]:
    """Of how many images HD95 and surface distance are, below the table."""
    if metrics.dice is None:
        return []
    left_out = sum(metrics.n.values()) - metrics.n_surface
    return ["", f"HD95 and surface distance are of the {metrics.n_surface} images where true and predicted mask have a "
            f"lesion; {left_out} have none of the two, or only one."]  # fmt: skip


def _subsets(study: Study) -> str:
    rows = [_row(name, metrics) for name, metrics in study.subsets.items()]
    titles = " | ".join(name.replace("_", " ") for name in SUBSET_COLUMNS)
    return "\n".join([f"| images | n | {titles} |", f"|---|---|{'---|' * len(SUBSET_COLUMNS)}", *rows])


def _row(name: str, metrics: Metrics) -> str:
    values = headline(metrics)
    cells = ("not defined" if (value := values[column]) is None else f"{value:.3f}" for column in SUBSET_COLUMNS)
    return f"| {name} | {sum(metrics.n.values())} | {' | '.join(cells)} |"


def _shown(one: PublicScore) -> str:
    pairs = ((one.iou, one.iou_deviation), (one.f1, one.f1_deviation))
    return " | ".join(f"{100 * mean:.2f} ± {100 * deviation:.2f}" for mean, deviation in pairs)
