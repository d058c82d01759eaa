"""The page in a real browser: Debian's chromium, driven by Playwright."""

import base64
import json
import os
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pypdf import PdfReader

from busi_keras.data.busi import read_busi, read_sample
from busi_keras.imaging import encode_png, read_image
from busi_keras.web import access
from busi_keras.web.access import Credentials
from busi_keras.web.app import create_app
from busi_keras.web.frames import Frame, StillImage
from busi_keras.web.served_model import ServedModel
from busi_keras.web.service import Settings

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
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
            while not server.started:
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
            page.set_default_timeout(10_000)
            page.on("pageerror", lambda error: wrong.append(str(error)))
            page.on("request", lambda request: request.url.startswith((address, "blob:")) or wrong.append(request.url))
            page.goto(address)
            return page

        yield open_window
    assert wrong == []


@pytest.fixture
def page(serve: Callable[..., str], visit: Callable[..., Page]) -> Page:
    page = visit(serve())
    expect(page.locator("#examples button")).to_have_count(6)
    return page


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


def canvas(page: Page) -> np.ndarray:
    """What the canvas shows, with what lies over it."""
    page.wait_for_timeout(80)
    return read_image(page.locator("#canvas").screenshot())


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


def test_a_dropped_image_shows_class_outline_size_and_heat_map(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    expect(page.locator("#label")).to_have_text("malignant")
    expect(page.locator(".bar.predicted .share")).to_have_text("98.0 %")
    expect(page.locator("#verdict")).to_contain_text(
        "Suspicious: malignant is at or above the screening threshold, 25.0 %"
    )
    expect(page.locator("#lesions tbody tr")).to_have_count(1)
    expect(page.locator("#spacing")).to_contain_text("Sizes are in pixels")
    assert page.locator(".research").is_visible()

    assert has_orange(canvas(page), 26, 34)
    inside = pixel(canvas(page), 50, 40)
    assert inside == [250, 250, 250]
    page.get_by_role("checkbox", name="Heat map").check(force=True)
    red, green, blue = pixel(canvas(page), 50, 40)
    assert min(red, green) > blue + 50  # viridis ends in yellow
    page.get_by_role("checkbox", name="Heat map").uncheck(force=True)
    assert pixel(canvas(page), 50, 40) == inside
    page.get_by_role("checkbox", name="Outline").uncheck(force=True)
    assert not has_orange(canvas(page), 26, 34)


def test_mask_box_and_opacity_are_drawn_as_they_are_set(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.locator("#show-outline").uncheck(force=True)
    page.get_by_role("checkbox", name="Mask").check(force=True)
    red, green, blue = pixel(canvas(page), 50, 40)
    assert (red, green, blue) == pytest.approx((252, 192, 149), abs=3)  # 45 percent of orange over 250
    page.locator("#opacity").fill("100")
    assert page.locator("#opacity").get_attribute("aria-valuetext") == "100 percent"
    assert pixel(canvas(page), 50, 40) == pytest.approx([255, 122, 26], abs=3)
    page.get_by_role("checkbox", name="Mask").uncheck(force=True)
    assert pixel(canvas(page), 50, 40) == [250, 250, 250]

    before = canvas(page).astype(int)
    page.get_by_role("checkbox", name="Box").check(force=True)
    changed = (np.abs(canvas(page).astype(int) - before) > 40).any(axis=-1)
    scale = min(changed.shape[1] / 120, changed.shape[0] / 90)
    for axis, middle, start, stop in ((0, 60, 30, 70), (1, 45, 20, 60)):  # columns, then rows, in pixels of the image
        touched = (np.flatnonzero(changed.any(axis=axis)) - changed.shape[1 - axis] / 2) / scale + middle
        assert (touched.min(), touched.max()) == pytest.approx((start, stop), abs=3)
    assert changed.mean() < 0.03  # a frame, not an area


def test_the_keyboard_reaches_everything_in_the_order_it_is_read(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.locator(".skip").focus()
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        name = page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
        if name in reached:
            break
        reached.append(name)
    wanted = ["about-open", "choose", "every", "show-outline", "show-heat-map", "opacity", "zoom-in", "canvas",
              "sensitivity", "edit-mask", "save-correction", "report-pdf", "report-json"]  # fmt: skip
    assert [name for name in reached if name in wanted] == wanted


def test_the_api_is_described_on_a_page_that_loads_nothing_from_elsewhere(page: Page) -> None:
    page.get_by_role("link", name="API").click()
    expect(page.get_by_role("heading", name="API")).to_be_visible()
    expect(page.locator("#curl")).to_contain_text("/api/predictions")
    expect(page.locator("body")).to_contain_text("Predict a file and forget it")


def test_zooming_keeps_the_aspect(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.locator("#show-outline").uncheck(force=True)
    for _ in range(3):
        page.get_by_label("Zoom out").click()
    bright = canvas(page)[40:-40, 40:-40, 0] > 128
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    assert len(rows) == pytest.approx(len(columns), abs=3)  # a square stays one
    percent = int(page.locator("#zoom-shown").inner_text().split()[0])
    assert len(rows) == pytest.approx(40 * percent / 100, rel=0.05)
    page.get_by_role("button", name="Fit").click()
    assert int(page.locator("#zoom-shown").inner_text().split()[0]) > percent


def test_the_sensitivity_moves_between_the_stored_thresholds(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "weak.png", brightness=140))
    shown(page, "weak.png")
    slider, verdict = page.locator("#sensitivity"), page.locator("#verdict")
    expect(verdict).to_contain_text("at or above the screening threshold")
    note = page.locator("#sensitivity-note")
    expect(note).to_contain_text("it found 90.0 % of the malignant and left 65.0 % of the others alone")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(verdict).to_have_text("Malignant is below the balanced threshold, 75.0 %")
    expect(note).not_to_contain_text("it found")  # the card does not say
    assert slider.get_attribute("aria-valuetext") == "balanced: malignant from 75.0 % on"
    assert page.locator(".mark.active").get_attribute("title") == "balanced: 75.0 %"
    assert "threshold=balanced" in str(page.locator("#report-pdf").get_attribute("href"))
    bar = page.locator(".track", has=page.locator(".mark")).bounding_box()
    marks = [mark.bounding_box() for mark in page.locator(".mark").all()]
    assert bar
    centres = [(mark["x"] + mark["width"] / 2 - bar["x"]) / bar["width"] for mark in marks if mark]
    assert centres == pytest.approx([0.25, 0.75], abs=2 / bar["width"])
    page.keyboard.press("ArrowLeft")
    expect(verdict).to_contain_text("screening")


def test_a_corrected_mask_and_class_are_saved_as_a_pair(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.get_by_role("button", name="Edit mask").click()
    frame = page.locator("#canvas").bounding_box()
    assert frame
    scale = min(frame["width"] / 120, frame["height"] / 90)
    left, top = frame["x"] + (frame["width"] - 120 * scale) / 2, frame["y"] + (frame["height"] - 90 * scale) / 2
    page.mouse.move(left + 95 * scale, top + 30 * scale)
    page.mouse.down()
    page.mouse.move(left + 95 * scale, top + 60 * scale, steps=5)
    page.mouse.up()
    page.locator("#edit-done").click()
    page.locator("input[name=right-class][value=benign]").check(force=True)
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#correction-outcome")).to_have_text("Saved as benign/benign (1).png.")
    [record] = read_busi(tmp_path / "corrections")
    sample = read_sample(record)
    assert record.name == "benign/benign (1).png"
    assert sample.mask[30:60, 95].all()  # what was drawn
    assert sample.mask[25:55, 35:65].all()  # what was there
    assert not sample.mask[:, 105:].any()
    assert has_blue(canvas(page), 66, 74)  # the reader's outline
    expect(page.locator("#lesions-title")).to_have_text("Lesions in your mask")
    expect(page.locator("#lesions tbody tr")).to_have_count(2)


def test_a_mask_is_drawn_with_the_keyboard(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.locator("#edit-mask").focus()
    page.keyboard.press("Enter")
    page.locator("#clear-mask").focus()
    page.keyboard.press("Enter")
    page.locator("#canvas").focus()
    page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    page.locator("#save-correction").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#correction-outcome")).to_have_text("Saved as malignant/malignant (1).png.")
    mask = read_sample(read_busi(tmp_path / "corrections")[0]).mask
    assert mask[45, 60:90].all()
    assert not mask[:, :50].any()


def test_a_correction_that_contradicts_itself_is_said_and_nothing_is_saved(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.locator("input[name=right-class][value=normal]").check(force=True)
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#correction-outcome")).to_have_text(
        "A normal image has no lesion; erase the mask, or choose another class."
    )
    assert not list(tmp_path.glob("corrections/*"))


def test_no_mask_is_saved_or_drawn_on_before_its_image_is_there(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "first.png"))
    shown(page, "first.png")
    page.get_by_role("button", name="Edit mask").click()
    page.get_by_role("button", name="Clear").click()
    waiting = threading.Event()
    page.route("**/mask.png", lambda route: (waiting.set(), page.wait_for_timeout(1500), route.continue_()))
    drop(page, write(tmp_path, "second.png", brightness=200))
    expect(page.locator("#case-name")).to_have_text("second.png")
    expect(page.locator("#save-correction")).to_be_disabled()
    expect(page.locator("#edit-mask")).to_be_disabled()
    expect(page.locator("#edit-tools")).to_be_hidden()
    expect(page.locator("#save-correction")).to_be_enabled()
    assert waiting.is_set()
    page.locator("label", has_text="Malignant").click()
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#correction-outcome")).to_have_text("Saved as malignant/malignant (1).png.")
    [record] = read_busi(tmp_path / "corrections")
    assert read_sample(record).mask[40, 50]


def test_what_may_name_a_patient_is_saved_after_a_look(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unsaid(StillImage):
        def read(self, index: int) -> Frame:
            return replace(super().read(index), may_name_patient=True)

    drop(page, write(tmp_path, "plain.png"))
    shown(page, "plain.png")
    expect(page.locator("#no-name-line")).to_be_hidden()
    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", Unsaid)
    drop(page, write(tmp_path, "scan.png", brightness=240))
    shown(page, "scan.png")
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#correction-outcome")).to_contain_text("A name may be written on this image")
    assert not (tmp_path / "corrections" / "malignant").exists()
    page.get_by_label("no name is written on this image").check()
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#correction-outcome")).to_have_text("Saved as malignant/malignant (1).png.")


def test_the_report_is_downloaded_and_the_figure_shown(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    with page.expect_download() as download:
        page.locator("#report-pdf").click()
    assert download.value.suggested_filename == "busi-keras-report.pdf"
    text = PdfReader(download.value.path()).pages[0].extract_text()
    for expected in ("Research use, not a diagnosis.", "Class: malignant", "breast.png", "multitask resnet50"):
        assert expected in text
    page.locator("#figure-box summary").click()
    expect(page.locator("#figure")).to_have_attribute("alt", "Input, mask, heat map and overlay in one row")
    expect(page.locator("#figure")).to_have_js_property("complete", True)
    assert page.locator("#figure").evaluate("image => image.naturalWidth") > 1500

    with page.expect_download() as download:
        page.locator("#report-json").click()
    assert json.loads(Path(download.value.path()).read_text())["file"] == "breast.png"
    page.route("**/report.pdf*", lambda route: route.fulfill(status=507, json={"error": "the disk is full"}))
    page.locator("#report-pdf").click()
    expect(page.locator("#notices")).to_contain_text("The disk is full")


def test_of_a_cine_every_other_frame_is_asked_for_and_the_largest_lesion_opened(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cine(StillImage):
        count = 6

        def read(self, index: int) -> Frame:
            image = np.full((90, 120, 3), 20, np.uint8)
            image[20:60, 30 : 30 + (20, 0, 30, 60, 25, 0)[index]] = 200 - index
            return Frame(image)

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", Cine)
    page.get_by_label("Of a cine").fill("2")
    drop(page, write(tmp_path, "cine.png"))
    shown(page, "cine.png, frame 3 of 6")
    rows = page.locator("#case-table tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.locator("td:first-child")).to_have_text([f"cine.png, frame {n}" for n in (1, 3, 5)])
    expect(page.locator("#report-dicom")).to_be_hidden()

    page.get_by_label("Of a cine").fill("0")
    drop(page, write(tmp_path, "again.png"))
    page.wait_for_timeout(200)
    expect(rows).to_have_count(3)


def test_a_cine_in_dicom_is_measured_in_mm_and_gives_results_in_dicom(page: Page, tmp_path: Path) -> None:
    """A cine of 30 JPEG frames that comes with pydicom."""
    cine = Path(str(get_testdata_file("examples_ybr_color.dcm", download=False)))
    page.get_by_label("Of a cine").fill("15")
    drop(page, cine)
    rows = page.locator("#case-table tbody tr")
    expect(rows).to_have_count(2)
    names = rows.locator("td:first-child")
    expect(names).to_contain_text([f"{cine.name}, frame "] * 2)
    assert set(names.all_text_contents()) == {f"{cine.name}, frame {n}" for n in (1, 16)}
    expect(page.locator("#case-name")).to_contain_text(f"{cine.name}, frame ")
    expect(page.locator("#spacing")).to_contain_text("0.51")
    expect(page.locator("#lesions")).to_contain_text("mm")
    with page.expect_download() as download:
        page.locator("#report-dicom").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        written = [dcmread(BytesIO(archive.read(name))) for name in archive.namelist()]
    expect(page.locator("#dicom-note")).to_contain_text("what you corrected is not in it")
    assert {one.Modality for one in written} == {"SEG", "SR", "OT"}
    assert {one.PatientName for one in written} == {dcmread(cine).PatientName}


def test_ten_files_become_a_table_by_malignancy_that_opens_cases(page: Page, tmp_path: Path) -> None:
    drop(page, *[write(tmp_path, f"{index}.png", brightness=140 + 10 * index) for index in range(10)])
    rows = page.locator("#case-table tbody tr")
    expect(rows).to_have_count(10)
    names = rows.locator("td:first-child")
    expect(names).to_have_text([f"{index}.png" for index in reversed(range(10))])
    page.get_by_role("button", name="Image", exact=True).click()
    expect(names.first).to_have_text("0.png")
    rows.nth(4).click()
    shown(page, "4.png")
    page.get_by_role("button", name="Next image").click()
    shown(page, "5.png")
    with page.expect_download() as download:
        page.locator("#csv").click()
    table = Path(download.value.path()).read_text().splitlines()
    assert len(table) == 11
    assert table[1].startswith("9.png,")


def test_broken_files_end_in_sentences_and_the_page_goes_on(page: Page, tmp_path: Path) -> None:
    whole = write(tmp_path, "whole.png")
    files = {
        "cut.png": whole.read_bytes()[:100],
        "empty.png": b"",
        "archive.zip": b"PK\x03\x04 and so on",
        "<img src=x onerror=alert(1)>.png": b"no image",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    page.on("dialog", lambda dialog: pytest.fail("a file's name was executed"))
    sound = "<b onmouseover=alert(2)>sound.png"
    (tmp_path / sound).write_bytes(whole.read_bytes())
    drop(page, *[tmp_path / name for name in files], whole)
    shown(page, "whole.png")
    refused = page.locator("#refused li")
    expect(refused).to_have_count(4)
    texts = refused.all_text_contents()
    for name, sentence in zip(
        files, ("is damaged", "no image that can be read", "zip archive", "no image"), strict=True
    ):
        assert any(text.startswith(f"{name}: ") and sentence in text for text in texts), name
    assert page.locator("#refused img").count() == 0
    drop(page, tmp_path / sound)
    shown(page, sound)  # as text
    expect(page.locator("#case-table tbody")).to_contain_text(sound)
    assert page.locator("#case b").count() == page.locator("#case .heat-scale b").count()
    assert not [
        address for address in page.evaluate("performance.getEntries().map((e) => e.name)") if "sound" in address
    ]


def test_work_is_cancelled(page: Page, tmp_path: Path, engine: Any) -> None:
    engine.go_on.clear()
    drop(page, *[write(tmp_path, f"{index}.png") for index in range(12)])
    expect(page.locator("#progress-text")).to_contain_text("of 12 images")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#progress")).to_be_hidden()
    engine.go_on.set()
    drop(page, write(tmp_path, "after.png"))
    shown(page, "after.png")
    assert page.locator("#case-table tbody tr").count() <= 3
    assert sum(engine.batches) <= 4


def test_a_cine_is_cancelled_midway_and_keeps_what_is_done(
    page: Page, tmp_path: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cine(StillImage):
        count = 40

        def read(self, index: int) -> Frame:
            if index == 6:
                engine.go_on.clear()
            image = np.full((90, 120, 3), 20, np.uint8)
            image[20:60, 30:70] = 250 - index
            return Frame(image)

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", Cine)
    page.get_by_label("Of a cine").fill("1")
    drop(page, write(tmp_path, "cine.png"))
    rows = page.locator("#case-table tbody tr")
    expect(rows).not_to_have_count(0)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#progress")).to_be_hidden()
    engine.go_on.set()
    shown(page, "cine.png, frame 1 of 40")
    asked = sum(engine.batches)
    assert 1 <= rows.count() <= 10
    page.get_by_label("Of a cine").fill("20")
    drop(page, write(tmp_path, "again.png"))
    expect(rows.filter(has_text="again.png")).to_have_count(2)
    assert sum(engine.batches) <= asked + 5


def test_the_figure_is_drawn_anew_with_the_readers_mask(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    with page.expect_response("**/figure.png") as asked:
        page.locator("#figure-box summary").click()
    address = asked.value.url
    before = read_image(page.request.get(address).body())
    page.get_by_role("button", name="Edit mask").click()
    page.locator("#clear-mask").click()
    page.locator("#edit-done").click()
    page.locator("input[name=right-class][value=normal]").check(force=True)
    with page.expect_response(address):  # the page asks anew
        page.get_by_role("button", name="Save correction").click()
    after = read_image(page.request.get(address).body())
    assert after.shape[1] > before.shape[1] + 300  # one panel more: the reader's mask
    height, width = after.shape[:2]
    assert (after[height // 3 : 2 * height // 3, width // 4 : width // 3] < 50).all()  # which is empty
    expect(page.locator("#figure")).to_have_attribute(
        "alt", "Input, your mask, its mask, heat map and overlay in one row"
    )


def test_a_full_queue_is_waited_for(
    serve: Callable[..., str], visit: Callable[..., Page], tmp_path: Path, engine: Any
) -> None:
    page = visit(serve(capacity=1))
    expect(page.locator("#examples button")).to_have_count(6)
    engine.go_on.clear()
    drop(page, *[write(tmp_path, f"{index}.png") for index in range(3)])
    expect(page.locator("#progress-text")).to_contain_text("too many images are waiting")
    engine.go_on.set()
    expect(page.locator("#case-table tbody tr")).to_have_count(3)
    assert page.locator("#refused li").count() == 0


def test_an_example_is_clicked_and_says_that_it_is_a_phantom(page: Page) -> None:
    page.get_by_role("button", name="benign 1").click()
    expect(page.locator("#case-name")).to_have_text("phantom benign 1.png")
    expect(page.locator("#phantom")).to_contain_text("Phantom: a synthetic image")
    page.reload()
    expect(page.locator("#case-name")).to_have_text("phantom benign 1.png")
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#case")).to_be_hidden()
    expect(page.locator("#examples button")).to_have_count(6)


def test_a_pasted_image_is_analysed(page: Page, tmp_path: Path) -> None:
    content = base64.b64encode(write(tmp_path, "pasted.png").read_bytes()).decode()
    page.evaluate(
        """async (content) => {
            const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "pasted.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));
        }""",
        content,
    )
    shown(page, "pasted.png")


def test_a_model_without_thresholds_has_no_slider(
    serve: Callable[..., str], visit: Callable[..., Page], model: ServedModel, tmp_path: Path
) -> None:
    model.predictor.card = replace(model.card, thresholds={}, data="phantom")
    page = visit(serve())
    expect(page.locator("#model-warnings")).to_contain_text("trained on phantoms")
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    expect(page.locator("#sensitivity")).to_be_disabled()
    expect(page.locator("#sensitivity-note")).to_contain_text("carries no operating thresholds")
    first = page.locator("#warnings p").first
    expect(first).to_have_class("warning")
    expect(first).to_contain_text("Trained on phantoms")


def test_what_speaks_against_an_image_stands_before_what_is_said_of_it(
    serve: Callable[..., str], visit: Callable[..., Page], model: ServedModel, tmp_path: Path
) -> None:
    model.predictor.card = replace(model.card, novelty_threshold=1.0)
    page = visit(serve(), width=390)
    drop(page, write(tmp_path, "dim.png", brightness=20))
    expect(page.locator("#case-name")).to_have_text("dim.png")
    warnings = page.locator("#warnings p.warning")
    expect(warnings).to_have_count(1)
    expect(warnings).to_contain_text("Not like the training images")
    drop(page, write(tmp_path, "faint.png", brightness=130))
    shown(page, "faint.png")
    below = page.locator("#label").bounding_box()
    for index in range(warnings.count()):
        box = warnings.nth(index).bounding_box()
        assert box is not None
        assert below is not None
        assert box["y"] + box["height"] <= below["y"]
    expect(page.locator("#lesions tbody td").nth(3)).to_have_text("32, 21 – 69, 58")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_mask_and_class_that_disagree_are_said(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Any
) -> None:
    run = engine.run
    normal = np.array([[0.1, 0.2, 0.7]], np.float32)
    monkeypatch.setattr(engine, "run", lambda images: replace(run(images), probabilities=normal))
    drop(page, write(tmp_path, "breast.png"))
    expect(page.locator("#label")).to_have_text("normal")
    expect(page.locator("#warnings")).to_contain_text("Mask and class disagree: a lesion is outlined")


def test_five_hundred_files_at_once_become_five_hundred_cases(page: Page, tmp_path: Path) -> None:
    page.set_default_timeout(90_000)
    drop(page, *[write(tmp_path, f"{index}.png", brightness=index % 200) for index in range(500)])
    expect(page.locator("#cases-title")).to_have_text("500 images", timeout=90_000)
    expect(page.locator("#progress")).to_be_hidden(timeout=90_000)
    expect(page.locator("#case-table tbody tr")).to_have_count(500)
    expect(page.locator("#refused li")).to_have_count(0)


def test_signing_in_with_a_wrong_and_a_right_password(
    serve: Callable[..., str], visit: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "WRONG_PASSWORD_SECONDS", 0.0)
    page = visit(serve(credentials=Credentials("reader", "correct horse")))
    expect(page.get_by_label("User")).to_be_focused()
    page.get_by_label("User").fill("reader")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#wrong")).to_have_text("This user and password do not match; try again.")
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    expect(page.locator("#examples button")).to_have_count(6)
    assert "correct" not in page.url
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Password")).to_be_visible()


WIDTHS = {"phone": (390, 1), "200 % zoom of a laptop": (640, 2), "desktop": (1400, 1)}


@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_width_and_text_stands_out(
    kind: str, scheme: str, serve: Callable[..., str], visit: Callable[..., Page], tmp_path: Path
) -> None:
    width, scale = WIDTHS[kind]
    page = visit(serve(), width=width, height=700, device_scale_factor=scale, color_scheme=scheme)
    expect(page.locator("#examples button")).to_have_count(6)
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.locator("#figure-box summary").click()
    page.locator("#show-heat-map").check(force=True)
    page.locator("#edit-mask").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for selector in ("#label", "#verdict", ".fine", ".strip strong", "#save-correction", ".research"):
        assert contrast(page, selector) >= 4.5, selector
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / f"{scheme} {kind}.png", full_page=True)


def contrast(page: Page, selector: str) -> float:
    """Of a text and what lies under it (WCAG 2, relative luminance)."""
    colours = page.locator(selector).first.evaluate(
        """(element) => {
            let ground = element;
            while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
            return [getComputedStyle(element).color, getComputedStyle(ground).backgroundColor];
        }"""
    )
    lighter, darker = sorted((luminance(colour) for colour in colours), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    shares = [int(part) / 255 for part in colour.removeprefix("rgb(").rstrip(")").split(",")]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
