import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busi_keras.config import (
    APPROACHES,
    BACKBONES,
    CHOICES,
    CLASSES,
    LARGEST_SEED,
    PRECISIONS,
    PROTOCOLS,
    Experiment,
)
from busi_keras.errors import UsageError

experiments = st.builds(
    Experiment,
    approach=st.sampled_from(APPROACHES),
    data=st.text(),
    backbone=st.sampled_from(BACKBONES),
    weights=st.sampled_from(["none", "imagenet", "mobilenet.weights.h5"]),
    image_size=st.integers(1, 16).map(lambda steps: 32 * steps),
    epochs=st.integers(5, 100),
    frozen_epochs=st.integers(0, 5),
    learning_rate=st.floats(1e-6, 1),
    protocol=st.sampled_from(PROTOCOLS),
    fold=st.integers(0, 4),
    seed=st.integers(0, LARGEST_SEED),
    limit=st.none() | st.integers(1, 780),
    augment=st.floats(0, 2),
    precision=st.sampled_from(PRECISIONS),
)


def test_classes_stand_in_the_order_of_the_contract() -> None:
    assert CLASSES == ("benign", "malignant", "normal")


@settings(max_examples=40, deadline=None)
@given(experiments)
def test_an_experiment_comes_back_from_its_json(experiment: Experiment) -> None:
    text = experiment.to_json()
    assert Experiment.from_json(text) == experiment
    assert json.loads(text) == asdict(experiment)


@settings(max_examples=40, deadline=None)
@given(experiments, experiments)
def test_differences_name_each_field_that_differs_and_no_other(first: Experiment, second: Experiment) -> None:
    before, after = asdict(first), asdict(second)
    if not (first.weights_fingerprint and second.weights_fingerprint):
        del before["weights_fingerprint"]
    assert first.differences(second) == [
        f"{field} {before[field]}, not {after[field]}" for field in before if before[field] != after[field]
    ]
    assert first.differences(first) == []


def test_weights_files_are_told_apart_by_name_and_not_by_folder() -> None:
    here = Experiment("multitask", "BUSI", weights="/home/ada/net.weights.h5")
    assert here.differences(replace(here, weights="net.weights.h5")) == []
    assert here.differences(replace(here, weights="/home/ada/other.h5")) == ["weights net.weights.h5, not other.h5"]
    known = replace(here, weights_fingerprint="0123")
    assert known.differences(replace(here, weights="net.weights.h5")) == []  # of a version that had none
    assert known.differences(replace(known, weights_fingerprint="4567")) == ["weights_fingerprint 0123, not 4567"]


def test_a_data_sets_name_does_not_count_where_its_files_are_the_same() -> None:
    here = Experiment("multitask", "Dataset_BUSI_with_GT", fingerprint="0123")
    assert here.differences(replace(here, data="busi")) == []
    assert here.differences(replace(here, data="phantom")) == ["data Dataset_BUSI_with_GT, not phantom"]
    assert here.differences(replace(here, data="busi", fingerprint="")) == [
        "data Dataset_BUSI_with_GT, not busi",
        "fingerprint 0123, not ",
    ]


def test_a_difference_reads_as_a_phrase() -> None:
    asked = Experiment("multitask", "phantom", epochs=15, seed=1)
    assert asked.differences(replace(asked, epochs=30, seed=2)) == ["epochs 15, not 30", "seed 1, not 2"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"approach": "one-stage"}, "--approach is 'one-stage'; it must be one of two-stage, multitask, multitask-cnn"),
        ({"backbone": "vgg16"}, f"--backbone is 'vgg16'; it must be one of {', '.join(CHOICES['backbone'])}"),
        ({"segmenter": "u-net"}, "--segmenter is 'u-net'; it must be one of unet, attention-unet"),
        (
            {"protocol": "random"},
            "--protocol is 'random'; it must be one of grouped, seed, kfold, leaky, lesion-70-30, external",
        ),
        ({"precision": "float16"}, "--precision is 'float16'; it must be one of float32, mixed_bfloat16"),
        ({"backend": "theano"}, "--backend is 'theano'; it must be one of tensorflow, jax, torch"),
        ({"mask_loss": "iou"}, "--mask-loss is 'iou'; it must be one of bce, dice-bce, dice-boundary"),
        ({"image_size": 100}, "--image-size is 100; it must be a positive multiple of 32, such as 224"),
        ({"image_size": 0}, "--image-size is 0; it must be a positive multiple of 32, such as 224"),
        ({"image_size": -32}, "--image-size is -32; it must be a positive multiple of 32, such as 224"),
        ({"width": 0}, "--width is 0; it must be at least 1"),
        ({"batch_size": 0}, "--batch-size is 0; it must be at least 1"),
        ({"epochs": 0}, "--epochs is 0; it must be at least 1"),
        ({"patience": 0}, "--patience is 0; it must be at least 1"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0; it must be above 0 and finite"),
        ({"average": 1.0}, "--average is 1.0; it must be at least 0 and below 1, such as 0.99"),
        ({"encoder_rate": 0.0}, "--encoder-rate is 0.0; it must be above 0 and finite"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan; it must be above 0 and finite"),
        ({"mask_weight": -1.0}, "--mask-weight is -1.0; it must be at least 0 and finite"),
        ({"label_weight": -0.5}, "--label-weight is -0.5; it must be at least 0 and finite"),
        ({"augment": float("inf")}, "--augment is inf; it must be at least 0 and finite"),
        ({"augment": -1.0}, "--augment is -1.0; it must be at least 0 and finite"),
        ({"folds": 1}, "--folds is 1; it must be at least 2"),
        ({"fold": 5}, "--fold is 5; it must be from 0 to 4 with --folds 5"),
        ({"fold": -1}, "--fold is -1; it must be from 0 to 4 with --folds 5"),
        ({"seed": -1}, "--seed is -1; it must be from 0 to 2147483647"),
        ({"seed": 2**31 - 2, "members": 3}, "--seed is 2147483646; it must be from 0 to 2147483645"),
        ({"limit": 0}, "--limit is 0; it must be at least 1"),
        (
            {"attention_gates": True},
            "--attention-gates is True; it must be left out: it is of multitask-cnn's decoder alone",
        ),
        (
            {"approach": "two-stage", "deep_supervision": True},
            "--deep-supervision is True; it must be left out: it is of multitask-cnn's decoder alone",
        ),
        ({"members": 0}, "--members is 0; it must be at least 1"),
        (
            {"approach": "two-stage", "members": 2},
            "--members is 2; it must be 1 in two-stage: an ensemble is of multi-task networks",
        ),
        ({"heat_map_weight": -0.1}, "--heat-map-weight is -0.1; it must be at least 0 and finite"),
        (
            {"approach": "two-stage", "heat_map_weight": 0.5},
            "--heat-map-weight is 0.5; it must be 0 in two-stage, which classifies the lesion",
        ),
        ({"epochs": 3, "frozen_epochs": 4}, "--frozen-epochs is 4; it must be from 0 to 3 (--epochs)"),
    ],
)
def test_a_wrong_value_is_refused_under_its_options_name(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        Experiment(**{"approach": "multitask", "data": "phantom", **wrong})
    assert str(refusal.value) == message


@pytest.mark.parametrize("approach", APPROACHES)
def test_the_defaults_hold_for_every_approach(approach: str) -> None:
    experiment = Experiment(approach, "phantom")
    assert not experiment.pretrained
    assert replace(experiment, weights="imagenet").pretrained


def test_a_stored_experiment_is_read(tmp_path: Path) -> None:
    experiment = Experiment("two-stage", "Dataset_BUSI_with_GT", limit=40)
    (tmp_path / "experiment.json").write_text(experiment.to_json())
    assert Experiment.read(tmp_path / "experiment.json") == experiment


def test_an_experiment_of_a_version_with_fewer_options_is_the_same(tmp_path: Path) -> None:
    fields = asdict(Experiment("multitask", "phantom")) | {"augment": True}
    later = ("average", "class_balance", "attention_gates", "deep_supervision", "gradual_unfreezing", "members")
    for added in (*later, "heat_map_weight", "choose_by"):
        del fields[added]
    (tmp_path / "experiment.json").write_text(json.dumps(fields))
    assert Experiment.read(tmp_path / "experiment.json") == Experiment("multitask", "phantom")


def test_a_folder_or_file_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run: it has no experiment\.json; name a folder made by `train`"):
        Experiment.read(tmp_path / "experiment.json")
    (tmp_path / "model.keras").touch()
    with pytest.raises(UsageError, match=r"model\.keras is not a run"):
        Experiment.read(tmp_path / "model.keras" / "experiment.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"approach": "multitask", "data": "x", "colour": 1}', "ÿ"])
def test_a_damaged_experiment_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "experiment.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(UsageError, match=r"experiment\.json is not an experiment"):
        Experiment.read(tmp_path / "experiment.json")


def test_an_experiment_of_a_version_with_more_choices_is_named(tmp_path: Path) -> None:
    stored = asdict(Experiment("multitask", "phantom")) | {"backbone": "resnet500"}
    (tmp_path / "experiment.json").write_text(json.dumps(stored))
    with pytest.raises(UsageError, match=r"experiment\.json is not of this version: --backbone is 'resnet500'"):
        Experiment.read(tmp_path / "experiment.json")
