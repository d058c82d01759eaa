"""The command line: each command parses its options and calls a workflow; how it runs is in `busi_keras.command`."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from busi_keras import __version__
from busi_keras.card import RESEARCH_USE
from busi_keras.command import (
    DONE,
    exit_with,
    messages,
    print_json,
    print_text,
    set_backend,
    set_backend_for,
    whole_tracebacks,
)
from busi_keras.data_commands import data_app
from busi_keras.options import AsJson, Backend, Data, DataOfRun, Model, takes_experiment

app = typer.Typer(
    help="Breast-ultrasound analysis on BUSI: segment, classify, explain, serve. Research use, not a diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit(DONE)


@app.callback()
def main(
    debug: Annotated[bool, typer.Option(help="Show the whole traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    whole_tracebacks["wanted"] = debug
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
    with messages():
        set_backend(backend, trains=True)
        from busi_keras.workflows.train import run_training

        trained = run_training(given, data, run_dir, resume, export=export, tensorboard=tensorboard)
        if as_json:
            print_json(trained.to_json())
        else:
            print_text(trained.summary())
        exit_with(trained, trained.export_error)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder made by train.")],
    split: Annotated[
        str, typer.Option(help="auto (test where there is one, else validation), train, validation or test.")
    ] = "auto",
    data: DataOfRun = "auto",
    backend: Backend = None,
    perturb: Annotated[
        int,
        typer.Option(help="Images per class on which heat maps are also tested by deletion, insertion, randomization."),
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Score a run on one part of its split and rewrite its report."""
    with messages():
        set_backend(backend, trains=True)
        from busi_keras.workflows.evaluate import evaluate_run

        evaluation = evaluate_run(run, split, data, perturb)
        if as_json:
            print_json(evaluation.to_json())
        else:
            print_text(evaluation.summary())


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
    """Train and score every fold of a protocol, with intervals; if stopped, repeat the command and it continues."""
    given |= {"approach": approach, "protocol": protocol}
    with messages():
        set_backend(backend, trains=True)
        from busi_keras.workflows.study import run_study

        found = run_study(given, data, output, external)
        if as_json:
            print_json(found.study.to_json())
        else:
            print_text(f"{found.summary()}\n\n{RESEARCH_USE}")


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="A study's folder.")],
    second: Annotated[Path, typer.Argument(help="Another's, on the same images.")],
    data: DataOfRun = "auto",
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
    resamples: Annotated[int, typer.Option(help="Number of bootstrap resamples.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """Say which of two studies is better in which score, by paired bootstrap over groups of near-duplicates."""
    with messages():
        from busi_keras.report.comparison_table import comparison_table
        from busi_keras.workflows.compare import compare as compare_folders

        comparison = compare_folders(first, second, data, common, resamples, duplicated)
        if as_json:
            print_json(comparison.to_json())
        else:
            print_text(f"{comparison_table(comparison)}\n\n{RESEARCH_USE}")


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
    allow_burnt_in: Annotated[
        bool,
        typer.Option(
            "--allow-burnt-in",
            help="Draw overlays of DICOM files on the image even where a name may be visible in it.",
        ),
    ] = False,
    flips: Annotated[
        bool,
        typer.Option(
            "--flips",
            help="Average each image with its mirror image: with one network fewer false positives, twice the time.",
        ),
    ] = False,
    backend: Backend = None,
    as_json: AsJson = False,
) -> None:
    """Segment and classify images. Research use, not a diagnosis."""
    with messages():
        set_backend_for(model, backend, server)
        from busi_keras.workflows.predict import predict_paths

        result = predict_paths(
            model, paths, output, server, dicom_output, every, flips=flips, allow_burnt_in=allow_burnt_in
        )
        if as_json:
            print_json(result.to_json())
        else:
            print_text(result.summary(output))
        exit_with(result.done, result.failed)


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
    max_upload: Annotated[int, typer.Option(help="Largest file accepted, in megabytes.")] = 256,
    backend: Backend = None,
) -> None:
    """Open a page on this machine: drop images, see what, where, how sure and why. Research use, not a diagnosis."""
    with messages():
        set_backend_for(model, backend)
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
    with messages():
        set_backend(backend)
        from busi_keras.workflows.gradcam import explain_paths

        result = explain_paths(model, images, output, mask, target, method, figure_format, colour_map)
        if as_json:
            print_json(result.to_json())
        else:
            print_text(result.summary())
        exit_with(result.done, result.failed)


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
            help="For a SavedModel, the model's folder (a new version goes inside it); otherwise the file.",
            show_default="saved_models/APPROACH, or RUN/model.onnx, .xml, _int8.xml, _int8_avx2.xml, .tflite",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(help="Images for int8: auto (the folder that the run was trained on), phantom, or a FOLDER."),
    ] = "auto",
    as_json: AsJson = False,
) -> None:
    """Write a model for production, for TF Serving or for an engine, whatever backend the run was trained on."""
    with messages():
        from busi_keras.workflows.export import export_run

        exported = export_run(run, export_format, output, data)
        if as_json:
            print_json({"exported": str(exported)})
        else:
            print_text(f"{export_format} written to {exported}")


if __name__ == "__main__":
    app()
