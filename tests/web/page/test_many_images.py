"""Many files, cines, broken files; work that waits and is cancelled."""

import os
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FileChooser, Page, expect
from pydicom import dcmread
from pydicom.data import get_testdata_file

from busi_keras.web.frames import Frame, StillImage
from busi_keras.web.served_model import ServedModel
from tests.web.page.driving import canvas, drop, pixel, shown, tab_to, write


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
    page.get_by_label("From a cine").fill("2")
    drop(page, write(tmp_path, "cine.png"))
    shown(page, "cine.png, frame 3 of 6")
    rows = page.locator("#case-table tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.locator("td:first-child")).to_have_text([f"cine.png, frame {n}" for n in (1, 3, 5)])
    expect(page.locator("#report-dicom")).to_be_hidden()

    page.get_by_label("From a cine").fill("0")
    drop(page, write(tmp_path, "again.png"))
    page.get_by_label("From a cine").fill("2")
    drop(page, write(tmp_path, "good.png"))
    expect(rows).to_have_count(6)
    expect(rows.filter(has_text="again.png")).to_have_count(0)


def test_of_a_cine_without_lesion_no_largest_one_is_said(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Cine(StillImage):
        count = 2

        def read(self, index: int) -> Frame:
            return Frame(np.full((90, 120, 3), 20 + 20 * index, np.uint8))

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", Cine)
    drop(page, write(tmp_path, "cine.png"))
    expect(page.locator("#said")).to_have_text(
        "cine.png: frame 2 has the highest probability of malignant; no frame has a lesion"
    )


def test_a_dropped_folder_comes_but_for_what_cannot_be_read(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("first.png", "gone.png", "last.png"):
        write(folder, name)
    page.evaluate(
        """() => {
            const { webkitGetAsEntry } = DataTransferItem.prototype;
            DataTransferItem.prototype.webkitGetAsEntry = function () {
                const folder = webkitGetAsEntry.call(this);
                const reader = folder.createReader();
                const removed = (_, reject) => reject(new DOMException("it was removed", "NotFoundError"));
                const readEntries = (resolve, reject) => reader.readEntries((some) => {
                    for (const one of some) if (one.name === "gone.png") one.file = removed;
                    resolve(some);
                }, reject);
                folder.createReader = () => ({ readEntries });
                return folder;
            };
        }"""
    )
    drop(page, folder)
    expect(page.locator("#case-table tbody tr td:first-child")).to_have_text(["first.png", "last.png"])
    expect(page.locator("#refused li")).to_have_text(
        ["gone.png: it cannot be read; check that it still exists and that you may open it"]
    )


def test_the_focus_stays_in_the_table_while_images_come(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "first.png"), write(tmp_path, "second.png", brightness=200))
    names = page.locator("#case-table tbody td:first-child")
    expect(names).to_have_text(["first.png", "second.png"])
    expect(page.locator("#progress")).to_be_hidden()
    page.get_by_role("button", name="second.png").focus()
    drop(page, write(tmp_path, "third.png", brightness=230))
    expect(names).to_have_text(["first.png", "third.png", "second.png"])
    expect(page.get_by_role("button", name="second.png")).to_be_focused()
    page.get_by_role("button", name="Next image").click()
    expect(page.locator("#said")).to_have_text("second.png: malignant")
    page.locator("#remove-case").click()
    expect(names).to_have_text(["first.png", "third.png"])


def test_a_cine_in_dicom_is_measured_in_mm_and_gives_results_in_dicom(page: Page, tmp_path: Path) -> None:
    """A cine of 30 JPEG frames that comes with pydicom."""
    cine = Path(str(get_testdata_file("examples_ybr_color.dcm", download=False)))
    page.get_by_label("From a cine").fill("15")
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
    expect(page.locator("#dicom-note")).to_contain_text("without your corrections")
    assert {one.Modality for one in written} == {"SEG", "SR", "OT"}
    assert {one.PatientName for one in written} == {dcmread(cine).PatientName}


def test_a_cine_is_cancelled_midway_and_keeps_what_is_done(
    page: Page, tmp_path: Path, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = threading.Event()

    class Cine(StillImage):
        count = 40

        def read(self, index: int) -> Frame:
            if index == 6:
                engine.go_on.clear()
                reached.set()
            image = np.full((90, 120, 3), 20, np.uint8)
            image[20:60, 30:70] = 250 - index
            return Frame(image)

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", Cine)
    drop(page, write(tmp_path, "cine.png"))
    assert reached.wait(20)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#progress")).to_be_hidden()
    engine.go_on.set()
    rows = page.locator("#case-table tbody tr")
    expect(rows).to_have_count(6)
    shown(page, "cine.png, frame 1 of 40")
    page.get_by_label("From a cine").fill("20")
    drop(page, write(tmp_path, "again.png"))
    expect(rows.filter(has_text="again.png")).to_have_count(2)
    assert sum(engine.batches) <= 6 + 1 + 2  # the frame in hand may be finished, no further one
    assert page.locator("#refused li").count() == 0


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


def test_the_keyboard_alone_chooses_sorts_opens_and_takes_results_along(page: Page, tmp_path: Path) -> None:
    cine = Path(str(get_testdata_file("examples_ybr_color.dcm", download=False)))
    choosers: list[FileChooser] = []
    page.on(
        "filechooser", lambda chooser: choosers.append(chooser)
    )  # long before one opens: only then is it sure to be caught
    page.locator(".skip").focus()
    tab_to(page, "#about-open")
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#about")).to_be_hidden()
    expect(page.locator("#about-open")).to_be_focused()

    tab_to(page, "#choose")
    page.keyboard.press("Enter")
    tab_to(page, "#every")
    page.keyboard.type("29")
    for _ in range(200):
        if not choosers:
            page.wait_for_timeout(50)
    [chooser] = choosers
    chooser.set_files([cine, write(tmp_path, "weak.png", brightness=140), write(tmp_path, "strong.png")])
    rows = page.locator("#case-table tbody tr")
    expect(rows).to_have_count(4)
    expect(page.locator("#progress")).to_be_hidden()

    tab_to(page, "#case-table th:first-child button")
    page.keyboard.press("Enter")
    names = rows.locator("td:first-child")
    expect(names).to_have_text([f"{cine.name}, frame 1", f"{cine.name}, frame 30", "strong.png", "weak.png"])
    for place, name in ((4, "weak.png"), (1, f"{cine.name}, frame 1 of 30")):
        tab_to(page, f"#case-table tbody tr:nth-child({place}) button")
        page.keyboard.press("Enter")
        expect(page.locator("#case-name")).to_have_text(name)
        expect(page.locator("#case-name")).to_be_focused()
    tab_to(page, "#report-dicom")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert zipfile.is_zipfile(download.value.path())
    expect(page.locator("#report-dicom")).to_be_focused()


def test_the_table_and_a_wall_of_warnings_fit_a_phone(
    serve: Callable[..., str], visit: Callable[..., Page], model: ServedModel, tmp_path: Path
) -> None:
    model.predictor.card = replace(model.card, novelty_threshold=1.0, data="phantom")
    page = visit(serve(), width=360, height=640)
    long = "a very long name of an ultrasound image without any place to break " * 2
    drop(page, *[write(tmp_path, f"{index} {long}.png") for index in range(3)])
    expect(page.locator("#case-table tbody tr")).to_have_count(3)
    expect(page.locator("#warnings p.warning")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    last = page.locator("#case-table tbody tr:first-child td:last-child")
    last.scroll_into_view_if_needed()
    box = last.bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360  # the table scrolls in a frame of its own
    if os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(os.environ["SCREENSHOTS"]) / "phone table.png", full_page=True)


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
        files, ("is damaged", "not a readable image", "zip archive", "not a readable image"), strict=True
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


def test_unusual_images_are_read_as_they_are_or_refused(page: Page, tmp_path: Path) -> None:
    grey = np.full((90, 120), 20, np.uint8)
    grey[20:60, 30:70] = 250
    image = Image.fromarray(grey)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16-bit.png")
    image.convert("P").save(tmp_path / "palette.gif")
    image.convert("RGBA").save(tmp_path / "opaque.png")
    image.convert("RGB").convert("CMYK").save(tmp_path / "print.jpg")
    image.save(tmp_path / "loop.gif", save_all=True, append_images=[image.rotate(90)])
    image.convert("RGBA").rotate(30).save(tmp_path / "transparent.png")
    Image.new("1", (10_000, 5_001)).save(tmp_path / "huge.png")
    for name in ("16-bit.png", "palette.gif", "opaque.png"):
        drop(page, tmp_path / name)
        shown(page, name)
        expect(page.locator(".bar.predicted .share")).to_have_text("98.0 %")  # 250 of 255, as in an image of 8 bits
        assert pixel(canvas(page), 50, 40) == [250, 250, 250]
    refused = {
        "print.jpg": "colour model CMYK",
        "loop.gif": "has 2 frames",
        "transparent.png": "partly transparent",
        "huge.png": "over 50 megapixels",
    }
    drop(page, *[tmp_path / name for name in refused])
    expect(page.locator("#refused li")).to_have_count(4)
    texts = page.locator("#refused li").all_text_contents()
    for name, sentence in refused.items():
        assert any(text.startswith(f"{name}: ") and sentence in text for text in texts), name
    expect(page.locator("#case-table tbody tr")).to_have_count(3)


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


def test_a_full_queue_is_waited_for(
    serve: Callable[..., str], visit: Callable[..., Page], tmp_path: Path, engine: Any
) -> None:
    page = visit(serve(capacity=1))
    engine.go_on.clear()
    drop(page, *[write(tmp_path, f"{index}.png") for index in range(3)])
    expect(page.locator("#progress-text")).to_contain_text("too many images are waiting")
    engine.go_on.set()
    expect(page.locator("#case-table tbody tr")).to_have_count(3)
    assert page.locator("#refused li").count() == 0


def test_five_hundred_files_at_once_become_five_hundred_cases(page: Page, tmp_path: Path) -> None:
    page.set_default_timeout(300_000)
    drop(page, *[write(tmp_path, f"{index}.png", brightness=index % 200) for index in range(500)])
    expect(page.locator("#cases-title")).to_have_text("500 images", timeout=300_000)
    expect(page.locator("#progress")).to_be_hidden(timeout=300_000)
    expect(page.locator("#case-table tbody tr")).to_have_count(500)
    expect(page.locator("#refused li")).to_have_count(0)
