"""`compare`: which of two studies is better, and how sure that is."""

from pathlib import Path

from busi_keras.errors import UsageError
from busi_keras.evaluation.comparison import Comparison, compare_studies
from busi_keras.evaluation.intervals import RESAMPLES
from busi_keras.evaluation.study_folder import StudyFolder
from busi_keras.workflows.looks import look_over_study


def compare(
    first: Path,
    second: Path,
    data: str = "auto",
    common: bool = False,
    resamples: int = RESAMPLES,
    duplicated: bool | None = None,
) -> Comparison:
    """Compares two studies' folders, on the folds that are finished; as `compare_studies`.

    Args:
        data: where the images are, should neither study know its near-duplicates yet; `auto` means the folder that the
            first began with.
        common, resamples, duplicated: as in `compare_studies`.

    Raises:
        UsageError: also where a folder is no study.
    """
    if resamples < 1:
        raise UsageError(f"--resamples is {resamples}; it must be at least 1")
    studies = StudyFolder.open(first), StudyFolder.open(second)
    if not any(study.groups_file.exists() for study in studies):
        look_over_study(studies[0], data)
    known = [study for study in studies if study.groups_file.exists()]
    if not known:
        raise UsageError(
            f"{first} and {second} are not complete; repeat their `study --protocol external --external ...`"
        )
    patients = [group for study in studies for group in study.patients()]
    return compare_studies(*studies, known[0].groups(), common, resamples, duplicated, patients)
