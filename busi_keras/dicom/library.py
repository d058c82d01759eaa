"""pydicom and highdicom: imported late, and kept quiet, for what they say of a file may name a patient."""

import importlib
import logging
import warnings
from types import ModuleType

from busi_keras.errors import UsageError

REQUIREMENTS = "requirements-dicom.txt"
_TALKATIVE = ("pydicom", "highdicom", "pylibjpeg", "libjpeg", "openjpeg")


def pydicom(module: str = "pydicom") -> ModuleType:
    """pydicom, or a module of it.

    Raises:
        UsageError: it is not installed.
    """
    return _library(module, "reading and writing DICOM")


def highdicom(module: str = "highdicom") -> ModuleType:
    """highdicom, or a module of it.

    Raises:
        UsageError: it is not installed.
    """
    return _library(module, "writing DICOM")


def quieten() -> None:
    """Keeps them quiet; before threads start, in which another filter of warnings could displace this one."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=rf"({'|'.join(_TALKATIVE)})\b")


def _library(module: str, purpose: str) -> ModuleType:
    quieten()
    try:
        return importlib.import_module(module)
    except ImportError:
        missing = module.split(".")[0]
        raise UsageError(f"{purpose} needs {missing}, which is not installed; pip install -r {REQUIREMENTS}") from None
