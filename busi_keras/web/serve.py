"""`serve`: the page on a port, until somebody stops it."""

import importlib.util
import os
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from busi_keras.card import RESEARCH_USE
from busi_keras.errors import UsageError
from busi_keras.workflows.models import RUNS, newest_run

NEEDED = ("fastapi", "uvicorn", "prometheus_client")
KEEP_ALIVE_SECONDS = 75
"""Of an idle connection. One that closes just when its client sends the next request fails that request."""
GRACE_SECONDS = 5
MAX_UPLOAD_MEGABYTES = 256


def serve(
    model: Path | None,
    host: str = "127.0.0.1",
    port: int = 8000,
    corrections: Path | None = None,
    browser: bool = False,
    max_upload_megabytes: int = MAX_UPLOAD_MEGABYTES,
) -> None:
    """Serves the page; comes back when the process is told to end. The model is loaded after the page is there.

    Args:
        model: a run folder or a stored model; None for the newest run.
        host: the address to listen on; with one that other machines reach, set a user and password.
        port: to listen on; 0 for any that is free.
        corrections: where corrections are saved, in BUSI's layout; None to save none.
        browser: whether to open the page in the default browser.
        max_upload_megabytes: a larger file is refused, in 10^6 bytes.

    Raises:
        UsageError: what the page needs is not installed, there is no such model, the port is taken, or only one of
            user and password is set.
    """
    if sys.platform == "win32":
        raise UsageError("the page's server needs Linux or macOS; on Windows start it in WSL")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the page needs {missing[0]}, which is not installed; pip install -r requirements-web.txt")
    import uvicorn

    from busi_keras.web.access import Credentials, allowed_hosts, open_to_others
    from busi_keras.web.app import create_app
    from busi_keras.web.served_model import ServedModel, model_files
    from busi_keras.web.service import Settings

    path = model if model is not None else newest_run(RUNS)
    if not model_files(path):
        raise UsageError(f"{path} does not exist, or holds no model; name a run folder or a stored model")
    if not 1 <= max_upload_megabytes < 2000:
        raise UsageError(f"--max-upload is {max_upload_megabytes}; it must be from 1 to 1999, in megabytes")
    if corrections is not None:
        _check_writable(corrections)
    listener = _listen(host, port)
    address = _address(host, listener.getsockname()[1])
    credentials = Credentials.from_environment()
    settings = Settings(
        corrections,
        credentials,
        allowed_hosts(host),
        cookie=f"busi_keras_{listener.getsockname()[1]}",
        max_upload_bytes=max_upload_megabytes * 1_000_000,
    )
    served = ServedModel(path)
    config = uvicorn.Config(
        create_app(served, settings),
        access_log=False,  # it would hold what is asked for
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = uvicorn.Server(config)

    def loaded() -> None:
        if served.error is not None:
            server.should_exit = True
            return
        print(f"ready: {served.version}", file=sys.stderr)

    print(f"{address} (Ctrl+C ends it). {RESEARCH_USE} Loading {path} ...", file=sys.stderr)
    if said := open_to_others(host, credentials):
        print(f"warning: {said}", file=sys.stderr)
    served.start(loaded)
    if browser:
        threading.Timer(1, webbrowser.open, [address]).start()
    with listener, suppress(KeyboardInterrupt):
        server.run([listener])
    if served.error is not None:
        raise served.error


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"--host {host} --port {port} cannot be listened on ({reason}); choose another port") from None


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _check_writable(folder: Path) -> None:
    """Before the first correction, not at it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--corrections {folder} cannot be made ({error.strerror}); name another folder") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"--corrections {folder} cannot be written to; name another folder")
