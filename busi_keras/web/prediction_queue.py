"""One predictor for many users: a bounded queue, and a thread that predicts in one batch what waits in it."""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager

import numpy as np

from busi_keras.inference.predictor import Prediction

CAPACITY = 32
MAX_MEGAPIXELS_IN_FLIGHT = 120

log = logging.getLogger(__name__)


class QueueFullError(Exception):
    """There is no place for another image now.

    Attributes:
        retry_after: whole seconds after which to ask again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many images are waiting")
        self.retry_after = retry_after


class PredictionQueue:
    """Images of many users, predicted in batches of what happens to wait.

    An image has a place from before it is decoded until its results are stored, so that memory is bounded by
    `capacity` and by the pixels of all images that have one.

    Args:
        predict: predictions of uint8 images `(height, width, 3)` of any sizes, in their order.
        batch_size: images in one call, at most.
        capacity: images that have a place at once.
        measured: called with the images and the seconds of each call.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[np.ndarray]], list[Prediction]],
        batch_size: int = 8,
        capacity: int = CAPACITY,
        measured: Callable[[int, float], None] = lambda images, seconds: None,
    ) -> None:
        self._predict, self._batch_size, self._capacity, self._measured = predict, batch_size, capacity, measured
        self._waiting: deque[tuple[np.ndarray, Future[Prediction]]] = deque()
        self._changed = threading.Condition()
        self._places = self._pixels = 0
        self._seconds_an_image = 0.2
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="predictions", daemon=True)
        self._thread.start()

    @property
    def places_taken(self) -> int:
        """Images that are being decoded, waiting, predicted or stored."""
        return self._places

    @contextmanager
    def place(self, pixels: int) -> Iterator[None]:
        """A place for an image of so many pixels while the block runs.

        Raises:
            QueueFullError: there is none.
        """
        with self._changed:
            too_many_pixels = self._pixels + pixels > MAX_MEGAPIXELS_IN_FLIGHT * 1_000_000
            if self._places >= self._capacity or (self._places and too_many_pixels):
                raise QueueFullError(max(1, math.ceil(self._places * self._seconds_an_image)))
            self._places += 1
            self._pixels += pixels
        try:
            yield
        finally:
            with self._changed:
                self._places -= 1
                self._pixels -= pixels

    def submit(self, image: np.ndarray) -> Future[Prediction]:
        """What will be said of an image; cancelling it while it waits takes it out of the queue.

        Args:
            image: uint8 `(height, width, 3)`.
        """
        future: Future[Prediction] = Future()
        with self._changed:
            if self._closed:
                future.cancel()
                return future
            self._waiting.append((image, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Ends the thread after the batch in hand; what waits is cancelled."""
        with self._changed:
            self._closed = True
            while self._waiting:
                self._waiting.popleft()[1].cancel()
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                taken = [self._waiting.popleft() for _ in range(min(self._batch_size, len(self._waiting)))]
            batch = [(image, future) for image, future in taken if future.set_running_or_notify_cancel()]
            if batch:
                self._run(batch)

    def _run(self, batch: list[tuple[np.ndarray, Future[Prediction]]]) -> None:
        started = time.perf_counter()
        try:
            predictions = self._predict([image for image, _ in batch])
        except Exception as error:
            if len(batch) > 1:  # one image must not take the others with it
                for one in batch:
                    self._run([one])
                return
            log.exception("the network could not be run")
            batch[0][1].set_exception(error)
            return
        seconds = time.perf_counter() - started
        self._seconds_an_image += 0.2 * (seconds / len(batch) - self._seconds_an_image)
        self._measured(len(batch), seconds)
        for (_, future), prediction in zip(batch, predictions, strict=True):
            future.set_result(prediction)
