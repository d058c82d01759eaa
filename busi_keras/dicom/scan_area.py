"""The part of a frame that is scanned tissue, and the way from it back to the frame."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScanArea:
    """A rectangle of a frame; what is around it are texts, scales and other regions.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the frame, the end exclusive.
        rows, columns: of the frame, in pixels.
    """

    box: tuple[int, int, int, int]
    rows: int
    columns: int

    @classmethod
    def whole(cls, rows: int, columns: int) -> "ScanArea":
        """All of a frame."""
        return cls((0, 0, columns, rows), rows, columns)

    @property
    def is_whole(self) -> bool:
        """Whether it is all of its frame."""
        return self.box == (0, 0, self.columns, self.rows)

    def crop(self, frame: np.ndarray) -> np.ndarray:
        """Its pixels `(height, width, ...)` of a frame's `(rows, columns, ...)`."""
        return frame[self._window]

    def paste(self, values: np.ndarray) -> np.ndarray:
        """Its values `(height, width, ...)` at their place in a frame `(rows, columns, ...)`; 0 or False around it."""
        frame = np.zeros((self.rows, self.columns, *values.shape[2:]), values.dtype)
        frame[self._window] = values
        return frame

    @property
    def _window(self) -> tuple[slice, slice]:
        x0, y0, x1, y1 = self.box
        return slice(y0, y1), slice(x0, x1)
