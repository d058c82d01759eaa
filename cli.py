"""The command line: parses options, sets the backend, calls a workflow, turns errors into messages."""

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from busi_keras import __version__
from busi_keras.card import RESEARCH_USE
from busi_keras.config import BACKENDS
from busi_keras.errors import UsageError
from busi_keras.options import AsJson, Backend, Data, Model, takes_experiment

app = typer.Typer(
    help="Breast-ultrasound analysis on BUSI: segment, classify, explain, serve. Research use, not a diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Get and look at images.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data_app, name="data")

DONE, SOME_FAILED, WRONG_USE = 0, 1, 2


@app.callback()
def main(
    debug: Annotated[bool, typer.Option(help="Show the whole traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Options that stand before the command."""
    if version:
        print(__version__)
        raise typer.Exit(DONE)
    _options["debug"] = debug
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)


@app.command()
@takes_experiment
def train(
    *,
    approach: Annotated[
        str | None, typer.Option(help="two-stage, multitask or multitask-cnn.", show_default="multitask")
    ] = None,
    data: Data = "auto",
    protocol: Annotated[
        str | None,
        typer.Option(
            help="grouped (70/15/15, near-duplicates kept together), seed (the original project's split, with its "
            "leaks), kfold (grouped folds), leaky (plain folds: near-duplicates on both sides), lesion-70-30 (lesion "
            "images alone, the three splits of the public segmentation table, with their leaks), external (all images "
            "train or validate).",
            show_default="grouped",
        ),
    ] = None,
    fold: Annotated[int | None, typer.Option(help="Which fold is tested, from 0.", show_default="0")] = None,
    backend: Backend = None,
    given: dict[str, Any],
    run_dir: Annotated[Path | None, typer.Option(help="The run's folder.", show_default="runs/APPROACH-TIME")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what --run-dir holds; start where there is nothing yet.")
    ] = False,
    export: Annotated[bool, typer.Option(help="Write a SavedModel to saved_models/ at the end.")] = True,
    tensorboard: Annotated[bool, typer.Option(help="Write TensorBoard logs into the run folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train one of the three approaches, measure it, report it, export it."""
    given |= {"approach": approach, "protocol": protocol, "fold": fold}
    with _messages():
        _set_backend(backend)
        from busi_keras.workflows.train import run_training

        trained = run_training(given, data, run_dir, resume, export=export, tensorboard=tensorboard)
        if as_json:
            _print_json(trained.to_json())
        else:
            _print(trained.summary())


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder made by train.")],
    split: Annotated[
        str, typer.Option(help="auto (test where there is one, else validation), train, validation or test.")
    ] = "auto",
    data: Data = "auto",
    backend: Backend = None,
    perturb: Annotated[
        int, typer.Option(help="On so many images a class, test heat maps by deletion, insertion and randomization.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Score a run on one part of its split and write its report anew."""
    with _messages():
        _set_backend(backend)
        from busi_keras.workflows.evaluate import evaluate_run

        evaluation = evaluate_run(run, split, data, perturb)
        if as_json:
            _print_json(evaluation.to_json())
        else:
            _print(evaluation.summary())


@app.command()
@takes_experiment
def study(
    *,
    protocol: Annotated[
        str,
        typer.Option(
            help="kfold (grouped folds: the headline), leaky (plain folds: how much leakage flatters), seed (the "
            "original's split), lesion-70-30 (the three splits of the public segmentation table) or external (train on "
            "all of --data, score --external)."
        ),
    ] = "kfold",
    approach: Annotated[str, typer.Option(help="two-stage, multitask or multitask-cnn.")] = "multitask-cnn",
    data: Data = "auto",
    external: Annotated[
        Path | None, typer.Option(help="The folder in BUSI's layout that protocol external scores.")
    ] = None,
    backend: Backend = None,
    given: dict[str, Any],
    output: Annotated[
        Path | None, typer.Option(help="The study's folder.", show_default="studies/PROTOCOL-APPROACH")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train and score every fold of a protocol, with intervals; stopped and repeated, it goes on."""
    given |= {"approach": approach, "protocol": protocol}
    with _messages():
        _set_backend(backend)
        from busi_keras.workflows.study import run_study

        found = run_study(given, data, output, external)
        if as_json:
            _print_json(found.study.to_json())
        else:
            _print(f"{found.summary()}\n\n{RESEARCH_USE}")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A study's folder.")],
    second: Annotated[Path, typer.Argument(help="Another's, on the same images.")],
    data: Data = "auto",
    common: Annotated[
        bool, typer.Option("--common", help="Compare on the images that both have scored, where one has scored more.")
    ] = False,
    duplicated: Annotated[
        bool | None,
        typer.Option(
            "--duplicated/--unique",
            help="Compare only images that have near-duplicates, or only those that have none.",
            show_default="all images",
        ),
    ] = None,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Say which of two studies is better in which score, by paired bootstrap over groups of near-duplicates."""
    with _messages():
        from busi_keras.workflows.compare import compare as compare_folders

        comparison = compare_folders(first, second, data, common, resamples, duplicated)
        if as_json:
            _print_json(comparison.to_json())
        else:
            _print(f"{comparison.table()}\n\n{RESEARCH_USE}")


@app.command()
def predict(
    paths: Annotated[list[Path], typer.Argument(help="Image and DICOM files, and folders.")],
    model: Model = None,
    server: Annotated[
        str | None,
        typer.Option(
            help="TF Serving instead of a stored model: http://HOST:8501 or grpc://HOST:8500, with /v1/models/NAME "
            "behind where the model is not called multitask."
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for masks, overlays, predictions.csv and predictions.json.")
    ] = Path("predictions"),
    dicom_output: Annotated[
        Path | None,
        typer.Option(
            "--dicom-out",
            help="Folder for the results of DICOM files as DICOM: Segmentation, Structured Report, Secondary Capture.",
            show_default="none are written",
        ),
    ] = None,
    every: Annotated[int, typer.Option(help="Look at every n-th frame of a DICOM file.")] = 1,
    flips: Annotated[
        bool,
        typer.Option("--flips", help="Average each image with its mirror image: fewer false finds, twice the time."),
    ] = False,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Segment and classify images. Research use, not a diagnosis."""
    with _messages():
        from busi_keras.inference.formats import is_standalone

        if server is not None and server.startswith("grpc:"):
            with contextlib.suppress(ImportError):  # the client says what is missing
                _import_quietly("tensorflow")
        elif server is None and not is_standalone(model):
            _set_backend(backend)
        from busi_keras.workflows.predict import predict_paths

        result = predict_paths(model, paths, output, server, dicom_output, every, flips)
        if as_json:
            _print_json(result.to_json())
        else:
            _print(result.summary(output))
        _exit(result.done, result.failed)


@app.command()
def serve(
    model: Model = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; for other machines set BUSI_KERAS_USER and BUSI_KERAS_PASSWORD.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for any that is free.")] = 8000,
    corrections: Annotated[
        Path | None,
        typer.Option(help="Save readers' corrections into this folder, in BUSI's layout.", show_default="none saved"),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser", help="Open the page in the default browser.")] = False,
    max_upload: Annotated[int, typer.Option(help="Refuse files of more megabytes.")] = 256,
    backend: Backend = None,
) -> None:
    """Open a page on this machine: drop images, see what, where, how sure and why. Research use, not a diagnosis."""
    with _messages():
        from busi_keras.inference.formats import is_standalone

        if not is_standalone(model):
            _set_backend(backend)
        from busi_keras.web.serve import serve as serve_page

        serve_page(model, host, port, corrections, browser, max_upload)


@app.command()
def gradcam(
    images: Annotated[list[Path], typer.Argument(help="Image files and folders.")],
    model: Model = None,
    mask: Annotated[
        Path | None,
        typer.Option(help="The true mask of one image.", show_default="NAME_mask.png beside the image, if there"),
    ] = None,
    target: Annotated[
        str, typer.Option(help="What to explain: predicted (the predicted class), benign, malignant, normal, lesion.")
    ] = "predicted",
    method: Annotated[str, typer.Option(help="gradcam, gradcam++ or hirescam.")] = "gradcam",
    output: Annotated[Path, typer.Option(help="Folder for the figures.")] = Path("gradcam"),
    figure_format: Annotated[str, typer.Option("--format", help="png, svg or pdf.")] = "png",
    colour_map: Annotated[
        str, typer.Option(help="Of the heat map: viridis, cividis, magma (fit for colour-blind readers) or jet.")
    ] = "viridis",
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Draw input, masks, Grad-CAM and overlay side by side. Research use, not a diagnosis."""
    with _messages():
        _set_backend(backend)
        from busi_keras.workflows.gradcam import explain_paths

        result = explain_paths(model, images, output, mask, target, method, figure_format, colour_map)
        if as_json:
            _print_json(result.to_json())
        else:
            _print(result.summary())
        _exit(result.done, result.failed)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder or a .keras file.")],
    export_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="saved-model (for TF Serving), onnx, openvino, openvino-int8 (8-bit integers; needs the run folder: "
            "its ranges come from training images), openvino-int8-avx2 (for x86 processors without VNNI) or litert.",
        ),
    ] = "saved-model",
    output: Annotated[
        Path | None,
        typer.Option(
            help="Of a SavedModel the model's folder, the next version goes below it; else the file.",
            show_default="saved_models/APPROACH, or RUN/model.onnx, .xml, _int8.xml, _int8_avx2.xml, .tflite",
        ),
    ] = None,
    data: Data = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a model for production, for TF Serving or for an engine, whatever backend the run was trained on."""
    with _messages():
        from busi_keras.workflows.export import export_run

        exported = export_run(run, export_format, output, data)
        if as_json:
            _print_json({"exported": str(exported)})
        else:
            _print(f"{export_format} written to {exported}")


@data_app.command("download")
def data_download() -> None:
    """Download BUSI from Kaggle through kagglehub; public, no account."""
    with _messages():
        from busi_keras.data.source import download

        source = download()
        _print(f"{len(source.records())} images in {source.folder}; use them with --data {source.folder}")


@data_app.command("phantom")
def data_phantom(
    count: Annotated[int, typer.Option(help="Number of images, all classes together.")] = 160,
    output: Annotated[Path, typer.Option(help="A new folder.")] = Path("data/phantoms"),
    size: Annotated[int, typer.Option(help="Longer side of the images in pixels.")] = 256,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
) -> None:
    """Make synthetic ultrasound images with exact masks, in BUSI's layout."""
    with _messages():
        from busi_keras.data.phantom_set import write_phantoms

        write_phantoms(output, count, seed, size)
        _print(f"{count} phantoms in {output}; use them with --data {output}")


@data_app.command("from-dicom")
def data_from_dicom(
    folder: Annotated[Path, typer.Argument(help="A folder of ultrasound files in DICOM.")],
    labels: Annotated[Path, typer.Option(help="A CSV table: file,label; DICOM carries no class.")],
    output: Annotated[Path, typer.Option(help="A folder in BUSI's layout; what is there is kept.")],
    every: Annotated[int, typer.Option(help="Take every n-th frame of a cine.")] = 1,
    allow_burnt_in: Annotated[
        bool, typer.Option("--allow-burnt-in", help="Take files that may show a patient's name in the picture.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn DICOM into images in BUSI's layout: pixels of the scan area alone, nothing that names a patient."""
    with _messages():
        from busi_keras.workflows.from_dicom import convert_folder

        result = convert_folder(folder, labels, output, every, allow_burnt_in)
        if as_json:
            _print_json(result.to_json())
        else:
            _print(result.summary(output))
        _exit(result.done, result.failed)


@data_app.command("groups")
def data_groups(
    folder: Annotated[Path, typer.Argument(help="A folder in BUSI's layout.")],
    as_json: AsJson = False,
) -> None:
    """List groups of near-duplicate images: another crop, size, gain, annotation or flip of one frame."""
    with _messages():
        from busi_keras.workflows.data_set import find_groups

        found = find_groups(folder)
        if as_json:
            _print_json({"groups": found})
        else:
            for group in found:
                _print(", ".join(group))
            _print(f"{len(found)} groups, {sum(map(len, found))} images")


@data_app.command("audit")
def data_audit(
    folder: Annotated[Path, typer.Argument(help="A folder in BUSI's layout.")],
    output: Annotated[Path, typer.Option(help="Folder for audit.html and images.csv.")] = Path("audit"),
    split: Annotated[
        Path | None, typer.Option(help="A run's split.json: look for leaks in it.", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look for broken files, bad masks, duplicates, contradicting labels, leaks and marks; exit 1 if any distorts."""
    with _messages():
        from busi_keras.workflows.audit import audit_folder

        audited = audit_folder(folder, output, split)
        if as_json:
            _print_json(audited.to_json())
        else:
            _print(audited.summary())
        if audited.audit.distorts:
            raise typer.Exit(SOME_FAILED)


_options = {"debug": False}


@contextlib.contextmanager
def _messages() -> Iterator[None]:
    """Errors become one line on stderr and an exit code; what libraries print goes to stderr, too."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except (typer.Exit, typer.Abort):
        raise
    except UsageError as error:
        if _options["debug"]:
            raise
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(WRONG_USE) from None
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        raise typer.Exit(130) from None
    except Exception as error:
        if _options["debug"]:
            raise
        print(f"error: {type(error).__name__}: {error} (python cli.py --debug ... shows where)", file=sys.stderr)
        raise typer.Exit(SOME_FAILED) from None


def _set_backend(requested: str | None) -> None:
    """Has to run before Keras is imported for the first time."""
    backend = requested or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        raise UsageError(f"--backend is {backend}; it must be one of {', '.join(BACKENDS)}")
    if importlib.util.find_spec(backend) is None:
        raise UsageError(f"--backend {backend} is not installed; pip install {backend}, or choose another backend")
    os.environ["KERAS_BACKEND"] = backend
    if backend == "tensorflow":
        _import_quietly("tensorflow")


def _import_quietly(module: str) -> None:
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


def _print(text: str) -> None:
    print(text.encode(errors="backslashreplace").decode(), file=sys.__stdout__)  # of file names that are not UTF-8


def _print_json(document: dict[str, Any]) -> None:
    _print(json.dumps(document, indent=2, allow_nan=False))


def _exit(done: Any, failed: Any) -> None:
    if failed:
        raise typer.Exit(SOME_FAILED if done else WRONG_USE)


if __name__ == "__main__":
    app()
