"""Exporting needs TensorFlow, whatever backend the network was trained on, so it runs in a process of its own."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

from busi_keras.errors import UsageError


def run_under_tensorflow(module: str, model_file: Path, target: Path, *arguments: str) -> list[str]:
    """Runs `python -m MODULE MODEL TARGET ARGUMENTS` with the TensorFlow backend, on the CPU.

    Args:
        module: of this package; it ends with `sys.exit(MESSAGE)` where it fails.
        target: what is written; for the message.

    Returns:
        What the module printed, its lines.

    Raises:
        UsageError: TensorFlow is not installed, or the module failed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise UsageError(
            f"exporting {model_file} needs TensorFlow, whatever backend trained it; pip install 'tensorflow==2.21.*'"
        )
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    project = Path(__file__).resolve().parents[2]
    environment["PYTHONPATH"] = os.pathsep.join([str(project), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", module, str(model_file.resolve()), str(target.resolve()), *arguments]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if finished.returncode:
        if "No space left on device" in finished.stderr or "the disk is full" in finished.stderr:
            raise UsageError(f"the disk is full, so {target} was not written; free some space and export again")
        if finished.returncode < 0:
            raise UsageError(
                f"exporting {model_file} was killed by signal {-finished.returncode}, perhaps for lack of memory; "
                f"close other programs and run python cli.py export {model_file}"
            )
        reason = (finished.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"{model_file} could not be exported to {target}: {reason}")
    return finished.stdout.splitlines()
