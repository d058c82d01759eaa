"""Phantoms to click on: the page shows what it does without anybody's image."""

from dataclasses import dataclass

import numpy as np

from busi_keras.config import CLASSES
from busi_keras.data.phantom import make_phantom
from busi_keras.imaging import encode_png, pixels_digest

EXAMPLES_OF_A_CLASS = 2
SEED = 2026
HEIGHT, WIDTH = 320, 400


@dataclass(frozen=True)
class Example:
    """A synthetic image.

    Attributes:
        name: as a file would be called.
        png: its bytes.
    """

    name: str
    png: bytes


class Examples:
    """Phantoms of every class, made when the server starts; it knows them again when they are dropped on the page."""

    def __init__(self) -> None:
        self.all: list[Example] = []
        self._known: set[str] = set()
        for number in range(EXAMPLES_OF_A_CLASS):
            for label, class_name in enumerate(CLASSES):
                image = make_phantom(SEED, number, label, HEIGHT, WIDTH).image
                self.all.append(Example(f"phantom {class_name} {number + 1}.png", encode_png(image)))
                self._known.add(pixels_digest(np.repeat(image[..., None], 3, axis=-1)))

    def include(self, image: np.ndarray) -> bool:
        """Whether an image, uint8 `(height, width, 3)`, is one of them."""
        return pixels_digest(image) in self._known
