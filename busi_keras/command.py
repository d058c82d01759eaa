"""How a command runs, whichever it is: its backend, what it prints where, errors as messages and exit codes."""

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from busi_keras.config import BACKENDS
from busi_keras.errors import UsageError

DONE, SOME_FAILED, WRONG_USE = 0, 1, 2
X86 = ("x86_64", "AMD64")
whole_tracebacks = {"wanted": False}


@contextlib.contextmanager
def messages() -> Iterator[None]:
    """Errors become one line on stderr and an exit code; what libraries print goes to stderr, too."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (typer.Exit, typer.Abort):
        raise
    except UsageError as error:
        if whole_tracebacks["wanted"]:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(WRONG_USE) from None
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        raise typer.Exit(130) from None
    except Exception as error:
        if whole_tracebacks["wanted"]:
            raise
        print(f"error: {type(error).__name__}: {error} (python cli.py --debug ... shows where)", file=sys.stderr)
        raise typer.Exit(SOME_FAILED) from None


def set_backend(requested: str | None, trains: bool = False) -> None:
    """Has to run before Keras is imported for the first time.

    Args:
        requested: one of `BACKENDS`; None for what `KERAS_BACKEND` says, or TensorFlow.
        trains: whether a network is trained, or scored as it was trained: then with oneDNN's kernels on TensorFlow,
            which of itself takes them on processors with AVX-512 VNNI and later alone. On older ones they train faster
            (`benchmarks/training_speed.py`), but answer a single image more slowly.
    """
    backend = requested or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise UsageError(f"--backend is {backend}; it must be one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(backend) is None:
        raise UsageError(f"--backend {backend} is not installed; pip install {backend}, or choose another backend")
    os.environ["KERAS_BACKEND"] = backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Keras seeds TensorFlow, too, where it is installed
    if backend == "tensorflow":
        if trains and platform.machine() in X86:
            os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
        import_quietly("tensorflow")


def set_backend_for(model: Path | None, requested: str | None, server: str | None = None) -> None:
    """As `set_backend`, for what predicts; where Keras does not run, no backend is to be asked for.

    Args:
        model: None for the newest run.
        server: the address of one that predicts.
    """
    from busi_keras.inference.formats import is_standalone

    if server is None and not is_standalone(model):
        set_backend(requested)
        return
    if requested is not None:
        raise UsageError(f"--backend is {requested}, but this model does not run in Keras here; leave it out")
    if server is not None and server.startswith("grpc:"):
        with contextlib.suppress(ImportError):  # the client says what is missing
            import_quietly("tensorflow")


def import_quietly(module: str) -> None:
    """TensorFlow's C++ parts write to stderr before their log level can be set; its Python parts advise programmers."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    sys.stderr.flush()
    stderr, silence = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silence, 2)
        importlib.import_module(module)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(silence)


def print_text(text: str) -> None:
    """What a command gives: the one thing that goes to stdout."""
    stdout = sys.__stdout__
    encoding = (stdout and stdout.encoding) or "utf-8"
    print(text.encode(encoding, errors="backslashreplace").decode(encoding), file=stdout)  # names that it cannot show


def print_json(document: dict[str, Any]) -> None:
    """The same, for programs."""
    print_text(json.dumps(document, indent=2, allow_nan=False))


def exit_with(done: Any, failed: Any) -> None:
    """Ends with the exit code for work of which some failed; returns where nothing did.

    Args:
        done, failed: what worked and what did not: true where there is any.
    """
    if failed:
        raise typer.Exit(SOME_FAILED if done else WRONG_USE)
