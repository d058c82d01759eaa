"""A cine of 200 frames dropped on the page, in a real browser: seconds, the server's memory, and the progress bar.

Run from the root: `PYTHONPATH=. python benchmarks/page_cine.py MODEL --output results/page_cine.json`.

The cine is of phantoms, in colour, uncompressed: 184 MB. Expect the memory of the server to grow by far less, and a
progress bar that moves with each frame.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from machine import circumstances
from page_drop import ARGUMENTS, drag, ultrasound
from page_server import PageServer
from playwright.sync_api import Page, expect, sync_playwright
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.files import write_text

FRAMES, HEIGHT, WIDTH = 200, 480, 640
DIFFERENT = 20
US_MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.3.1"
SAMPLE_SECONDS = 0.05


def write_cine(path: Path) -> None:
    """`FRAMES` phantoms, RGB, one after the other."""
    phantoms = [make_phantom(2, index, index % len(CLASSES), HEIGHT, WIDTH).image for index in range(DIFFERENT)]
    coloured = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1) for image in phantoms]
    file = ultrasound(HEIGHT, WIDTH, ExplicitVRLittleEndian)
    file.SOPClassUID, file.SOPInstanceUID = US_MULTI_FRAME, generate_uid()
    file.SamplesPerPixel, file.PhotometricInterpretation, file.PlanarConfiguration = 3, "RGB", 0
    file.NumberOfFrames, file.FrameTime, file.FrameIncrementPointer = FRAMES, 40, 0x00181063
    file.PixelData = b"".join(coloured[index % DIFFERENT].tobytes() for index in range(FRAMES))
    file.save_as(path, enforce_file_format=True)


def drop(page: Page, file: Path, server: PageServer) -> dict[str, Any]:
    """Until the last frame's row is in the table; samples the bar and the server's memory meanwhile."""
    before, started = server.megabytes(), time.monotonic()
    drag(page, file)
    bar: list[float] = []
    megabytes: list[float] = []
    stored = 0.0
    while page.locator("#case-table tbody tr").count() < FRAMES:
        megabytes.append(server.megabytes())
        stored = max(stored, stored_megabytes(server))
        if page.locator("#progress").is_visible() and (value := page.locator("#progress-bar").get_attribute("value")):
            bar.append(float(value))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.monotonic() - started
    expect(page.locator("#progress")).to_be_hidden()
    half = len(megabytes) // 2
    return {
        "seconds": round(seconds, 1),
        "frames_per_second": round(FRAMES / seconds, 2),
        "positions_of_the_bar_seen": len(set(bar)),
        "bar_only_forwards": bar == sorted(bar),
        "megabytes": {
            "before": round(before),
            "median_of_first_half": round(float(np.median(megabytes[:half]))),
            "median_of_second_half": round(float(np.median(megabytes[half:]))),
            "peak": round(server.megabytes("VmHWM")),
        },
        "stored_megabytes": round(stored),
    }


def stored_megabytes(server: PageServer) -> float:
    """What the session's folder holds, upload and cases: in memory, too, where there is `/dev/shm`."""
    lines = httpx.get(f"{server.address}/metrics").text.splitlines()
    return next(float(line.split()[1]) / 1e6 for line in lines if line.startswith("busi_keras_stored_bytes "))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a stored model or a run folder")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        cine = Path(folder) / "cine.dcm"
        write_cine(cine)
        size = cine.stat().st_size / 1e6
        server = PageServer(options.model, Path(folder) / "log")
        try:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto(server.address)
            expect(page.locator("#examples button")).to_have_count(6)
            found = drop(page, cine, server)
            browser.close()
        finally:
            server.stop()
    result = {
        "what": f"a cine of {FRAMES} phantoms, {WIDTH} x {HEIGHT} px in colour, {size:.0f} MB, dropped in chromium",
        "model": options.model.name,
        **found,
        **circumstances(),
    }
    print(json.dumps(result, indent=2))
    if options.output:
        write_text(options.output, json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
