"""Images of one patient: `patients.json` in a data set's folder says which, and a split keeps them together.

A list of groups, each of image names as in `Record`; nothing in it says who the patient is. BUSI has none.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from busi_keras.data.busi import Record
from busi_keras.data.duplicates import Pair, groups
from busi_keras.errors import UsageError
from busi_keras.files import write_text

PATIENTS_FILE = "patients.json"

log = logging.getLogger(__name__)


def patients_among(records: Sequence[Record]) -> list[list[str]]:
    """Groups of images of one patient, two and more each, as the records' folders have them.

    Names of images that are no longer there are passed over with a warning.

    Raises:
        UsageError: a folder's `patients.json` is no list of groups of names, or names no image that is there.
    """
    name_of = {record.image: record.name for record in records}
    found = []
    for folder in sorted({record.image.parents[1] for record in records}):
        patients = read_patients(folder)
        _check_names(folder, [name for group in patients for name in group])
        found += [[name_of[folder / name] for name in group if folder / name in name_of] for group in patients]
    return [group for group in found if len(group) > 1]


def read_patients(folder: Path) -> list[list[str]]:
    """The groups in a folder's `patients.json`; none where there is no such file.

    Raises:
        UsageError: as `patients_among`.
    """
    file = folder / PATIENTS_FILE
    if not file.exists():
        return []
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if isinstance(found, list) and all(isinstance(group, list) for group in found):
        names = [name for group in found for name in group]
        if all(isinstance(name, str) for name in names):
            return found
    raise UsageError(f"{file} is not a list of groups of image names; fix it, or remove it")


def _check_names(folder: Path, names: Sequence[str]) -> None:
    lost = [name for name in names if not (folder / name).is_file()]
    if not lost:
        return
    file = folder / PATIENTS_FILE
    problem = f"{len(lost)} of the {len(names)} names in {file} are those of no file, {lost[0]!r} for one"
    if len(lost) == len(names):
        raise UsageError(f"{problem}; write them as 'benign/NAME.png', or remove {file.name}")
    log.warning("%s; write names as 'benign/NAME.png', or a patient may be torn apart by a split", problem)


def add_patients(folder: Path, patients: Iterable[Sequence[str]]) -> None:
    """Writes these groups into a folder's `patients.json`, united with those that are there.

    Raises:
        UsageError: as `patients_among`, or the disk is full.
    """
    both = united(read_patients(folder), patients)
    if both:
        write_text(folder / PATIENTS_FILE, json.dumps(both, indent=1) + "\n")


def united(*groupings: Iterable[Sequence[str]]) -> list[list[str]]:
    """Groups of two and more such that whoever shares a group in one of these shares one here."""
    together = [list(group) for grouping in groupings for group in grouping]
    links = [Pair(first, second, 1.0) for group in together for first, second in pairwise(group)]
    return groups(links, (name for group in together for name in group))
