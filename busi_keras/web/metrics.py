"""What Prometheus reads: counts and times. Labels are routes, methods, statuses and classes; nothing of a patient."""

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16)


class Metrics:
    """A registry of its own for each server, so that two in one process do not mix."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("busi_keras_requests", "Requests.", ("method", "route", "status"), registry=registry)
        self.request_seconds = Histogram(
            "busi_keras_request_seconds", "Time of a request.", ("route",), buckets=_SECONDS, registry=registry
        )
        self.predictions = Counter("busi_keras_predictions", "Images predicted.", ("label",), registry=registry)
        self.batch_seconds = Histogram(
            "busi_keras_batch_seconds", "Time of a batch in the network.", buckets=_SECONDS, registry=registry
        )
        self.batch_images = Histogram(
            "busi_keras_batch_images", "Images of a batch.", buckets=(1, 2, 4, 8), registry=registry
        )
        self.queue_full = Counter("busi_keras_queue_full", "Images sent away: the queue was full.", registry=registry)
        self.corrections = Counter("busi_keras_corrections", "Corrections by readers.", registry=registry)

    def gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """Adds a number that is asked for when Prometheus reads."""
        Gauge(name, description, registry=self._registry).set_function(value)

    def batch(self, images: int, seconds: float) -> None:
        """Notes a call of the network."""
        self.batch_images.observe(images)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)


class Measured:
    """Counts and times requests, by the route's pattern, never by the path that was asked for."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noting_status)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.requests.labels(method, route, status).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - started)
