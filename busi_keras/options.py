"""Options that commands share, each named once, with its type, help text and default."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

Backend = Annotated[
    str | None,
    typer.Option(help="tensorflow, jax or torch.", show_default="$KERAS_BACKEND, else tensorflow"),
]
Data = Annotated[
    str,
    typer.Option(
        help="auto (BUSI if available: $BUSI_DATA_DIR, data/, kagglehub's cache, a download; else phantoms; when "
        "resuming, the folder it began with), phantom, or a FOLDER in BUSI's layout."
    ),
]
DataOfRun = Annotated[
    str,
    typer.Option(help="auto (the folder that it was trained on), phantom, or a FOLDER in BUSI's layout."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, nothing else there.")]
Model = Annotated[
    Path | None,
    typer.Option(
        help="A run folder, a .keras file, a SavedModel's folder, or an .onnx, .xml (OpenVINO) or .tflite file.",
        show_default="the newest run",
    ),
]

Backbone = Annotated[
    str | None,
    typer.Option(
        help="resnet50, mobilenet-v2, efficientnet-lite0 or efficientnet-lite2.",
        show_default="resnet50",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="What the backbone starts from: auto (ImageNet where at hand or downloadable, else none), imagenet, "
        "none, or a weights FILE; or a .keras FILE of the same network, to start all of it from.",
        show_default="auto",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(help="Side of the network's square input in pixels.", show_default="224; 256 in lesion-70-30"),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Images per training step.", show_default="16; for phantoms on a CPU 8")
]
Epochs = Annotated[
    int | None,
    typer.Option(help="Maximum number of epochs per stage.", show_default="by data and device; printed at the start"),
]
Folds = Annotated[int | None, typer.Option(help="Folds of kfold and leaky; lesion-70-30 has 3.", show_default="5")]
Segmenter = Annotated[str | None, typer.Option(help="unet or attention-unet, in two-stage.", show_default="unet")]
Width = Annotated[int | None, typer.Option(help="Channels of the U-Net's first level.", show_default="64")]
LearningRate = Annotated[float | None, typer.Option(help="Peak of the cosine schedule.", show_default="1e-3")]
EncoderRate = Annotated[
    float | None,
    typer.Option(help="Factor on the learning rate of a pretrained encoder.", show_default="0.3"),
]
Average = Annotated[
    float | None,
    typer.Option(help="Momentum of a moving average of the weights, such as 0.99.", show_default="0: none"),
]
ChooseBy = Annotated[
    str | None,
    typer.Option(
        help="What the epoch is chosen by, on validation: dice-accuracy (the mean of both) or iou (masks alone).",
        show_default="dice-accuracy; iou in lesion-70-30",
    ),
]
Patience = Annotated[
    int | None, typer.Option(help="Stop after this many epochs without improvement on validation.", show_default="12")
]
MaskLoss = Annotated[
    str | None,
    typer.Option(
        help="bce, dice-bce (Dice + BCE) or dice-boundary (Dice + BCE in which the boundary counts most).",
        show_default="dice-bce",
    ),
]
MaskWeight = Annotated[float | None, typer.Option(help="Weight of the mask loss (not in two-stage).", show_default="1")]
LabelWeight = Annotated[
    float | None, typer.Option(help="Weight of the class loss (not in two-stage).", show_default="1")
]
HeatMapWeight = Annotated[
    float | None,
    typer.Option(help="Weight of the loss on the true class's heat map outside the lesion.", show_default="0"),
]
ClassWeighting = Annotated[
    bool, typer.Option("--class-weighting", help="Weigh each class by the inverse of its frequency.")
]
ClassBalance = Annotated[bool, typer.Option("--class-balance", help="Draw each class equally often.")]
Augment = Annotated[
    float | None, typer.Option(help="Strength of the augmentation; 0 for none, 1.5 for strong.", show_default="1")
]
AttentionGates = Annotated[
    bool, typer.Option("--attention-gates", help="Gate the skips of multitask-cnn's decoder by attention.")
]
DeepSupervision = Annotated[
    bool,
    typer.Option("--deep-supervision", help="Every step of multitask-cnn's decoder gives a mask; their logits add up."),
]
GradualUnfreezing = Annotated[
    bool,
    typer.Option(
        "--gradual-unfreezing", help="Unfreeze a pretrained backbone from coarse to fine, one level per epoch."
    ),
]
Members = Annotated[
    int | None,
    typer.Option(help="Networks of an ensemble, each from its own seed; stored as one model.", show_default="1"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave broken images out instead of refusing to train.")]
Limit = Annotated[int | None, typer.Option(help="Use only this many images, stratified by class.", show_default="all")]
Seed = Annotated[int | None, typer.Option(help="Seed of split, weights, order and augmentation.", show_default="42")]
Precision = Annotated[
    str | None,
    typer.Option(help="auto (mixed_bfloat16 on a GPU, else float32), float32 or mixed_bfloat16.", show_default="auto"),
]


def _experiment(
    segmenter: Segmenter = None,
    backbone: Backbone = None,
    weights: Weights = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    epochs: Epochs = None,
    folds: Folds = None,
    seed: Seed = None,
    width: Width = None,
    learning_rate: LearningRate = None,
    encoder_rate: EncoderRate = None,
    average: Average = None,
    choose_by: ChooseBy = None,
    patience: Patience = None,
    mask_loss: MaskLoss = None,
    mask_weight: MaskWeight = None,
    label_weight: LabelWeight = None,
    heat_map_weight: HeatMapWeight = None,
    class_weighting: ClassWeighting = False,
    class_balance: ClassBalance = False,
    augment: Augment = None,
    attention_gates: AttentionGates = False,
    deep_supervision: DeepSupervision = False,
    gradual_unfreezing: GradualUnfreezing = False,
    members: Members = None,
    skip_bad: SkipBad = False,
    limit: Limit = None,
    precision: Precision = None,
) -> None:
    """Whose parameters are the options that determine what is trained, in the order of `--help`."""


def takes_experiment(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options that determine what is trained, in the place of its parameter `given`.

    There it finds the fields of `Experiment` by name; None for what was not asked for, as a switch that is off.
    """
    own, shared = inspect.signature(command), inspect.signature(_experiment).parameters

    @functools.wraps(command)
    def with_options(**arguments: Any) -> None:
        asked = {name: arguments.pop(name) for name in shared}
        command(given={name: None if value is False else value for name, value in asked.items()}, **arguments)

    parameters: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        parameters.extend(shared.values() if name == "given" else [parameter])
    everything = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    with_options.__signature__ = own.replace(parameters=everything)  # type: ignore[attr-defined]
    return with_options
