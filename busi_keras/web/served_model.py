"""The model behind the page: loaded once, beside the first page, and compared with its file from then on."""

import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from busi_keras.card import Card
from busi_keras.data.phantom import make_phantom
from busi_keras.errors import UsageError
from busi_keras.inference.formats import is_standalone
from busi_keras.inference.predictor import Predictor
from busi_keras.run_files import network_file

LOADING, READY, FAILED = "loading", "ready", "failed"


class ServedModel:
    """A predictor that is on its way, or there.

    Args:
        path: of the stored model, as `Predictor.load` takes it.
        load: gives the predictor; called once, in a thread of its own.

    Attributes:
        state: `LOADING`, `READY` or `FAILED`.
        error: why it failed.
    """

    def __init__(self, path: Path, load: Callable[[Path], Predictor] = Predictor.load) -> None:
        self.path, self._load = path, load
        self.state = LOADING
        self.error: Exception | None = None
        self._predictor: Predictor | None = None
        self._digest = ""
        self._seen: dict[Path, tuple[int, int, int]] = {}

    def start(self, finished: Callable[[], None] = lambda: None) -> None:
        """Loads the model without waiting for it, and then calls `finished`, whatever came of it."""
        threading.Thread(target=self._prepare, args=(finished,), name="model", daemon=True).start()

    @property
    def predictor(self) -> Predictor:
        """The predictor, once `state` is `READY`."""
        assert self._predictor is not None
        return self._predictor

    @property
    def card(self) -> Card:
        """The model's card, once `state` is `READY`."""
        return self.predictor.card

    @property
    def version(self) -> str:
        """Which model this is: approach, backbone, day of training, and 12 hexadecimal digits of its files."""
        return f"{self.card.approach} {self.card.backbone} {self.card.date[:10]} {self._digest}"

    def file_change(self) -> str | None:
        """A sentence where the model's file is not the one that was loaded; None where it is."""
        now = _stamps(self.path)
        if now == self._seen:
            return None
        what = "has disappeared" if not now else "has been replaced"
        return (
            f"The model's file {what} since the server started. Results still come from the model that was loaded; "
            "restart the server to change that."
        )

    def _prepare(self, finished: Callable[[], None]) -> None:
        try:
            self._seen = _stamps(self.path)
            self._digest = _digest(self._seen)
            predictor = _load_own_copy(self.path, self._load) if is_standalone(self.path) else self._load(self.path)
            image = make_phantom(seed=0, index=0, label=0).image
            predictor.predict([image[..., None].repeat(3, axis=-1)])  # the first run is the slow one
            self._predictor = predictor
            self.state = READY
        except Exception as error:
            self.error = error
            self.state = FAILED
        finished()


def _load_own_copy(path: Path, load: Callable[[Path], Predictor]) -> Predictor:
    """A predictor that does not mind what becomes of its file.

    OpenVINO and LiteRT map it into memory: written over in place, it would end the process, or change what it says.
    """
    with tempfile.TemporaryDirectory(prefix="busi_keras-model-") as folder:
        for file in model_files(path):
            shutil.copyfile(file, Path(folder) / file.name)
        copy = Path(folder) / path.name
        try:
            return load(copy)
        except UsageError as error:
            raise UsageError(str(error).replace(str(copy), str(path))) from None


def model_files(path: Path) -> list[Path]:
    """The files that make a stored model: its one file, OpenVINO's two, a run's `model.keras`, a SavedModel's all."""
    if path.is_dir():
        network = network_file(path)
        return [network] if network.exists() else sorted(file for file in path.rglob("*") if file.is_file())
    files = [path, path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [path]
    return [file for file in files if file.exists()]


def _stamps(path: Path) -> dict[Path, tuple[int, int, int]]:
    """What tells a file from one that took its place: number, size and time of change."""
    stats = {file: file.stat() for file in model_files(path)}
    return {file: (found.st_ino, found.st_size, found.st_mtime_ns) for file, found in stats.items()}


def _digest(files: dict[Path, tuple[int, int, int]]) -> str:
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:12]
