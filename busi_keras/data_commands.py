"""`python cli.py data ...`: get and look at images."""

from pathlib import Path
from typing import Annotated

import typer

from busi_keras.command import SOME_FAILED, exit_with, messages, print_json, print_text
from busi_keras.options import AsJson

data_app = typer.Typer(help="Get and look at images.", no_args_is_help=True, rich_markup_mode=None)


@data_app.command("download")
def data_download() -> None:
    """Download BUSI from Kaggle through kagglehub; public, no account."""
    with messages():
        from busi_keras.data.source import download

        source = download()
        print_text(f"{len(source.records())} images in {source.folder}; use them with --data {source.folder}")


@data_app.command("phantom")
def data_phantom(
    count: Annotated[int, typer.Option(help="Number of images, all classes together.")] = 160,
    output: Annotated[Path, typer.Option(help="A new folder.")] = Path("data/phantoms"),
    size: Annotated[int, typer.Option(help="Longer side of the images in pixels.")] = 256,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.")] = 0,
) -> None:
    """Make synthetic ultrasound images with exact masks, in BUSI's layout."""
    with messages():
        from busi_keras.data.phantom_set import write_phantoms

        write_phantoms(output, count, seed, size)
        print_text(f"{count} phantoms in {output}; use them with --data {output}")


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
    with messages():
        from busi_keras.workflows.from_dicom import convert_folder

        result = convert_folder(folder, labels, output, every, allow_burnt_in)
        if as_json:
            print_json(result.to_json())
        else:
            print_text(result.summary(output))
        exit_with(result.done, result.failed)


@data_app.command("groups")
def data_groups(
    folder: Annotated[Path, typer.Argument(help="A folder in BUSI's layout.")],
    as_json: AsJson = False,
) -> None:
    """List groups of near-duplicate images: another crop, size, gain, annotation or flip of one frame."""
    with messages():
        from busi_keras.workflows.data_set import find_groups

        found = find_groups(folder)
        if as_json:
            print_json({"groups": found})
        else:
            for group in found:
                print_text(", ".join(group))
            print_text(f"{len(found)} groups, {sum(map(len, found))} images")


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
    with messages():
        from busi_keras.workflows.audit import audit_folder

        audited = audit_folder(folder, output, split)
        if as_json:
            print_json(audited.to_json())
        else:
            print_text(audited.summary())
        if audited.audit.distorts:
            raise typer.Exit(SOME_FAILED)
