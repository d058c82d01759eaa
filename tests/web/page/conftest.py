"""The page in a real browser: Debian's chromium, driven by Playwright."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from busi_keras.web.app import create_app
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import Settings

CHROMIUM = shutil.which("chromium")


ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


READY = "#examples button, #sign-in"
"""The page before it takes files that are dropped has neither."""


expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def serve(model: ServedModel, settings: Settings) -> Iterator[Callable[..., str]]:
    """Starts a server with other settings, and gives its address."""
    with ExitStack() as stack:

        def start(**changes: Any) -> str:
            app = create_app(model, replace(settings, **changes))
            server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
            thread = threading.Thread(target=server.run)
            thread.start()
            while not server.started and thread.is_alive():
                time.sleep(0.01)

            def stop() -> None:
                server.should_exit = True
                thread.join()

            stack.callback(stop)
            return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

        yield start


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens an address in a window of its own, and looks that nothing goes wrong or elsewhere."""
    with ExitStack() as stack:
        wrong: list[str] = []

        def open_window(address: str, width: int = 1280, height: int = 900, **options: Any) -> Page:
            context = browser.new_context(viewport={"width": width, "height": height}, **options)
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(20_000)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda request: request.url.startswith((address, "blob:")) or wrong.append(request.url))
            page.goto(address)
            page.locator(READY).first.wait_for()
            return page

        yield open_window
    assert wrong == []


@pytest.fixture
def page(serve: Callable[..., str], visit: Callable[..., Page]) -> Page:
    return visit(serve())
