"""From drop to result, as a reader sees it: a real browser, until class and outline are drawn.

Run from the root: `PYTHONPATH=. python benchmarks/page_drop.py MODEL RUN --output results/page_drop.json`.

Each model is served by `python cli.py serve` in a process of its own; Debian's chromium shares the machine with it. The
images are phantoms: of BUSI's size as PNG and as ultrasound in DICOM, and a scanner's whole screen in colour, as JPEG
in DICOM. Expect 95 % within 2 s where MODEL is an OpenVINO
file of a MobileNetV2 network, and the first page within 10 s of the start, also where a run's `model.keras` is served.
"""

import argparse
import json
import shutil
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances
from page_server import PageServer
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGBaseline8Bit, generate_uid

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.files import write_text
from busi_keras.imaging import encode_png

HEIGHT, WIDTH = 471, 562
SCREEN_HEIGHT, SCREEN_WIDTH = 768, 1024
US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]


def write_images(folder: Path, count: int) -> dict[str, list[Path]]:
    """Phantoms, each as PNG, as DICOM, and as a scanner's screen in colour."""
    written: dict[str, list[Path]] = {"png": [], "dicom": [], "screen": []}
    for index in range(count):
        grey = make_phantom(1, index, index % len(CLASSES), HEIGHT, WIDTH).image
        png, dicom, screen = (folder / f"{index}{suffix}" for suffix in (".png", ".dcm", "_screen.dcm"))
        png.write_bytes(encode_png(grey))
        still(grey).save_as(dicom, enforce_file_format=True)
        wide = make_phantom(2, index, index % len(CLASSES), SCREEN_HEIGHT, SCREEN_WIDTH).image
        colour_screen(wide).save_as(screen, enforce_file_format=True)
        for kind, path in (("png", png), ("dicom", dicom), ("screen", screen)):
            written[kind].append(path)
    return written


def still(grey: np.ndarray) -> Dataset:
    """A still ultrasound image, uncompressed, uint8 `(HEIGHT, WIDTH)`."""
    file = ultrasound(HEIGHT, WIDTH, ExplicitVRLittleEndian)
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.PixelData = grey.tobytes() + b"\0" * (grey.size % 2)
    return file


def colour_screen(grey: np.ndarray) -> Dataset:
    """What a scanner shows, in colour as JPEG: uint8 `(SCREEN_HEIGHT, SCREEN_WIDTH)` with margins and a scale."""
    screen = np.repeat(grey[..., None], 3, axis=-1)
    screen[:60], screen[-60:], screen[:, :80] = 0, 0, 0
    screen[100:400, 20:40] = np.linspace([255, 220, 0], [120, 0, 0], 300, dtype=np.uint8)[:, None]
    buffer = BytesIO()
    Image.fromarray(screen).save(buffer, "JPEG", quality=90)
    file = ultrasound(SCREEN_HEIGHT, SCREEN_WIDTH, JPEGBaseline8Bit)
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PlanarConfiguration = 3, "YBR_FULL_422", 0
    file.LossyImageCompression = "01"
    file.PixelData = encapsulate([buffer.getvalue()])
    return file


def ultrasound(height: int, width: int, transfer_syntax: UID) -> Dataset:
    """The header of a still image of 8 bits."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = transfer_syntax
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = US_IMAGE, generate_uid(), "US"
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.Rows, file.Columns = height, width
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.BurnedInAnnotation = "NO"
    return file


def drag(page: Page, file: Path) -> None:
    """Drops a file as a person does: the browser itself sees the drag."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 150, "data": data})
    session.detach()


DRAWN = """name => new Promise((done) => {
    const look = () =>
        document.getElementById("case-name").textContent === name && !document.getElementById("edit-mask").disabled
            ? done()
            : requestAnimationFrame(look);
    look();
})"""
"""Looks at each frame that the browser draws: the mask can be edited once image, mask and maps are drawn."""


def drop(page: Page, file: Path) -> float:
    """Seconds from the drop until the file's class stands there and its pixels are drawn."""
    started = time.monotonic()
    drag(page, file)
    page.evaluate(DRAWN, file.name)
    return time.monotonic() - started


def measure(model: Path, images: dict[str, list[Path]], log: Path) -> dict[str, Any]:
    """One model."""
    server = PageServer(model, log)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.address)
            expect(page.locator("#examples button")).to_have_count(6)
            seconds = {kind: [drop(page, file) for file in files] for kind, files in images.items()}
            browser.close()
    finally:
        server.stop()
    return {
        "model": model.name if model.is_file() else "a run folder, model.keras",
        "seconds_to_page": round(server.seconds_to_page, 2),
        "seconds_to_ready": round(server.seconds_to_ready, 2),
        "drop_to_drawn_seconds": {kind: _latency(found) for kind, found in seconds.items()},
    }


def _latency(seconds: list[float]) -> dict[str, float]:
    points = {"median": 50, "percentile_95": 95, "largest": 100}
    return {name: round(float(np.percentile(seconds, point)), 3) for name, point in points.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="stored models and run folders")
    parser.add_argument("--images", type=int, default=30, help="of each kind")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = write_images(Path(folder), options.images)
        found = [measure(model, images, Path(folder) / "log") for model in options.models]
    results = {
        "what": f"{options.images} phantoms of {WIDTH} x {HEIGHT} px of each kind, the screen in colour of "
        f"{SCREEN_WIDTH} x {SCREEN_HEIGHT} px as JPEG in DICOM, dropped in turn in chromium",
        **circumstances(),
        "models": found,
    }
    print(json.dumps(results, indent=2))
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
