"""What stands behind the page: one model, one queue, the sessions and their folder, the metrics."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from busi_keras.dicom import library
from busi_keras.inference.predictor import Prediction
from busi_keras.report.case_report import Threshold
from busi_keras.web.access import Credentials, Door
from busi_keras.web.examples import Examples
from busi_keras.web.frames import Frame, Frames
from busi_keras.web.metrics import Metrics
from busi_keras.web.prediction_queue import CAPACITY, PredictionQueue, QueueFullError
from busi_keras.web.private_folder import PrivateFolder
from busi_keras.web.served_model import FAILED, LOADING, READY, ServedModel
from busi_keras.web.sessions import IDLE_SECONDS, Sessions

MAX_UPLOAD_BYTES = 256_000_000
SWEEP_SECONDS = 20

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """How a server is to behave.

    Attributes:
        corrections: where corrections are saved, in BUSI's layout; None to save none.
        credentials: the one user; None to let everybody in.
        hosts: by which names the server may be called; None for any.
        cookie: the name of the session's cookie; each port its own, for browsers do not tell ports apart.
        capacity: images that are decoded, waiting or predicted at once.
        max_upload_bytes: a larger file is refused while it is read.
        idle_seconds: a session ends when it was not used for so long.
        private_parent: where the private folder is made; None for tmpfs where there is one.
    """

    corrections: Path | None = None
    credentials: Credentials | None = None
    hosts: tuple[str, ...] | None = None
    cookie: str = "busi_keras"
    capacity: int = CAPACITY
    max_upload_bytes: int = MAX_UPLOAD_BYTES
    idle_seconds: float = IDLE_SECONDS
    private_parent: Path | None = None


class NotReadyError(Exception):
    """The model is not loaded; the message says whether it will be."""


class Service:
    """All that the routes use.

    Args:
        model: what predicts; the routes wait until it is loaded.
        settings: who may use it, and how much at once.
    """

    def __init__(self, model: ServedModel, settings: Settings) -> None:
        library.quieten()
        self.model, self.settings = model, settings
        self.metrics = Metrics()
        self.examples = Examples()
        self.door = None if settings.credentials is None else Door(settings.credentials)
        self._folder = PrivateFolder(settings.private_parent)
        self.sessions = Sessions(self._folder, settings.idle_seconds)
        self._queue: PredictionQueue | None = None
        self._one_queue = threading.Lock()
        self._gauges()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the block runs, sessions end when they are idle; after it nothing of them is left."""
        sweeping = asyncio.create_task(self._end_idle_sessions())
        try:
            yield
        finally:
            sweeping.cancel()
            if self._queue is not None:
                await run_in_threadpool(self._queue.close)
            self._folder.remove()

    def require_ready(self) -> None:
        """Raises `NotReadyError` before the model is loaded."""
        if self.model.state == LOADING:
            raise NotReadyError("the model is being loaded; try again in a few seconds")
        if self.model.state == FAILED:
            raise NotReadyError("the model could not be loaded; see what the server printed")

    @property
    def queue(self) -> PredictionQueue:
        """The queue of the loaded model; raises `NotReadyError` before."""
        self.require_ready()
        with self._one_queue:
            if self._queue is None:
                predictor = self.model.predictor
                self._queue = PredictionQueue(
                    predictor.predict, predictor.batch_size, self.settings.capacity, self.metrics.batch
                )
            return self._queue

    @asynccontextmanager
    async def predicted(self, frames: Frames, index: int) -> AsyncIterator[tuple[Frame, Prediction]]:
        """A frame and what is said of it; it keeps its place in the queue while the block runs.

        Raises:
            NotReadyError, QueueFullError: try again later.
            UsageError: the frame cannot be decoded.
        """
        with ExitStack() as until_done:
            try:
                until_done.enter_context(self.queue.place(frames.pixels))
            except QueueFullError:
                self.metrics.queue_full.inc()
                raise
            frame = await in_thread(frames.read, index)
            submitted = self.queue.submit(frame.image)
            prediction = await _ended(asyncio.wrap_future(submitted), submitted.cancel)
            self.metrics.predictions.labels(prediction.label).inc()
            yield frame, prediction

    @property
    def thresholds(self) -> list[Threshold]:
        """Those of the card, most sensitive first."""
        found = [Threshold(name, value) for name, value in self.model.card.thresholds.items()]
        return sorted(found, key=lambda threshold: threshold.value)

    async def _end_idle_sessions(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self.sessions.end_idle()

    def _gauges(self) -> None:
        gauge = self.metrics.gauge
        gauge("busi_keras_queue", "Images that have a place.", lambda: self._queue.places_taken if self._queue else 0)
        gauge("busi_keras_sessions", "Sessions.", lambda: len(self.sessions))
        gauge("busi_keras_stored_bytes", "What sessions store.", lambda: self.sessions.stored_bytes)
        gauge("busi_keras_ready", "1 when the model is loaded.", lambda: float(self.model.state == READY))


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """The result of some work in a thread; who is cancelled meanwhile goes on when the thread has ended, not before."""
    return await _ended(asyncio.ensure_future(run_in_threadpool(work, *arguments)))


async def _ended(working: asyncio.Future[T], give_up: Callable[[], object] = lambda: None) -> T:
    try:
        await asyncio.wait({working})
    except asyncio.CancelledError:
        give_up()
        await asyncio.wait({working})
        working.exception()  # looked at, or asyncio writes it to the log
        raise
    return working.result()


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is given up when who asked for it has left.

    Raises:
        ClientDisconnect: they have.
    """
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientDisconnect
    finally:
        for task in (working, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
