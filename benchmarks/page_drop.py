"""From drop to result, as a reader sees it: a real browser, until class and outline are drawn.

Run from the root: `PYTHONPATH=. python benchmarks/page_drop.py MODEL RUN --output results/page_drop.json`.

Each model is served by `python cli.py serve` in a process of its own; Debian's chromium shares the machine with it. The
images are phantoms of BUSI's size, as PNG and as ultrasound in DICOM. Expect 95 % within 2 s where MODEL is an OpenVINO
file of a MobileNetV2 network, and the first page within 10 s of the start, also where a run's `model.keras` is served.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from machine import circumstances
from page_server import PageServer
from playwright.sync_api import Page, expect, sync_playwright
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.files import write_text
from busi_keras.imaging import encode_png

HEIGHT, WIDTH = 471, 562
US_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run"]


def write_images(folder: Path, count: int) -> dict[str, list[Path]]:
    """Phantoms, each as PNG and as DICOM."""
    written: dict[str, list[Path]] = {"png": [], "dicom": []}
    for index in range(count):
        image = make_phantom(1, index, index % len(CLASSES), HEIGHT, WIDTH).image
        grey = image if image.ndim == 2 else image[..., 0]
        written["png"].append(folder / f"{index}.png")
        written["png"][-1].write_bytes(encode_png(grey))
        written["dicom"].append(folder / f"{index}.dcm")
        as_dicom(grey).save_as(written["dicom"][-1], enforce_file_format=True)
    return written


def as_dicom(grey: np.ndarray) -> Dataset:
    """A still ultrasound image, uncompressed, uint8 `(height, width)`."""
    file = Dataset()
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file.SOPClassUID, file.SOPInstanceUID, file.Modality = US_IMAGE, generate_uid(), "US"
    file.StudyInstanceUID, file.SeriesInstanceUID = generate_uid(), generate_uid()
    file.Rows, file.Columns = grey.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 8, 8, 7, 0
    file.BurnedInAnnotation = "NO"
    file.PixelData = grey.tobytes() + b"\0" * (grey.size % 2)
    return file


def drag(page: Page, file: Path) -> None:
    """Drops a file as a person does: the browser itself sees the drag."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 150, "data": data})
    session.detach()


def drop(page: Page, file: Path) -> float:
    """Seconds from the drop until the file's class stands there and its pixels are drawn."""
    started = time.monotonic()
    drag(page, file)
    expect(page.locator("#case-name")).to_have_text(file.name)
    expect(page.locator("#edit-mask")).to_be_enabled()  # from when image, mask and maps are drawn
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
        "what": f"{options.images} phantoms of {WIDTH} x {HEIGHT} px of each kind, dropped in turn in chromium",
        **circumstances(),
        "models": found,
    }
    print(json.dumps(results, indent=2))
    if options.output:
        write_text(options.output, json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
