"""`compare`: which of two studies is better, and how sure that is."""

from pathlib import Path

from busi_keras.errors import UsageError
from busi_keras.evaluation.comparison import Comparison, compare_studies
from busi_keras.evaluation.intervals import RESAMPLES
from busi_keras.evaluation.study_folder import StudyFolder


def compare(first: Path, second: Path, common: bool = False, resamples: int = RESAMPLES) -> Comparison:
    """Compares two studies' folders, on the folds that are finished; as `compare_studies`.

    Raises:
        UsageError: also where a folder is no study.
    """
    if resamples < 1:
        raise UsageError(f"--resamples is {resamples}; it must be at least 1")
    return compare_studies(StudyFolder.open(first), StudyFolder.open(second), common, resamples)
