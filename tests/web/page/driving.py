"""What a person does at the page, and what they see."""

from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

from busi_keras.imaging import encode_png, read_image


def write(folder: Path, name: str, brightness: int = 250) -> Path:
    """An image of 120 x 90 px with one bright square, 40 x 40 px, at (30, 20)."""
    image = np.full((90, 120), 20, np.uint8)
    image[20:60, 30:70] = brightness
    (folder / name).write_bytes(encode_png(image))
    return folder / name


def drop(page: Page, *files: Path) -> None:
    """Drops files as a person does: the browser itself sees the drag."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 150, "data": data})
    session.detach()


def tab_to(page: Page, selector: str) -> None:
    """Presses Tab until what the selector names has the focus."""
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def canvas(page: Page) -> np.ndarray:
    """What the canvas shows, with what lies over it."""
    _drawn(page)
    return read_image(page.locator("#canvas").screenshot())


def _drawn(page: Page) -> None:
    """Waits until what was asked to be drawn is: what draws in the next frame has its turn, and some time."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.wait_for_timeout(80)


def is_blank(page: Page) -> bool:
    """Whether nothing is drawn on the canvas."""
    _drawn(page)
    drawn: bool = page.evaluate(
        """() => {
            const canvas = document.getElementById("canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.some((value) => value);
        }"""
    )
    return not drawn


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where on the screen a pixel of the image of 120 x 90 that a canvas shows is."""
    frame = page.locator("#canvas").bounding_box()
    assert frame
    scale = min(frame["width"] / 120, frame["height"] / 90)
    left, top = frame["x"] + (frame["width"] - 120 * scale) / 2, frame["y"] + (frame["height"] - 90 * scale) / 2
    return left + x * scale, top + y * scale


def pixel(shot: np.ndarray, x: float, y: float) -> list[int]:
    """Red, green and blue at a pixel of the image of 120 x 90 that a canvas shows."""
    height, width = shot.shape[:2]
    scale = min(width / 120, height / 90)
    column, row = (width - 120 * scale) / 2 + x * scale, (height - 90 * scale) / 2 + y * scale
    return [int(value) for value in shot[round(row), round(column)]]


def has_orange(shot: np.ndarray, start: int, stop: int) -> bool:
    """Whether the network's outline crosses row 40 between two columns."""
    return any(red > 200 > 100 > blue for red, _, blue in (pixel(shot, x / 4, 40) for x in range(4 * start, 4 * stop)))


def has_blue(shot: np.ndarray, start: int, stop: int) -> bool:
    """Whether the reader's outline does."""
    return any(blue > 200 > 120 > red for red, _, blue in (pixel(shot, x / 4, 40) for x in range(4 * start, 4 * stop)))


def shown(page: Page, name: str) -> None:
    """Waits until a case and its pixels are there."""
    expect(page.locator("#case-name")).to_have_text(name)
    expect(page.locator("#canvas")).to_have_attribute(
        "aria-label", "Ultrasound image, 1 outlined lesion, class malignant"
    )
