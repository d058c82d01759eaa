"""Who answers on the network, found out with real sockets: the first command falls back to phantoms within seconds."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from busi_keras.network import reachable


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


def test_a_server_that_is_silent_or_not_there_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        assert not reachable(f"http://127.0.0.1:{port}", timeout_s=0.3)
        assert time.monotonic() - started < 10
    assert not reachable(f"http://127.0.0.1:{port}", timeout_s=5)
    assert not reachable("no address", timeout_s=5)
