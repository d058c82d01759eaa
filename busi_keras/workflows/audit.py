"""`data audit`: looks a folder over before anything is trained on it."""

import csv
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from busi_keras.config import CLASSES, NORMAL
from busi_keras.data.audit import Audit, ImageFacts, audit
from busi_keras.data.busi import Record, masks_alone, passed_over
from busi_keras.data.source import source_in
from busi_keras.data.split import read_parts
from busi_keras.errors import UsageError
from busi_keras.files import UTF8, replacing, write_text
from busi_keras.report.audit_report import audit_page, thumbnail
from busi_keras.workflows.console import progress_bar

COLUMNS = tuple(field.name for field in fields(ImageFacts))


@dataclass(frozen=True)
class Audited:
    """An audit, and where its page and table lie."""

    folder: Path
    audit: Audit
    page: Path
    table: Path

    def to_json(self) -> dict[str, Any]:
        """What `data audit --json` prints."""
        images = [asdict(image) | {"label": CLASSES[image.label]} for image in self.audit.images]
        found = asdict(self.audit) | {"images": images, "classes_without_images": self.audit.classes_without_images}
        return {**found, "distorts": self.audit.distorts, "page": str(self.page), "table": str(self.table)}

    def summary(self) -> str:
        """What was found, a line a kind."""
        found = self.audit
        problems = [problem for image in found.images for problem in image.problems]
        of_patients = f"{sum(map(len, found.patients))} images share a patient with another image"
        lines = [
            f"{len(found.images)} images, {sum(map(len, found.groups))} of them in {len(found.groups)} groups of "
            f"near-duplicates, {len(found.identical)} groups identical pixel for pixel",
            *([of_patients] if found.patients else []),
            *(f"same frame, different labels: {', '.join(group)}" for group in found.conflicts),
            *(f"leak: {leak}" for leak in found.leaks or ()),
            *(f"{file} is a mask whose image is missing" for file in found.masks_alone),
            *found.passed_over,
            *(_without(name) for name in found.classes_without_images),
            *problems,
            f"page: {self.page}; table: {self.table}",
        ]
        return "\n".join(
            [*lines, "this would distort training" if found.distorts else "nothing that distorts training"]
        )


def audit_folder(folder: Path, output: Path, split: Path | None = None) -> Audited:
    """Audits a folder in BUSI's layout; writes `audit.html` and `images.csv`.

    Args:
        output: where to.
        split: a run's `split.json`, or another JSON object of lists of names, to look for leaks in.

    Raises:
        UsageError: the folder is not in BUSI's layout, the split cannot be read or is another folder's, or the disk is
            full.
    """
    source = source_in(folder)
    records = source.records()
    parts = read_parts(split) if split else None
    unknown = {name for names in (parts or {}).values() for name in names} - {record.name for record in records}
    if unknown:
        raise UsageError(f"{split} names {min(unknown)}, which {folder} lacks; audit the folder that was split")
    thumbnails: dict[str, bytes] = {}
    with progress_bar("checking images, looking for near-duplicates", len(records)) as advance:

        def seen(record: Record, image: np.ndarray | None) -> None:
            if image is not None:
                thumbnails[record.name] = thumbnail(image)
            advance()

        found = replace(
            audit(records, parts, seen),
            masks_alone=tuple(map(str, masks_alone(source.folder))),
            passed_over=tuple(passed_over(source.folder)),
        )
    audited = Audited(folder, found, output / "audit.html", output / "images.csv")
    write_text(audited.page, audit_page(str(folder), found, thumbnails))
    with replacing(audited.table) as part, part.open("w", newline="", **UTF8) as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows([_cell(name, getattr(image, name)) for name in COLUMNS] for image in found.images)
    return audited


def _without(name: str) -> str:
    accepts = (
        "only protocol lesion-70-30 and --external accept" if name == CLASSES[NORMAL] else "only --external accepts"
    )
    return f"no image of class {name}: {accepts} such a folder"


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if column == "label":
        return CLASSES[value]
    if isinstance(value, tuple):
        return "; ".join(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
