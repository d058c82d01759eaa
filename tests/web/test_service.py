"""Work that is given up: threads end first, and what they hold with them."""

import asyncio
import threading

import pytest
from starlette.requests import ClientDisconnect, Request

from busi_keras.web.service import in_thread, unless_left


def test_who_leaves_is_not_done_before_the_thread_is() -> None:
    started, go_on = threading.Event(), threading.Event()
    events: list[str] = []

    def work() -> None:
        started.set()
        go_on.wait(10)
        events.append("thread ended")

    async def holding_a_place() -> None:
        try:
            await in_thread(work)
        finally:
            events.append("place given back")

    async def receive() -> dict[str, str]:
        await asyncio.to_thread(started.wait, 10)
        threading.Timer(0.1, go_on.set).start()
        return {"type": "http.disconnect"}

    request = Request({"type": "http"}, receive)
    with pytest.raises(ClientDisconnect):
        asyncio.run(unless_left(request, holding_a_place()))
    assert events == ["thread ended", "place given back"]


def test_work_that_fails_in_its_thread_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(in_thread(lambda: 1 / 0))
