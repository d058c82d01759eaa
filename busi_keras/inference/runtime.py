"""The library that runs a format: imported when a file needs it, and named where it is missing."""

import importlib
from pathlib import Path
from types import ModuleType

from busi_keras.errors import UsageError, first_line


def import_runtime(module: str, package: str, needed_by: Path) -> ModuleType:
    """A library.

    Args:
        module: its name in Python.
        package: what pip calls it.
        needed_by: the file that is run with it.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise  # it is there, but something that it needs is not
        raise UsageError(f"{needed_by} needs {package}, which is not installed; pip install {package}") from None


def unreadable(path: Path, export_format: str, error: Exception) -> UsageError:
    """What to tell of a file that its library cannot read: damaged, cut short, or something else altogether."""
    if not path.exists():
        return UsageError(f"{path} does not exist; make it: python cli.py export RUN --format {export_format}")
    return UsageError(
        f"{path} is damaged, or not in {export_format} format ({first_line(error)}); "
        f"make it again: python cli.py export RUN --format {export_format}"
    )
