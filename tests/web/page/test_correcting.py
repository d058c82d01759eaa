"""A reader corrects mask and class, and takes a report along."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, Route, expect
from pypdf import PdfReader

from busi_keras.data.busi import read_busi, read_sample
from busi_keras.imaging import read_image
from busi_keras.web.frames import Frame, StillImage
from tests.web.page.driving import canvas, drop, has_blue, has_orange, on_screen, shown, write


def test_a_corrected_mask_and_class_are_saved_as_a_pair(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.get_by_role("button", name="Edit mask").click()
    page.mouse.move(*on_screen(page, 95, 30))
    page.mouse.down()
    page.mouse.move(*on_screen(page, 95, 60), steps=5)
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
    expect(page.locator("#canvas")).to_have_attribute(
        "aria-label", "Ultrasound image, 2 outlined lesions, class malignant"
    )


def test_what_was_undone_or_is_the_models_is_noted_as_nobodys_drawing(page: Page, tmp_path: Path) -> None:
    def save() -> bool:
        with page.expect_response("**/correction"):
            page.get_by_role("button", name="Save correction").click()
        expect(page.locator("#correction-outcome")).to_have_text("Saved as malignant/malignant (1).png.")
        [noted] = json.loads((tmp_path / "corrections" / "corrections.json").read_text()).values()
        return bool(noted["mask_drawn"])

    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.get_by_role("button", name="Edit mask").click()
    page.mouse.click(*on_screen(page, 95, 30))
    assert has_blue(canvas(page), 66, 74)
    page.locator("#undo").click()
    assert has_orange(canvas(page), 66, 74)
    assert save() is False
    page.mouse.click(*on_screen(page, 95, 30))
    assert save() is True
    expect(page.locator("#lesions-title")).to_have_text("Lesions in your mask")
    page.get_by_role("button", name="Model’s mask").click()
    assert save() is False
    expect(page.locator("#lesions-title")).to_have_text("Lesions")


def test_changes_to_a_mask_go_only_when_the_reader_says_so(page: Page, tmp_path: Path) -> None:
    discard = False
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept() if discard else dialog.dismiss()

    page.on("dialog", answer)
    drop(page, write(tmp_path, "first.png"))
    shown(page, "first.png")
    page.get_by_role("button", name="Edit mask").click()
    page.mouse.click(*on_screen(page, 95, 30))
    drop(page, write(tmp_path, "second.png", brightness=200))
    expect(page.locator("#correction-outcome")).to_contain_text("second.png is in the table")
    expect(page.locator("#case-name")).to_have_text("first.png")
    assert has_blue(canvas(page), 66, 74)
    for name in ("Next image", "second.png", "Remove image"):
        page.get_by_role("button", name=name).click()
        expect(page.locator("#case-name")).to_have_text("first.png")
    assert asked == ["You changed the mask and did not save it. Discard the changes?"] * 3
    page.get_by_role("button", name="End session").click()
    assert asked.pop().endswith("End the session?")
    page.get_by_role("link", name="API").click()
    expect(page.locator("#case-name")).to_have_text("first.png")
    assert asked.pop() == ""  # the browser asks in its own words
    assert has_blue(canvas(page), 66, 74)
    discard = True
    page.get_by_role("button", name="Next image").click()
    shown(page, "second.png")
    page.get_by_role("button", name="Previous image").click()
    shown(page, "first.png")
    assert len(asked) == 4


def test_the_image_that_one_has_gone_on_to_stays_open_when_the_one_before_is_removed(
    page: Page, tmp_path: Path
) -> None:
    for name, brightness in (("first.png", 250), ("second.png", 200)):
        drop(page, write(tmp_path, name, brightness))
        shown(page, name)
    held: list[Route] = []
    page.route("**/api/cases/*", lambda route: held.append(route))
    page.get_by_role("button", name="Remove image").click()
    page.get_by_role("button", name="Next image").click()
    shown(page, "first.png")
    page.get_by_role("button", name="Edit mask").click()
    page.mouse.click(*on_screen(page, 95, 30))
    [removal] = held
    removal.continue_()
    expect(page.locator("#turn")).to_be_hidden()
    expect(page.locator("#case-name")).to_have_text("first.png")
    assert has_blue(canvas(page), 66, 74)


def test_a_second_pointer_does_not_draw_along(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.get_by_role("button", name="Edit mask").click()
    page.mouse.move(*on_screen(page, 95, 30))
    page.mouse.down()
    page.evaluate(
        """([clientX, clientY]) => {
            const of = { pointerId: 99, clientX, clientY, bubbles: true };
            const canvas = document.getElementById("canvas");
            canvas.dispatchEvent(new PointerEvent("pointerdown", of));
            const moved = new PointerEvent("pointermove", of);
            canvas.dispatchEvent(new PointerEvent("pointermove", { ...of, coalescedEvents: [moved] }));
            canvas.dispatchEvent(new PointerEvent("pointerup", of));
        }""",
        list(on_screen(page, 10, 80)),
    )
    page.mouse.move(*on_screen(page, 95, 60), steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#correction-outcome")).to_have_text("Saved as malignant/malignant (1).png.")
    mask = read_sample(read_busi(tmp_path / "corrections")[0]).mask
    assert mask[30:60, 95].all()
    assert not mask[:, :25].any()


def test_a_mask_is_drawn_with_the_keyboard(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.locator("#edit-mask").focus()
    page.keyboard.press("Enter")
    page.locator("#clear-mask").focus()
    page.keyboard.press("Enter")
    page.locator("#canvas").focus()
    for _ in range(2):
        page.keyboard.down("Space")  # the second time it repeats, as of a key that is held
    expect(page.locator("#said")).to_have_text("Painting")
    page.keyboard.up("Space")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator("#said")).to_have_text("Not painting")
    page.get_by_role("button", name="Done").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#edit-mask")).to_be_focused()
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
    held: list[Route] = []
    page.route("**/mask.png", lambda route: held.append(route))
    drop(page, write(tmp_path, "second.png", brightness=200))
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Next image").click()
    expect(page.locator("#case-name")).to_have_text("second.png")
    expect(page.locator("#save-correction")).to_be_disabled()
    expect(page.locator("#edit-mask")).to_be_disabled()
    expect(page.locator("#edit-tools")).to_be_hidden()
    [mask] = held
    mask.continue_()
    page.unroute("**/mask.png")
    expect(page.locator("#save-correction")).to_be_enabled()
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
    expect(page.locator("#correction-outcome")).to_contain_text("A name may be visible in this image")
    assert not (tmp_path / "corrections" / "malignant").exists()
    page.get_by_label("no name is visible in this image").check()
    page.get_by_role("button", name="Save correction").click()
    expect(page.locator("#correction-outcome")).to_have_text("Saved as malignant/malignant (1).png.")


def test_what_was_opened_before_the_model_is_known_is_saved_after_a_look(
    page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Unsaid(StillImage):
        def read(self, index: int) -> Frame:
            return replace(super().read(index), may_name_patient=True)

    monkeypatch.setattr("busi_keras.web.upload_routes.open_frames", Unsaid)
    held: list[Route] = []
    page.route("**/api/model", lambda route: held.append(route))
    page.reload()
    expect(page.locator("#choose")).to_be_visible()
    drop(page, write(tmp_path, "scan.png"))
    shown(page, "scan.png")
    expect(page.locator("#no-name-line")).to_be_hidden()
    held.pop().continue_()
    expect(page.locator("#no-name-line")).to_be_visible()


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
        "alt", "Input, your mask, the model's mask, heat map and overlay in one row"
    )
