"""`python cli.py serve` as a process of its own: start, end, kill, broken uploads, and what it writes where."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from busi_keras.card import CARD_FILE, Card
from busi_keras.imaging import encode_png
from busi_keras.web.private_folder import TMPFS

ROOT = Path(__file__).parents[2]
SIZE = 64


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ONNX file that outlines what is bright; malignant as far as the brightest pixel is bright."""
    constants = {"first": np.int64(0), "white": np.float32(255), "weights": np.float32([[-0.25, 1, -0.75]]),
                 "offsets": np.float32([0.25, 0, 0.75]), "column": np.int64([-1, 1])}  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["image", "first"], ["channel"], axis=3),
        helper.make_node("Div", ["channel", "white"], ["mask"]),
        helper.make_node("Identity", ["mask"], ["heatmap"]),
        helper.make_node("ReduceMean", ["mask"], ["novelty"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceMax", ["mask"], ["brightest"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["brightest", "column"], ["malignant"]),
        helper.make_node("MatMul", ["malignant", "weights"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offsets"], ["probabilities"]),
    ]
    images = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", SIZE, SIZE, 3])
    shapes = {"probabilities": ["n", 3], "mask": ["n", SIZE, SIZE], "heatmap": ["n", SIZE, SIZE], "novelty": ["n"]}
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "bright", [images], outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    card = Card("multitask", SIZE, "BUSI", {}, "grouped", "none", "resnet50", {}, "test", {}, {}, "2026-11-23")
    helper.set_model_props(model, {CARD_FILE: card.to_json()})
    file = tmp_path_factory.mktemp("network") / "model.onnx"
    onnx.save(model, file)
    return file


def held_by(process: subprocess.Popen[str]) -> Path:
    """The private folder of a server: its lock is among the open files."""
    for one in Path(f"/proc/{process.pid}/fd").iterdir():
        with suppress(OSError):  # closed in the meantime
            file = one.readlink()
            if file.name == ".lock" and file.parent.name.startswith("server-"):
                return file.parent
    raise AssertionError("the server holds no folder")


class Server:
    """A process that serves, its address, and what it printed."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process, self.log = process, log
        until = time.monotonic() + 120
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        self.port = int(found[1])
        self.folder = held_by(process)
        self.client = httpx.Client(base_url=found[0], timeout=60)
        while self.client.get("/ready").status_code != 200:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)

    def end(self, how: int) -> int:
        self.process.send_signal(how)
        return self.process.wait(60)

    def add(self, name: str) -> dict[str, Any]:
        """Uploads an image and predicts it, in the client's session."""
        self.client.post("/api/session")
        image = np.full((90, 120), 20, np.uint8)
        image[20:60, 30:70] = 250
        uploaded = self.client.post("/api/uploads", content=encode_png(image), headers={"X-File-Name": name})
        return self.client.post(f"/api/uploads/{uploaded.json()['key']}/frames/0").json()


@pytest.fixture
def serve(network: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def start(*options: str, **environment: str) -> Server:
            log = tmp_path / f"{time.monotonic_ns()}.log"
            with log.open("w") as stream:
                command = [sys.executable, ROOT / "cli.py", "serve", "--model", network, "--port", "0", *options]
                process = subprocess.Popen(
                    command, cwd=tmp_path, stdout=stream, stderr=stream, text=True, env=os.environ | environment
                )
            stack.callback(process.kill)
            return Server(process, log)

        yield start


def stored(server: Server) -> list[Path]:
    return list(server.folder.glob("session-*/*"))


@pytest.mark.skipif(not TMPFS.is_dir(), reason="this system has no /dev/shm")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_after_a_normal_end(serve: Callable[..., Server], end: int) -> None:
    server = serve()
    assert server.add("Jane%20Doe.png")["finding"]["label"] == "malignant"
    assert len(stored(server)) == 1
    assert server.folder.is_relative_to(TMPFS)
    assert server.end(end) in (0, -signal.SIGTERM)
    assert not server.folder.exists()


@pytest.mark.skipif(not TMPFS.is_dir(), reason="this system has no /dev/shm")
def test_nothing_is_left_after_a_kill_and_the_next_start(serve: Callable[..., Server]) -> None:
    killed = serve()
    killed.add("Jane%20Doe.png")
    assert len(stored(killed)) == 1
    killed.end(signal.SIGKILL)
    after = serve()
    assert not killed.folder.exists()
    after.end(signal.SIGTERM)


def test_ending_a_session_removes_its_images(serve: Callable[..., Server]) -> None:
    server = serve()
    server.add("image.png")
    assert len(stored(server)) == 1
    assert server.client.delete("/api/session").status_code == 204
    assert stored(server) == []
    assert server.client.get("/api/cases").status_code == 410


def test_an_upload_that_breaks_off_leaves_nothing_and_the_server_goes_on(serve: Callable[..., Server]) -> None:
    server = serve()
    server.client.post("/api/session")
    cookie = "; ".join(f"{name}={value}" for name, value in server.client.cookies.items())
    assert stored(server) == []
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"POST /api/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\nContent-Length: 1000000\r\n\r\n"
        connection.sendall(head.encode() + bytes(5000))
        until = time.monotonic() + 10
        while not stored(server) and time.monotonic() < until:
            time.sleep(0.02)
        assert len(stored(server)) == 1
    while stored(server) and time.monotonic() < until:
        time.sleep(0.02)
    assert stored(server) == []
    assert server.add("image.png")["finding"]["label"] == "malignant"
    assert "Traceback" not in server.log.read_text()


def test_no_name_reaches_the_log(serve: Callable[..., Server]) -> None:
    server = serve()
    case = server.add("Jane%20Doe%201962%E5%B1%B1.png")  # a sign that the report's font does not have
    server.client.get(f"/api/cases/{case['key']}/report.pdf")
    server.client.post("/api/uploads", content=b"broken", headers={"X-File-Name": "Jane%20Doe%201962.png"})
    server.client.get("/Jane%20Doe")
    server.end(signal.SIGTERM)
    log = server.log.read_text()
    assert "Research use, not a diagnosis." in log
    for private in ("Jane", "Doe", case["key"], "GET", "Glyph", "CJK"):
        assert private not in log


def test_a_password_from_the_environment_is_asked_for(serve: Callable[..., Server]) -> None:
    server = serve(BUSI_KERAS_USER="reader", BUSI_KERAS_PASSWORD="correct horse")
    assert server.client.get("/api/model").status_code == 401
    assert server.client.get("/api/model", auth=("reader", "correct horse")).status_code == 200
    assert "correct horse" not in server.log.read_text()


def test_wrong_use_ends_in_one_line(network: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    (tmp_path / "file").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        cases: list[tuple[list[object], dict[str, str], str]] = [
            (["--model", "nowhere.onnx"], {}, "nowhere.onnx does not exist, or holds no model"),
            (["--model", "broken.onnx", "--port", "0"], {}, "broken.onnx is damaged, or not in onnx format"),
            (["--model", network, "--port", port], {}, f"--host 127.0.0.1 --port {port} cannot be listened on"),
            (["--model", network, "--corrections", "file/x"], {}, "--corrections file/x cannot be made"),
            (["--model", network, "--port", "0"], {"BUSI_KERAS_USER": "x"}, "BUSI_KERAS_PASSWORD is not; set both"),
        ]
        for options, environment, sentence in cases:
            done = run(tmp_path, *options, **environment)
            assert done.returncode == 2, done.stderr
            assert [line for line in done.stderr.splitlines() if line.startswith("error: ")] != []
            assert sentence in done.stderr
            assert "Traceback" not in done.stderr


def test_without_fastapi_the_file_that_brings_it_is_named(network: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'fastapi' else find(name, *rest)\n"
    )
    done = run(tmp_path, "--model", network, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "the page needs fastapi, which is not installed; pip install -r requirements-web.txt" in done.stderr


def run(folder: Path, *options: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "cli.py", "serve", *map(str, options)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, env=os.environ | environment)
