"""A case: one image, what was said of it, and what its reader says; pixels lie in the session's folder, not here."""

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from busi_keras.dicom.regions import Spacing
from busi_keras.dicom.scan_area import ScanArea
from busi_keras.dicom.ultrasound import Ultrasound
from busi_keras.evaluation.lesions import Lesion
from busi_keras.imaging import encode_png, read_image, read_mask
from busi_keras.inference.predictor import Prediction
from busi_keras.web.frames import Frame

_NO_MAP = np.zeros((0, 0), np.float32)


@dataclass(frozen=True)
class Correction:
    """What the reader says instead.

    Attributes:
        label: one of `CLASSES`.
        saved: where the pair was written for the next training, relative to the folder of corrections; None where the
            server has no such folder.
        lesions: in the reader's mask; None where there is none, and the network's stands.
    """

    label: str
    saved: str | None
    lesions: tuple[Lesion, ...] | None


@dataclass
class Case:
    """One image of a session.

    Attributes:
        key: its name in the API, drawn at random.
        name: of the file that was dropped; for the reader's eyes alone, never a path.
        frame: which of the file's `frames` it is, from 0.
        folder: holds its pixels.
        height, width: px.
        phantom: whether it is one of the page's own examples.
        spacing, scan_area, may_name_patient, ultrasound: as in `Frame`; of the DICOM file only the header is left, and
            that in memory alone.
        correction: None until the reader corrects it.
        stored_bytes: what it takes of the folder.
    """

    key: str
    name: str
    frame: int
    frames: int
    folder: Path
    height: int
    width: int
    phantom: bool
    spacing: Spacing | None
    scan_area: ScanArea | None
    may_name_patient: bool
    ultrasound: Ultrasound | None = field(repr=False)
    _finding: Prediction
    correction: Correction | None = None
    stored_bytes: int = 0
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def store(cls, frame: Frame, prediction: Prediction, phantom: bool, origin: "Origin", folder: Path) -> "Case":
        """A new case; its pixels are written to `folder`, a new one, probabilities with 8 bits."""
        try:
            _write_pixels(frame.image, prediction, folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finding = replace(
            prediction,
            mask=_NO_MAP,
            mask_probability=_NO_MAP,
            heat_map=None,
            warnings=(*prediction.warnings, *frame.warnings),
        )
        height, width = frame.image.shape[:2]
        case = cls(
            folder.name,
            origin.name,
            origin.frame,
            origin.frames,
            folder,
            height,
            width,
            phantom,
            frame.spacing,
            frame.scan_area,
            frame.may_name_patient,
            frame.ultrasound,
            finding,
        )
        case._measure()
        return case

    @property
    def finding(self) -> Prediction:
        """Class, probabilities, lesions and warnings; without maps."""
        return self._finding

    @property
    def has_heat_map(self) -> bool:
        """Whether anything in the image speaks for the class."""
        return (self.folder / "heat_map.png").exists()

    def image(self) -> np.ndarray:
        """The image, uint8 `(height, width, 3)`."""
        return read_image((self.folder / "image.png").read_bytes())

    def prediction(self) -> Prediction:
        """All that was said of it, with its maps."""
        return replace(
            self._finding,
            mask=read_mask((self.folder / "mask.png").read_bytes()),
            mask_probability=_decode_share(self.folder / "mask_probability.png"),
            heat_map=_decode_share(self.folder / "heat_map.png") if self.has_heat_map else None,
        )

    def corrected_mask(self) -> np.ndarray | None:
        """The reader's mask, bool `(height, width)`; None until there is one."""
        file = self.folder / "corrected.png"
        return read_mask(file.read_bytes()) if file.exists() else None

    def correct(self, drawn: np.ndarray | None, save: Callable[[np.ndarray | None], Correction]) -> Correction:
        """Keeps what the reader says; where anything fails, all of it stays as it was.

        Args:
            drawn: bool `(height, width)`; the network's own mask to have none of the reader's any more, None to keep
                what there is.
            save: is given the reader's mask as it will be, None where the network's stands.
        """
        with self._one_at_a_time:
            mask = self._readers(drawn)
            with self._replacing_mask(mask):
                correction = save(mask)
            self.correction = correction
            self._measure()
        return correction

    def remove(self) -> None:
        """Removes its pixels."""
        with self._one_at_a_time:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _readers(self, drawn: np.ndarray | None) -> np.ndarray | None:
        if drawn is None:
            return self.corrected_mask()
        return None if np.array_equal(drawn, read_mask((self.folder / "mask.png").read_bytes())) else drawn

    @contextmanager
    def _replacing_mask(self, mask: np.ndarray | None) -> Iterator[None]:
        """The reader's mask is written before the block, and takes its place after it."""
        file, part = self.folder / "corrected.png", self.folder / "corrected.part"
        try:
            if mask is not None:
                part.write_bytes(encode_png(mask))
            yield
            if mask is None:
                file.unlink(missing_ok=True)
            else:
                part.replace(file)
        finally:
            part.unlink(missing_ok=True)

    def _measure(self) -> None:
        self.stored_bytes = sum(file.stat().st_size for file in self.folder.iterdir())


@dataclass(frozen=True)
class Origin:
    """Where a case comes from: a file's name, and which of its frames."""

    name: str
    frame: int
    frames: int


def _write_pixels(image: np.ndarray, prediction: Prediction, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "image.png").write_bytes(encode_png(_as_stored(image)))
    (folder / "mask.png").write_bytes(encode_png(prediction.mask))
    (folder / "mask_probability.png").write_bytes(_encode_share(prediction.mask_probability))
    if prediction.heat_map is not None:
        (folder / "heat_map.png").write_bytes(_encode_share(prediction.heat_map))


def _as_stored(image: np.ndarray) -> np.ndarray:
    """One channel where all are the same: a third of the bytes."""
    grey = image[..., 0]
    return grey if (image == grey[..., None]).all() else image


def _encode_share(values: np.ndarray) -> bytes:
    return encode_png(np.rint(255 * values).astype(np.uint8))


def _decode_share(file: Path) -> np.ndarray:
    return read_image(file.read_bytes())[..., 0].astype(np.float32) / 255
