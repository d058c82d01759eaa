"""How the page bears many users: each uploads an image, looks at the result as the page does, and takes the next.

Run from the root: `PYTHONPATH=. python benchmarks/page_load.py MODEL --output results/page_load.json`.

The server is `python cli.py serve --model MODEL` in a process of its own, on loopback; users share the machine with
it. Images are phantoms of BUSI's size. "result" is the time from the first byte of the upload to class and lesions,
"pixels" that of image, mask, probability and heat map together. Expect no error, memory that hardly grows after the
first minutes, and 95 % of the results within 2 s where MODEL is an OpenVINO or ONNX file of a MobileNetV2 network.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from machine import circumstances, processor_seconds
from page_server import PageServer

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.files import write_text
from busi_keras.imaging import encode_png

HEIGHT, WIDTH = 471, 562
IMAGES = 12
SHOWN = ("image.png", "mask.png", "mask_probability.png", "heat_map.png")
BUSY = 503
SAMPLE_SECONDS = 1.0
TIMEOUT_SECONDS = 60


@dataclass
class Load:
    """What users met."""

    result_seconds: list[float] = field(default_factory=list)
    pixels_seconds: list[float] = field(default_factory=list)
    requests: int = 0
    sent_away: int = 0
    errors: Counter[str] = field(default_factory=Counter)


async def user(number: int, address: str, images: list[bytes], until: float, pause: float, load: Load) -> None:
    """Image after image in one session, with a pause in which a reader would look."""
    rng = np.random.default_rng(number)
    async with httpx.AsyncClient(base_url=address, timeout=TIMEOUT_SECONDS) as client:
        await _request(client, load, "POST", "/api/session")
        await asyncio.sleep(rng.uniform(0, pause))
        while time.monotonic() < until:
            started = time.monotonic()
            content = images[rng.integers(len(images))]
            uploaded = await _request(client, load, "POST", "/api/uploads", content=content)
            if uploaded is None:
                continue
            case = await _request(client, load, "POST", f"/api/uploads/{uploaded.json()['key']}/frames/0")
            if case is None:
                continue
            load.result_seconds.append(time.monotonic() - started)
            started = time.monotonic()
            found = case.json()
            names = [name for name in SHOWN if name != "heat_map.png" or found["heat_map"]]
            await asyncio.gather(
                *(_request(client, load, "GET", f"/api/cases/{found['key']}/{name}") for name in names)
            )
            load.pixels_seconds.append(time.monotonic() - started)
            await _request(client, load, "DELETE", f"/api/cases/{found['key']}")
            await asyncio.sleep(rng.uniform(0.5, 1.5) * pause)
        await _request(client, load, "DELETE", "/api/session")


async def _request(client: httpx.AsyncClient, load: Load, method: str, path: str, **more: Any) -> httpx.Response | None:
    """An answer that is well, after as many waits as the server asks for; None where there is none."""
    while True:
        load.requests += 1
        try:
            answer = await client.request(method, path, **more)
        except httpx.HTTPError as error:
            load.errors[type(error).__name__] += 1
            return None
        if answer.status_code == BUSY:
            load.sent_away += 1
            await asyncio.sleep(float(answer.headers["Retry-After"]))
            continue
        if answer.is_error:
            load.errors[f"{method} {answer.status_code}"] += 1
            return None
        return answer


async def _sample(server: PageServer, until: float) -> list[float]:
    samples = []
    while time.monotonic() < until:
        samples.append(server.megabytes())
        await asyncio.sleep(SAMPLE_SECONDS)
    return samples


async def run_users(server: PageServer, users: int, seconds: float, pause: float) -> tuple[Load, list[float]]:
    """All users at once, and the server's memory, sample by sample."""
    images = [encode_png(make_phantom(0, i, i % len(CLASSES), HEIGHT, WIDTH).image) for i in range(IMAGES)]
    load, until = Load(), time.monotonic() + seconds
    working = [user(number, server.address, images, until, pause, load) for number in range(users)]
    sampling = asyncio.create_task(_sample(server, until))
    await asyncio.gather(*working)
    return load, await sampling


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All that goes into the JSON."""
    with tempfile.TemporaryDirectory() as folder:
        server = PageServer(options.model, Path(folder) / "log")
        model = httpx.get(f"{server.address}/api/model").json()
        busy, own, started = processor_seconds(), _own_seconds(server), time.monotonic()
        load, samples = asyncio.run(run_users(server, options.users, options.seconds, options.pause))
        passed = time.monotonic() - started
        others = processor_seconds() - busy - (_own_seconds(server) - own)
        peak = server.megabytes("VmHWM")
        server.stop()
    minute = round(60 / SAMPLE_SECONDS)
    minutes = [samples[at : at + minute] for at in range(0, len(samples), minute)]
    return {
        "what": f"{options.users} users for {options.seconds:.0f} s, {options.pause} s between images, on loopback",
        **circumstances(),
        "model": model["version"],
        "engine": options.model.suffix.removeprefix(".") or "keras",
        "seconds_to_page": round(server.seconds_to_page, 2),
        "seconds_to_ready": round(server.seconds_to_ready, 2),
        "images": len(load.result_seconds),
        "images_per_second": round(len(load.result_seconds) / passed, 2),
        "requests": load.requests,
        "errors": dict(load.errors),
        "sent_away_by_a_full_queue": load.sent_away,
        "result_seconds": _latency(load.result_seconds),
        "pixels_seconds": _latency(load.pixels_seconds),
        "megabytes": {
            "at_start": round(samples[0]),
            "median_of_each_minute": [round(statistics.median(one)) for one in minutes],
            "peak": round(peak),
        },
        "share_of_the_processor_used_by_others": round(max(0.0, others / (passed * (os.cpu_count() or 1))), 3),
    }


def _own_seconds(server: PageServer) -> float:
    return server.processor_seconds() + time.process_time()


def _latency(seconds: list[float]) -> dict[str, float | None]:
    if not seconds:
        return {"median": None, "percentile_95": None, "largest": None}
    median, late = np.percentile(seconds, [50, 95])
    return {
        "median": round(float(median), 3),
        "percentile_95": round(float(late), 3),
        "largest": round(max(seconds), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a run folder or a stored model")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=720)
    parser.add_argument("--pause", type=float, default=5, help="mean seconds between a user's images")
    options = parser.parse_args()
    result = measure(options)
    print(json.dumps(result, indent=2))
    if options.output:
        write_text(options.output, json.dumps(result, indent=2) + "\n")
    if result["errors"]:
        raise SystemExit(f"{sum(result['errors'].values())} requests failed")


if __name__ == "__main__":
    main()
