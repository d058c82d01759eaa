"""Wrong use of the command line ends in one line that says what is wrong and what would be right."""

from pathlib import Path

import pytest

from cli import app

WRONG = {
    "approach": (["train", "--approach", "three-stage"], "--approach is 'three-stage'; it must be one of two-stage"),
    "size": (["train", "--image-size", "100"], "--image-size is 100; it must be a positive multiple of 32"),
    "backbone": (["train", "--backbone", "vgg16"], "--backbone is 'vgg16'; it must be one of resnet50, mobilenet-v2, "),
    "backend": (["train", "--backend", "mxnet"], "--backend is mxnet; it must be one of tensorflow, jax, torch"),
    "weight": (["train", "--label-weight", "0"], "--label-weight is 0, and the label head would learn nothing"),
    "weight of two stages": (
        ["train", "--approach", "two-stage", "--mask-weight", "3"],
        "--mask-weight is 3.0, but in two-stage each network has but one loss; leave it out",
    ),
    "balance": (
        ["train", "--class-balance", "--class-weighting"],
        "--class-balance and --class-weighting both favour rare classes; leave one out",
    ),
    "backend of no use": (
        ["predict", "cli.py", "--model", "model.onnx", "--backend", "jax"],
        "--backend is jax, but this model does not run in Keras here; leave it out",
    ),
    "fold": (["train", "--fold", "7"], "--fold is 7; it must be from 0 to 4"),
    "folder": (
        ["train", "--data", "nowhere"],
        "nowhere is not a folder; name one that holds benign, malignant, normal",
    ),
    "weights": (["train", "--weights", "none.h5"], "--weights none.h5: no such file"),
    "run": (["evaluate", "nowhere"], "nowhere is not a run"),
    "path": (["predict", "nowhere.png"], "nowhere.png does not exist"),
    "count": (["data", "phantom", "--count", "2"], "--count is 2"),
    "groups": (["data", "groups", "nowhere"], "nowhere is not a folder"),
    "method": (["gradcam", "cli.py", "--method", "lime"], "--method is lime; it must be one of gradcam, gradcam++"),
    "target": (["gradcam", "cli.py", "--target", "cyst"], "--target is cyst; it must be one of predicted, benign"),
    "perturb": (["evaluate", "nowhere", "--perturb", "-1"], "--perturb is -1; it must be at least 0"),
    "colours": (["gradcam", "cli.py", "--colour-map", "hot"], "--colour-map is hot; it must be one of viridis"),
    "format": (["export", "runs/first", "--format", "tarball"], "--format is tarball"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_ends_in_one_line_and_exit_code_2(
    case: str,
    tmp_path: Path,
    phantom_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In this process, which has Keras loaded already."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    arguments, message = WRONG[case]
    if arguments[0] == "train" and "--data" not in arguments:
        arguments = [*arguments, "--data", str(phantom_folder)]
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    assert ended.value.code == 2
    printed = capfd.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in printed.err
    assert printed.out == ""
    assert not any(tmp_path.iterdir())
