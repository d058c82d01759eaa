"""Which images to use: `--data auto | phantom | FOLDER`, and the download of BUSI."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from busi_keras.config import BUSI_FOLDER, CLASSES, PHANTOM
from busi_keras.data.busi import BUSI_COUNTS, BUSI_MASKS, Record, natural_order, read_busi
from busi_keras.data.phantom_set import INFO_FILE, write_phantoms
from busi_keras.errors import UsageError
from busi_keras.internet import reachable

KAGGLE_HANDLE = "aryashah2k/breast-ultrasound-images-dataset"
LOCAL_DATA = Path("data")
DEMO_PHANTOMS = 160
"""Images in the demonstration: enough to learn from, few enough for minutes on two cores."""

PHANTOM_NOTICE = (
    "PHANTOMS: these are synthetic images, used because --data asks for them or BUSI could not be obtained. "
    "What is learnt and measured on them says nothing about patients. For BUSI: python cli.py data download"
)


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A folder in BUSI's layout and what kind of images it holds."""

    folder: Path
    phantom: bool

    @property
    def name(self) -> str:
        """What an experiment records: `PHANTOM`, or the folder's name."""
        name = self.folder.resolve().name
        if self.phantom:
            return PHANTOM
        return f"folder {name}" if name == PHANTOM else name

    def records(self) -> list[Record]:
        """The folder's records."""
        return read_busi(self.folder)


def find_source(data: str, seed: int = 0, or_phantoms: bool = True) -> Source:
    """The images that `--data` means.

    Args:
        data: a folder; `phantom`; or `auto`: `$BUSI_DATA_DIR`, `data/Dataset_BUSI_with_GT`, kagglehub's cache, a
            download, and where none of them can be had within seconds, phantoms.
        seed: of the phantoms.
        or_phantoms: whether `auto` may end at phantoms.

    Raises:
        UsageError: the folder named, by `data` or `$BUSI_DATA_DIR`, is not in BUSI's layout; or BUSI cannot be had,
            without `or_phantoms`.
    """
    if data == PHANTOM:
        return _phantoms(seed)
    if data != "auto":
        return source_in(Path(data))
    if named := os.environ.get("BUSI_DATA_DIR"):
        return source_in(Path(named))
    for folder in (LOCAL_DATA / BUSI_FOLDER, _cached()):
        if folder is not None and folder.is_dir():
            return source_in(folder)
    try:
        return download()
    except UsageError as error:
        if not or_phantoms:
            raise
        log.warning("BUSI could not be obtained: %s", error)
        return _phantoms(seed)


def download() -> Source:
    """BUSI from Kaggle, through kagglehub into its cache; public, no account; shows its progress on stderr.

    Raises:
        UsageError: Kaggle does not answer, the download breaks off, or the files are not BUSI's 780 images.
    """
    if not reachable("https://www.kaggle.com", own_certificates=True):
        raise UsageError(
            f"www.kaggle.com does not answer; download {KAGGLE_HANDLE} elsewhere and name its folder: "
            f"--data .../{BUSI_FOLDER}"
        )
    import kagglehub

    try:
        folder = Path(kagglehub.dataset_download(KAGGLE_HANDLE))
    except Exception as error:  # kagglehub lets the exceptions of requests, zipfile and its own through
        raise UsageError(f"the download of {KAGGLE_HANDLE} from Kaggle failed ({error}); try again") from error
    source = source_in(folder)
    counts, masks = _counts(source.folder)
    if (counts, masks) != (BUSI_COUNTS, BUSI_MASKS):
        raise UsageError(
            f"{source.folder} holds {counts} and {masks} masks, not BUSI's {BUSI_COUNTS} and {BUSI_MASKS}; delete it "
            "and download again"
        )
    return source


def source_in(folder: Path) -> Source:
    """A folder in BUSI's layout, or one that holds `BUSI_FOLDER`, as Kaggle's archive does.

    Raises:
        UsageError: it is neither.
    """
    nested = folder / BUSI_FOLDER
    folder = nested if nested.is_dir() else folder
    read_busi(folder)
    return Source(folder, phantom=(folder / INFO_FILE).exists())


def _cached() -> Path | None:
    """The newest complete version in kagglehub's cache: where a download broke off, a part of one may lie there."""
    cache = Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))
    folders = (cache / "datasets" / KAGGLE_HANDLE / "versions").glob(f"*/{BUSI_FOLDER}")
    newest_first = sorted(folders, key=lambda folder: natural_order(str(folder)), reverse=True)
    return next((folder for folder in newest_first if _complete(folder)), None)


def _complete(folder: Path) -> bool:
    try:
        return _counts(folder) == (BUSI_COUNTS, BUSI_MASKS)
    except UsageError:
        return False


def _counts(folder: Path) -> tuple[dict[str, int], int]:
    """Images of each class, and masks."""
    records = read_busi(folder)
    labels = [record.label for record in records]
    images = {name: labels.count(label) for label, name in enumerate(CLASSES)}
    return images, sum(len(record.masks) for record in records)


def is_demonstration(folder: Path) -> bool:
    """Whether a folder is called as the phantoms are that `find_source` makes."""
    return folder.name == _demonstration().name


def _demonstration(seed: int = 0) -> Path:
    return LOCAL_DATA / f"phantoms-{DEMO_PHANTOMS}-seed-{seed}"


def _phantoms(seed: int) -> Source:
    folder = _demonstration(seed)
    if not folder.exists():
        try:
            write_phantoms(folder, DEMO_PHANTOMS, seed)
        except UsageError:
            if not folder.exists():  # else another process has made the same ones in the meantime
                raise
    return Source(folder, phantom=True)
