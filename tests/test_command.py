"""How a command sets up its backend, in processes of their own: TensorFlow reads its settings once."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from busi_keras.command import X86

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif(platform.machine() not in X86, reason="elsewhere TensorFlow's own choice stands")
@pytest.mark.parametrize(("wanted", "expected"), [({}, True), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, False)])
def test_training_uses_onednn_on_each_processor_unless_told_not_to(wanted: dict[str, str], expected: bool) -> None:
    code = (
        "from busi_keras.command import set_backend; set_backend('tensorflow', trains=True); "
        "import tensorflow as tf; tf.nn.conv2d(tf.ones((1, 8, 8, 8)), tf.ones((3, 3, 8, 8)), 1, 'SAME')"
    )
    unset = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
        env=unset | wanted | {"ONEDNN_VERBOSE": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert ("exec,cpu,convolution" in done.stdout) == expected


def test_a_name_that_the_terminal_cannot_show_is_escaped() -> None:
    code = "from busi_keras.command import print_text; print_text('M\\u00fcller \\udcfc.png')"
    shown = {"ascii": b"M\\xfcller \\udcfc.png\n", "utf-8": "Müller \\udcfc.png\n".encode()}
    for encoding, expected in shown.items():
        environment = os.environ | {"PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, env=environment)
        assert done.stdout == expected, done.stderr
