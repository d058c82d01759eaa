import os
from pathlib import Path

import pytest

from busi_keras.data.phantom_set import write_phantoms


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("BUSI_DATA_DIR"):
        return
    skip = pytest.mark.skip(reason="needs real BUSI: set BUSI_DATA_DIR to the folder of benign, malignant and normal")
    for item in items:
        if "busi" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def phantom_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 phantoms of 64 px in BUSI's layout; not to be written to."""
    folder = tmp_path_factory.mktemp("data") / "phantoms"
    write_phantoms(folder, 48, seed=0, size=64)
    return folder
