"""`data from-dicom`: ultrasound files in DICOM into BUSI's layout, without what names a patient.

Of a file only pixels of its scan area are kept. An image is called by a hash of these pixels, so that its name tells
nothing, the same image has one name, and a run that was stopped goes on where it was. DICOM carries no class: a table
of labels gives it, and masks have to be drawn.
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.config import CLASSES
from busi_keras.data.busi import natural_order
from busi_keras.data.patients import add_patients, read_patients
from busi_keras.dicom.detection import is_dicom
from busi_keras.dicom.ultrasound import Ultrasound, read_ultrasound
from busi_keras.errors import UsageError
from busi_keras.files import held, replacing, visible_files
from busi_keras.imaging import encode_png, pixels_digest
from busi_keras.workflows.console import progress_bar
from busi_keras.workflows.predicted import Failed

COLUMNS = ("file", "label")
_NAME_DIGITS = 12


@dataclass(frozen=True)
class Converted:
    """One file's images.

    Attributes:
        path: the DICOM file.
        label: one of `CLASSES`.
        images: what became of its frames, in BUSI's layout.
        written: how many of them were not there yet.
    """

    path: Path
    label: str
    images: tuple[Path, ...]
    written: int

    def to_json(self) -> dict[str, Any]:
        """As `data from-dicom --json` prints it."""
        return {"path": str(self.path), "label": self.label, "images": [str(image) for image in self.images]}


@dataclass(frozen=True)
class Conversions:
    """What came of a folder.

    Attributes:
        images_of_patients: how many images each patient has, most first, as far as the files tell patients apart.
    """

    done: tuple[Converted, ...]
    failed: tuple[Failed, ...]
    images_of_patients: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """What `data from-dicom --json` prints."""
        return {
            "converted": [one.to_json() for one in self.done],
            "failed": [one.to_json() for one in self.failed],
            "images_of_patients": list(self.images_of_patients),
        }

    def summary(self, output: Path) -> str:
        """What went wrong, how many images there are, and what they lack."""
        images = {image: one.label for one in self.done for image in one.images}
        lines = [f"failed: {one.error}" for one in self.failed]
        written = sum(one.written for one in self.done)
        lines.append(f"{len(images)} images of {len(self.done)} files in {output}, {written} of them new")
        if self.images_of_patients:
            lines.append(
                f"the files tell {len(self.images_of_patients)} patients apart, of one of them "
                f"{self.images_of_patients[0]} images; all images of a patient go into one part of a split, so check "
                "this if patients' IDs have been removed or replaced"
            )
        lesions = sum(label != "normal" for label in images.values())
        if lesions:
            lines.append(
                f"DICOM carries no masks: before training, draw one for each of the {lesions} lesion images, "
                "as NAME_mask.png beside it; any text inside the scan area is still visible"
            )
        return "\n".join(lines)


def convert_folder(
    folder: Path, labels: Path, output: Path, every: int = 1, allow_burnt_in: bool = False
) -> Conversions:
    """Converts a folder's DICOM files, also those in folders below it, showing progress.

    Images of one patient are listed in `data.patients.PATIENTS_FILE`, so that no split tears them apart. Images that
    are there already are not written again. Of a cine with a damaged frame the frames before it are kept: it is listed
    among what was converted and among what failed.

    Args:
        folder: of DICOM files.
        labels: a CSV table with the columns `file` and `label`: a file's name, or its path in the folder where two have
            one name, and one of `CLASSES`.
        output: a folder in BUSI's layout, made where it is missing.
        every: take every n-th frame of a cine, from the first.
        allow_burnt_in: take files, too, that are flagged with burnt-in annotation, or that neither name a scan area nor
            say that they are free of it.

    Raises:
        UsageError: there is no such folder or table, the table is not as it must be, or the disk is full.
    """
    if every < 1:
        raise UsageError(f"--every is {every}; give 1 for each frame, or more")
    files = dicom_files(folder)
    label_of, missing = match_labels(files, folder, read_labels(labels), labels)
    noted = {frozenset(group) for group in read_patients(output)}  # refused now, not when the work is done
    done: list[Converted] = []
    failed = list(missing)
    of_patient: dict[str, dict[Path, None]] = {}
    with progress_bar("converting", len(files)) as advance:
        for path in files:
            label = label_of.get(path)
            problems: list[UsageError] = []
            images: dict[Path, bool] = {}
            of_this: dict[Path, None] = {}
            try:
                for patient, pixels in _scanned(path, label, labels, every, allow_burnt_in, problems.append):
                    image, is_new = _keep(pixels, path, str(label), output, problems.append)
                    if image is not None:
                        images[image] = is_new or images.get(image, False)
                        of_this = of_patient.setdefault(patient, {})
                        of_this[image] = None
            finally:  # whatever ends the work: images that are there must not lack who they are of
                _note_patient(output, of_this, noted)
            if problems:
                failed.append(Failed(path, str(problems[0])))
            if images or not problems:
                done.append(Converted(path, str(label), tuple(images), sum(images.values())))
            advance()
    return Conversions(tuple(done), tuple(failed), tuple(sorted(map(len, of_patient.values()), reverse=True)))


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder and of those below it, but for hidden ones, sorted naturally.

    Raises:
        UsageError: there is no such folder, or no DICOM file in it.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; name one that holds DICOM files")
    found = [path for path in visible_files(folder) if is_dicom(path)]
    if not found:
        raise UsageError(f"{folder} holds no DICOM file; name another folder")
    return sorted(found, key=lambda path: natural_order(str(path)))


def read_labels(table: Path) -> dict[str, tuple[int, str]]:
    """The lines of a table of labels: the line's number and the class by the file that it names.

    Raises:
        UsageError: there is no such table, a column is missing, a class is none of `CLASSES`, or a file has two. The
            message tells the line and not what stands there, for that may be a patient's name.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            rows = csv.DictReader(stream)
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
            if missing:
                raise UsageError(f"{table} has no column {missing[0]}; its first line has to be: {','.join(COLUMNS)}")
            return _labels(((rows.line_num, row) for row in rows), table)
    except FileNotFoundError:
        raise UsageError(f"{table} does not exist; check the path") from None
    except OSError as error:
        raise UsageError(f"{table} cannot be read ({error.strerror}); name a CSV table") from None
    except (UnicodeDecodeError, csv.Error):
        raise UsageError(f"{table} is not a CSV table in UTF-8; save it as one") from None


def match_labels(
    files: Sequence[Path], folder: Path, labels: Mapping[str, tuple[int, str]], table: Path
) -> tuple[dict[Path, str], list[Failed]]:
    """Each file's class, and the lines of the table that mean no file, more than one, or one that has another class."""
    by_path = {path.relative_to(folder).as_posix(): path for path in files}
    by_name: dict[str, list[Path]] = {}
    for path in files:
        by_name.setdefault(path.name, []).append(path)
    label_of: dict[Path, str] = {}
    failed: list[Failed] = []
    for name, (line, label) in labels.items():
        meant = [by_path[name]] if name in by_path else by_name.get(name, [])
        if len(meant) != 1:
            found = f"{len(meant)} files in {folder} have" if meant else f"no DICOM file in {folder} has"
            problem = f"{found} this name; give its path in the folder"
        elif label_of.setdefault(meant[0], label) != label:
            problem = "another line gives this file a different class; fix one"
        else:
            continue
        failed.append(Failed(folder / name, f"line {line} of {table}: {problem}"))
    return label_of, failed


def _labels(rows: Iterator[tuple[int, dict[str, str]]], table: Path) -> dict[str, tuple[int, str]]:
    labels: dict[str, tuple[int, str]] = {}
    for line, row in rows:
        name, label = ((row[column] or "").strip() for column in COLUMNS)
        name = name.replace("\\", "/").removeprefix("./")
        if label not in CLASSES or not name:
            raise UsageError(f"line {line} of {table} names no file or no class; give one of {', '.join(CLASSES)}")
        if labels.get(name, (line, label))[1] != label:
            raise UsageError(f"line {line} of {table} contradicts line {labels[name][0]} on a file's class; fix one")
        labels[name] = line, label
    return labels


def _scanned(
    path: Path,
    label: str | None,
    labels: Path,
    every: int,
    allow_burnt_in: bool,
    fail: Callable[[UsageError], None],
) -> Iterator[tuple[str, np.ndarray]]:
    """The patient and the scan area of each frame, uint8 `(height, width, 3)`; a bad file or frame is said, and is the
    end of it.

    Errors of writing do not come by here: a full disk ends everything, a bad file only itself.
    """
    try:
        if label is None:
            raise UsageError(f"{path} has no line in {labels}; add one with its class, or take the file out")
        ultrasound = read_ultrasound(path)
        if not allow_burnt_in:
            _refuse_burnt_in(ultrasound, path)
        for frame in ultrasound.frames(every):
            yield ultrasound.patient, ultrasound.scan_area.crop(frame.pixels)
    except UsageError as error:
        fail(error)


def _refuse_burnt_in(ultrasound: Ultrasound, path: Path) -> None:
    if not ultrasound.may_name_patient:
        return
    if ultrasound.burnt_in:
        raise UsageError(
            f"{path} is flagged with burnt-in annotation, which may name a patient; check it, and accept it with "
            "--allow-burnt-in"
        )
    raise UsageError(
        f"{path} names no scan area and does not say that it is free of burnt-in annotation, which may name a patient; "
        "check it, and accept it with --allow-burnt-in"
    )


def _note_patient(output: Path, images: Iterable[Path], noted: set[frozenset[str]]) -> None:
    """Writes down that images are of one patient, unless it is `noted` already, and notes it."""
    names = [image.relative_to(output).as_posix() for image in images]
    if len(names) < 2 or any(group.issuperset(names) for group in noted):
        return
    with held(output, wait=True):  # two conversions may end in one folder
        add_patients(output, [names])
    noted.add(frozenset(names))


def _keep(
    pixels: np.ndarray, path: Path, label: str, output: Path, fail: Callable[[UsageError], None]
) -> tuple[Path | None, bool]:
    """Writes an image that is not there yet; gives its path, None where it has another class, and whether it was
    written."""
    digest = pixels_digest(pixels)[:_NAME_DIGITS]
    places = {name: output / name / f"{name} ({digest}).png" for name in CLASSES}
    image = places.pop(label)
    for other, place in places.items():
        if place.exists():
            fail(
                UsageError(f"{path} is labelled {label}, but {place} is the same image as {other}; remove one of them")
            )
            return None, False
    if image.exists():
        return image, False
    grey = (pixels == pixels[..., :1]).all()
    with replacing(image) as part:
        part.write_bytes(encode_png(pixels[..., 0] if grey else pixels))
    return image, True
