"""One image: what is shown of it, and how the page is used."""

import base64
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Page, Route, expect

from busi_keras.web import access
from busi_keras.web.access import Credentials
from busi_keras.web.served_model import ServedModel
from tests.web.page.driving import canvas, drop, has_orange, is_blank, pixel, shown, write


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


def test_no_image_stands_beside_the_class_of_another(page: Page, tmp_path: Path) -> None:
    drop(page, write(tmp_path, "first.png"))
    shown(page, "first.png")
    assert not is_blank(page)
    held: list[Route] = []
    page.route("**/mask_probability.png", lambda route: held.append(route))
    drop(page, write(tmp_path, "second.png", brightness=200))
    expect(page.locator("#case-name")).to_have_text("second.png")
    expect(page.locator("#canvas")).to_have_attribute("aria-label", "The image is being loaded")
    assert is_blank(page)
    page.get_by_label("Zoom in").click()
    page.get_by_role("checkbox", name="Mask").check(force=True)
    assert is_blank(page)
    held.pop().fulfill(status=507, json={"error": "the disk is full"})
    expect(page.locator("#canvas")).to_have_attribute("aria-label", "The image could not be loaded")
    expect(page.get_by_role("alert").filter(has_text="The disk is full")).to_have_count(1)
    assert is_blank(page)
    page.unroute("**/mask_probability.png")
    page.get_by_role("button", name="second.png").click()
    shown(page, "second.png")
    assert not is_blank(page)


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
    expect(note).to_contain_text("its sensitivity was 90.0 % and its specificity 65.0 %")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(verdict).to_have_text("Malignant is below the balanced threshold, 75.0 %")
    expect(note).not_to_contain_text("it found")  # the card does not say
    assert slider.get_attribute("aria-valuetext") == "balanced: malignant at 75.0 % or more"
    assert page.locator(".mark.active").get_attribute("title") == "balanced: 75.0 %"
    assert "threshold=balanced" in str(page.locator("#report-pdf").get_attribute("href"))
    bar = page.locator(".track", has=page.locator(".mark")).bounding_box()
    marks = [mark.bounding_box() for mark in page.locator(".mark").all()]
    assert bar
    centres = [(mark["x"] + mark["width"] / 2 - bar["x"]) / bar["width"] for mark in marks if mark]
    assert centres == pytest.approx([0.25, 0.75], abs=2 / bar["width"])
    page.keyboard.press("ArrowLeft")
    expect(verdict).to_contain_text("screening")


def test_an_example_is_clicked_and_says_that_it_is_a_phantom(page: Page) -> None:
    page.get_by_role("button", name="benign 1").click()
    expect(page.locator("#case-name")).to_have_text("phantom benign 1.png")
    expect(page.locator("#phantom")).to_contain_text("Phantom: a synthetic image")
    page.reload()
    expect(page.locator("#case-name")).to_have_text("phantom benign 1.png")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.get_by_role("button", name="End session").click()
    expect(page.locator("#case-name")).to_have_text("phantom benign 1.png")
    page.once("dialog", lambda dialog: dialog.accept())
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
    expect(page.locator("#sensitivity-note")).to_contain_text("has no operating thresholds")
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
    expect(warnings).to_contain_text("Unlike the training images")
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


def test_a_password_gets_into_no_address_where_scripts_do_not_run(
    serve: Callable[..., str], visit: Callable[..., Page]
) -> None:
    page = visit(serve(credentials=Credentials("reader", "correct horse")), java_script_enabled=False)
    page.get_by_label("User").fill("reader")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("body")).to_contain_text("error")
    assert "horse" not in page.url


def test_a_session_that_ended_is_said_until_files_are_dropped_again(page: Page, tmp_path: Path) -> None:
    page.clock.install()
    page.reload()
    expect(page.locator("#examples button")).to_have_count(6)
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    page.context.clear_cookies()
    with page.expect_response(lambda answer: answer.request.method == "POST" and answer.url.endswith("/api/session")):
        page.clock.run_for(61_000)
    expect(page.locator("#notices")).to_contain_text("The session has ended, and its images were removed.")
    expect(page.locator("#case")).to_be_hidden()
    with page.expect_response("**/api/model"):
        for _ in range(3):  # the next keep-alive may not be armed yet
            page.clock.run_for(61_000)
    expect(page.locator("#notices")).to_contain_text("The session has ended")
    drop(page, tmp_path / "breast.png")
    shown(page, "breast.png")
    expect(page.locator("#notices")).to_be_empty()


def test_a_session_that_ended_is_said_where_one_signs_in_again(
    serve: Callable[..., str], visit: Callable[..., Page]
) -> None:
    page = visit(serve(credentials=Credentials("reader", "correct horse")))
    expect(page.locator("#ended")).to_be_hidden()
    page.get_by_label("User").fill("reader")
    page.get_by_label("Password").fill("correct horse")
    page.keyboard.press("Enter")
    expect(page.locator("#examples button")).to_have_count(6)
    page.context.clear_cookies()
    page.get_by_role("button", name="benign 1").click()
    expect(page.locator("#ended")).to_contain_text("The session has ended, and its images were removed.")


def test_a_page_that_could_not_start_tries_again(page: Page, tmp_path: Path) -> None:
    page.clock.install()
    page.route("**/api/model", lambda route: route.fulfill(status=500, json={"error": "no luck"}))
    page.reload()
    expect(page.locator("#notices")).to_have_text("No luck.")
    drop(page, write(tmp_path, "breast.png"))
    shown(page, "breast.png")
    expect(page.locator("#sensitivity-note")).to_have_text("The model and its thresholds are not known yet.")
    page.unroute("**/api/model")
    page.clock.run_for(61_000)
    expect(page.locator("#verdict")).to_contain_text("screening")
    expect(page.locator("#notices")).to_be_empty()


WIDTHS = {"phone": (390, 1), "200 % zoom of a laptop": (640, 2), "desktop": (1400, 1)}


@pytest.mark.parametrize("kind", WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_at_any_width_and_text_stands_out(
    kind: str, scheme: str, serve: Callable[..., str], visit: Callable[..., Page], tmp_path: Path
) -> None:
    width, scale = WIDTHS[kind]
    page = visit(serve(), width=width, height=700, device_scale_factor=scale, color_scheme=scheme)
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
