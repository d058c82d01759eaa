"""The `multitask` network in plain PyTorch: the peer that training speed is measured against.

Layer for layer what `busi_keras.models.build_multitask` builds: ResNet50 as in `keras.applications` (v1, He et al.,
CVPR 2016: the stride in a block's first convolution, and biases), an upsample-and-convolve decoder, two heads.
"""

import torch
from torch import nn

STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Of ResNet50: inner channels, blocks, stride of the first block."""
EXPANSION = 4
DECODER_CHANNELS = (256, 128, 64, 32, 16)
IMAGENET_BGR_MEANS = (103.939, 116.779, 123.68)
CLASSES = 3
DROPOUT = 0.2


class Multitask(nn.Module):
    """RGB float32 `(batch, 3, S, S)`, 0-255 -> mask logits `(batch, 1, S, S)` and label logits `(batch, 3)`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("means", torch.tensor(IMAGENET_BGR_MEANS).view(1, 3, 1, 1))
        self.encoder = _resnet50()
        self.mask_head = _decoder(STAGES[-1][0] * EXPANSION)
        self.label_head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(DROPOUT), nn.Linear(STAGES[-1][0] * EXPANSION, CLASSES)
        )

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.encoder(images.flip(1) - self.means)
        return self.mask_head(features), self.label_head(features)


class Bottleneck(nn.Module):
    """Three convolutions beside a shortcut; `project` where the shortcut must change shape."""

    def __init__(self, channels_in: int, channels: int, stride: int, project: bool) -> None:
        super().__init__()
        channels_out = channels * EXPANSION
        self.residual = nn.Sequential(
            *_convolution(channels_in, channels, 1, stride),
            nn.ReLU(inplace=True),
            *_convolution(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            *_convolution(channels, channels_out, 1),
        )
        shortcut = _convolution(channels_in, channels_out, 1, stride) if project else [nn.Identity()]
        self.shortcut = nn.Sequential(*shortcut)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.residual(x) + self.shortcut(x))


def _resnet50() -> nn.Sequential:
    channels = STAGES[0][0]
    parts = [*_convolution(3, channels, 7, stride=2, padding=3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, padding=1)]
    for width, blocks, stride in STAGES:
        for index in range(blocks):
            parts.append(Bottleneck(channels, width, stride if index == 0 else 1, project=index == 0))
            channels = width * EXPANSION
    return nn.Sequential(*parts)


def _decoder(channels: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for count in DECODER_CHANNELS:
        parts += [
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(channels, count, 3, padding=1, bias=False),
            nn.BatchNorm2d(count, eps=1e-3),
            nn.ReLU(inplace=True),
        ]
        channels = count
    return nn.Sequential(*parts, nn.Conv2d(channels, 1, 1))


def _convolution(channels_in: int, channels: int, kernel: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    return [nn.Conv2d(channels_in, channels, kernel, stride, padding), nn.BatchNorm2d(channels, eps=1.001e-5)]
