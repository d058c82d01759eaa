"""A SavedModel for TF Serving: image bytes in; class, probabilities, mask and heat map at the image's own size out.

Exporting needs TensorFlow, whatever backend the network was trained on, so it runs in a process of its own:
`python -m busi_keras.export.saved_model MODEL.keras FOLDER NAME`.
"""

import importlib.util
import logging
import sys
import tempfile
from pathlib import Path

from busi_keras.card import CARD_FILE, MODEL_CARD_FILE, read_card
from busi_keras.config import CLASSES
from busi_keras.errors import UsageError
from busi_keras.export.process import run_under_tensorflow
from busi_keras.files import add_numbered_folder, write_text
from busi_keras.report.model_card import model_card

LABELS_FILE = "labels.txt"
log = logging.getLogger(__name__)


def export_saved_model(model_file: Path, folder: Path) -> Path:
    """Writes the next version of a SavedModel: `folder/1`, `folder/2`, ...

    A version appears at once, by a rename: TF Serving polls the folder. Two exports at once get two numbers. Where the
    messages of TF Serving are not installed, warm-up requests are left out, and a line on the log says so.

    Args:
        model_file: a `.keras` file with its card.
        folder: the served model's folder, such as `saved_models/multitask`.

    Returns:
        The version's folder.

    Raises:
        UsageError: TensorFlow is not installed, the file is no network of this project, or the folder cannot be
            written.
    """
    read_card(model_file)
    return add_numbered_folder(folder, lambda part: _export(model_file, part, folder))


def write_saved_model(model_file: Path, folder: Path, name: str) -> None:
    """Fills a folder with a SavedModel; its signatures are described in `saved_models/README.md`.

    Runs under the TensorFlow backend.

    Args:
        model_file: a `.keras` file with its card.
        folder: an empty folder.
        name: under which the model is served.

    Raises:
        UsageError: the file is no network of this project.
    """
    from busi_keras.export.signatures import ServedNetwork
    from busi_keras.export.warm_up import WARM_UP_FILE, write_warm_up
    from busi_keras.inference.engines.keras import KerasEngine

    card = read_card(model_file)
    with tempfile.TemporaryDirectory() as temporary:
        contents = {LABELS_FILE: "".join(f"{label}\n" for label in CLASSES), CARD_FILE: card.to_json()}
        assets = [Path(temporary) / name for name in contents]
        for asset in assets:
            asset.write_text(contents[asset.name], encoding="utf-8")
        ServedNetwork(KerasEngine.load(model_file).network, card).save(folder, assets)
    write_text(folder / "assets.extra" / MODEL_CARD_FILE, model_card(card))
    if importlib.util.find_spec("tensorflow_serving"):
        write_warm_up(folder / "assets.extra" / WARM_UP_FILE, name, card)
    else:
        print("no warm-up requests are exported: tensorflow-serving-api is missing (requirements-serving.txt)")


def _export(model_file: Path, part: Path, folder: Path) -> None:
    module = "busi_keras.export.saved_model"
    for notice in run_under_tensorflow(module, model_file, part, folder.resolve().name):
        log.warning(notice)


if __name__ == "__main__":
    try:
        write_saved_model(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except (UsageError, ImportError) as error:
        sys.exit(str(error))
