"""What a study must know of its images to read its scores: near-duplicates, patients, marks; looked for once."""

from collections.abc import Sequence
from dataclasses import dataclass

from busi_keras.data.audit import audit
from busi_keras.data.busi import Record
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.training.run import Run
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.data_set import records_of


@dataclass(frozen=True)
class Looks:
    """What is to be known of images, beyond their classes and masks.

    Attributes:
        groups: near-duplicates, names of two and more each.
        marks: by name, `data.marks.mark_score`; files that do not decode have none.
        patients: images of one patient, names of two and more each.
    """

    groups: list[list[str]]
    marks: dict[str, float]
    patients: list[list[str]]


def look_over(records: Sequence[Record]) -> Looks:
    """Opens every image once, showing progress."""
    with progress_bar("looking for near-duplicates and burnt-in marks", len(records)) as advance:
        found = audit(records, progress=lambda record, image: advance())
    marks = {image.name: image.marks for image in found.images if image.marks is not None}
    return Looks([list(group) for group in found.groups], marks, [list(patient) for patient in found.patients])


def look_over_study(study: StudyFolder, data: str = "auto") -> None:
    """Keeps what `look_over` finds of the images of a study that has begun, where that is not known yet.

    Of protocol `external`, `score_external` does so.

    Args:
        data: where the images are; `auto` means the folder it began with.

    Raises:
        UsageError: the data are others than it was trained on.
    """
    if not study.looked_over and study.experiment.protocol != "external":
        looks = look_over(records_of(Run(study.folds_begun()[0].folder), data))
        study.write_looks(looks.groups, looks.marks, looks.patients)
