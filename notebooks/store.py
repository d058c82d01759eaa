"""Runs the notebooks on phantoms and stores their outputs: small figures, no times, nothing of what TensorFlow logs.

python notebooks/store.py [notebooks/1_segmentation_unet.ipynb ...]
"""

import re
import shutil
import sys
from base64 import b64decode, b64encode
from io import BytesIO
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).resolve().parent
LOGGED = re.compile(r"(WARNING: All log messages before absl|WARNING:tensorflow:|[IWE]0000 ).*\n")
WIDTH = 1100
"""Of a stored figure, in pixels, at most; notebooks show them 950 wide."""


def store(path: Path) -> None:
    """Runs one notebook in its folder and writes it back."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=1200,
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream":
                output.text = LOGGED.sub("", output.text)
            elif "image/png" in output.get("data", {}):
                output.data["image/jpeg"] = _smaller(output.data.pop("image/png"))
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.output_type != "stream" or one.text.strip()]
    nbformat.write(notebook, path)


def _smaller(encoded: str) -> str:
    """A figure in base64, from PNG to JPEG, no wider than `WIDTH`."""
    image = Image.open(BytesIO(b64decode(encoded))).convert("RGB")
    image.thumbnail((WIDTH, image.height))
    written = BytesIO()
    image.save(written, "JPEG", quality=88, optimize=True)
    return b64encode(written.getvalue()).decode()


if __name__ == "__main__":
    for run in FOLDER.parent.glob("runs/notebooks/*-phantom"):
        shutil.rmtree(run)  # else a finished notebook would train nothing
    for chosen in map(Path, sys.argv[1:] or sorted(FOLDER.glob("*.ipynb"))):
        store(chosen)
        print(f"stored {chosen.name}")
