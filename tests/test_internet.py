"""Who answers on the network, found out with real sockets: the first command falls back to phantoms within seconds."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from busi_keras.internet import reachable


@pytest.mark.parametrize(
    ("code", "there"), [(200, True), (404, True), (405, True), (403, False), (407, False), (502, False)]
)
def test_a_server_that_answers_is_there_and_a_gateway_that_forbids_is_not(code: int, there: bool) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(code)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert reachable(f"http://127.0.0.1:{server.server_port}", timeout_s=20) is there
        thread.join()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_a_server_whose_certificate_is_not_known_here_is_there_for_who_brings_it(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    for brought in (True, False):
        with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            thread = threading.Thread(target=server.handle_request)
            thread.start()
            address = f"https://127.0.0.1:{server.server_port}"
            assert reachable(address, timeout_s=20, own_certificates=brought) is brought
            thread.join()


def test_a_server_that_is_silent_or_not_there_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        assert not reachable(f"http://127.0.0.1:{port}", timeout_s=0.3)
        assert time.monotonic() - started < 10
    assert not reachable(f"http://127.0.0.1:{port}", timeout_s=5)
    assert not reachable("no address", timeout_s=5)
