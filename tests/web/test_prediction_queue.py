"""The queue: batches, order, bounds, and images that break."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from busi_keras.inference.predictor import Prediction
from busi_keras.web.prediction_queue import PredictionQueue, QueueFullError

NO_MAP = np.zeros((0, 0), np.float32)


def prediction(value: int) -> Prediction:
    return Prediction(str(value), (1.0, 0.0, 0.0), NO_MAP > 0, NO_MAP, None, (), 1.0, ())


class Recorder:
    """Predicts an image's first pixel, once it may; breaks on 13."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()

    def predict(self, images: Sequence[np.ndarray]) -> list[Prediction]:
        self.begun.set()
        self.go_on.wait(10)
        self.batches.append(len(images))
        values = [int(image[0, 0, 0]) for image in images]
        if 13 in values:
            raise RuntimeError("an image broke the network")
        return [prediction(value) for value in values]


def image(value: int) -> np.ndarray:
    return np.full((2, 2, 3), value, np.uint8)


def test_what_waits_is_predicted_in_one_batch_and_each_gets_its_own() -> None:
    recorder = Recorder()
    queue = PredictionQueue(recorder.predict, batch_size=4)
    futures = [queue.submit(image(0))]
    assert recorder.begun.wait(10)  # the first is in the network now
    futures += [queue.submit(image(value)) for value in range(1, 7)]
    recorder.go_on.set()
    assert [future.result(10).label for future in futures] == [str(value) for value in range(7)]
    assert recorder.batches == [1, 4, 2]
    queue.close()


def test_an_image_that_breaks_the_network_does_not_take_the_others_with_it() -> None:
    recorder = Recorder()
    queue = PredictionQueue(recorder.predict, batch_size=4)
    futures = [queue.submit(image(value)) for value in (0, 1, 13, 3)]
    recorder.go_on.set()
    with pytest.raises(RuntimeError, match="an image broke the network"):
        futures[2].result(10)
    assert [futures[index].result(10).label for index in (0, 1, 3)] == ["0", "1", "3"]
    assert queue.submit(image(5)).result(10).label == "5"
    queue.close()


def test_what_is_cancelled_while_it_waits_is_not_predicted() -> None:
    recorder = Recorder()
    queue = PredictionQueue(recorder.predict, batch_size=1)
    first = queue.submit(image(0))
    assert recorder.begun.wait(10)
    second, third = queue.submit(image(1)), queue.submit(image(2))
    assert second.cancel()
    recorder.go_on.set()
    assert (first.result(10).label, third.result(10).label) == ("0", "2")
    assert recorder.batches == [1, 1]
    queue.close()


def test_places_are_bounded_by_number_and_by_pixels() -> None:
    queue = PredictionQueue(Recorder().predict, capacity=2)
    with queue.place(100), queue.place(100):
        assert queue.places_taken == 2
        with pytest.raises(QueueFullError) as full, queue.place(100):
            pass
        assert full.value.retry_after >= 1
    with queue.place(110_000_000), pytest.raises(QueueFullError), queue.place(20_000_000):
        pass
    with queue.place(500_000_000):  # one alone always has its turn
        pass
    assert queue.places_taken == 0
    queue.close()


def test_closing_cancels_what_waits() -> None:
    recorder = Recorder()
    queue = PredictionQueue(recorder.predict, batch_size=1)
    first = queue.submit(image(0))
    assert recorder.begun.wait(10)
    second = queue.submit(image(1))
    threading.Timer(0.2, recorder.go_on.set).start()
    queue.close()
    assert first.result(1).label == "0"
    assert second.cancelled()
    assert queue.submit(image(2)).cancelled()
