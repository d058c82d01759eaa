"""From stored values to what a viewer shows: 8-bit RGB.

Grey: modality transformation, then window or VOI table, then the inversion of MONOCHROME1 (DICOM PS3.4, N.2; PS3.3,
C.11.1 and C.11.2). Colour: PS3.3, C.7.6.3.1.2; palettes: C.7.9.
"""

from typing import Any

import numpy as np

from busi_keras.dicom.library import pydicom
from busi_keras.errors import UsageError
from busi_keras.imaging import DARK_16_BIT

GREY = ("MONOCHROME1", "MONOCHROME2")
PALETTE = "PALETTE COLOR"
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
INTERPRETATIONS = (*GREY, PALETTE, *COLOUR)


def to_rgb(stored: np.ndarray, dataset: Any, name: str) -> np.ndarray:
    """A frame as it is shown.

    Args:
        stored: `(rows, columns)` of grey or palette values, or `(rows, columns, 3)` of RGB, as pydicom decodes them.
        dataset: the file's header.
        name: of the file, for messages.

    Returns:
        uint8 `(rows, columns, 3)`.

    Raises:
        UsageError: a window or a palette is not as the standard wants it; the samples are too dark for their depth.
    """
    interpretation = dataset.PhotometricInterpretation
    if interpretation in COLOUR:
        return np.ascontiguousarray(stored)
    if interpretation == PALETTE:
        return _coloured(stored, dataset, name)
    grey = _grey(stored, dataset, name)
    if interpretation == "MONOCHROME1":
        grey = 255 - grey
    return np.repeat(grey[..., None], 3, axis=-1)


def _coloured(stored: np.ndarray, dataset: Any, name: str) -> np.ndarray:
    entries, first, bits = dataset.RedPaletteColorLookupTableDescriptor
    if bits == 8 and not 0 < entries <= 256:
        raise UsageError(f"{name} has a palette of {entries or 65536} colours of 8 bits; save it as RGB")
    colours = pydicom("pydicom.pixels").apply_color_lut
    coloured = colours(stored, dataset)[..., :3]
    if coloured.dtype == np.uint8:
        return coloured
    brightest = int(colours(np.arange(first, first + (entries or 65536))[None], dataset)[..., :3].max())
    if brightest > 255 or brightest == 0:
        return (coloured >> 8).astype(np.uint8)
    if bits == 8:  # each has a word to itself
        return coloured.astype(np.uint8)
    raise UsageError(
        f"{name} has a palette of 16 bits, but no value above {brightest}: it would be read as black; save it with a "
        "palette of 8 bits, or as RGB"
    )


def _grey(stored: np.ndarray, dataset: Any, name: str) -> np.ndarray:
    """uint8: black 0, white 255, before the inversion of MONOCHROME1."""
    pixels = pydicom("pydicom.pixels")
    table, window = dataset.get("VOILUTSequence"), _first(dataset, "WindowWidth")
    centre = _first(dataset, "WindowCenter")
    if table:
        values = pixels.apply_voi(pixels.apply_modality_lut(stored, dataset), dataset)
        return _bytes(values / (2 ** int(table[0].LUTDescriptor[2]) - 1))
    if window is not None and centre is not None:
        values = pixels.apply_modality_lut(stored, dataset).astype(np.float64)
        return _bytes(_windowed(values, centre, window, str(dataset.get("VOILUTFunction") or "LINEAR").upper(), name))
    if dataset.get("ModalityLUTSequence"):
        bits = int(dataset.ModalityLUTSequence[0].LUTDescriptor[2])
        return _bytes(pixels.apply_modality_lut(stored, dataset) / (2**bits - 1))
    return _high_byte(stored, dataset, name)


def _windowed(values: np.ndarray, centre: float, width: float, function: str, name: str) -> np.ndarray:
    """Shares of white by PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        raise UsageError(f"{name} has a window of an unknown kind; save it with a LINEAR window, or as 8 bits without")
    if not width >= 1 and not (function != "LINEAR" and width > 0):
        raise UsageError(f"{name} has a window {width:g} wide; save it with one of 1 or wider, or as 8 bits without")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if width == 0:
        return (values > centre).astype(np.float64)
    return (values - centre) / width + 0.5


def _high_byte(stored: np.ndarray, dataset: Any, name: str) -> np.ndarray:
    """Without a window all stored values are shown, black to white; as in `imaging`, the high byte of deeper ones, and
    of 16 bits only where 12 would not do."""
    bits = int(dataset.BitsStored)
    values = stored.astype(np.int64)
    if bits == 16 and dataset.PixelRepresentation == 0 and 0 < (largest := int(values.max())) < DARK_16_BIT:
        raise UsageError(
            f"{name} has 16 bits per sample, but no value above {largest}, and no window: such data would be "
            "read as black; save it with a window, with the bits it has, or with 8"
        )
    if dataset.PixelRepresentation == 1:
        values += 2 ** (bits - 1)
    values = np.clip(values, 0, 2**bits - 1)
    if bits >= 8:
        return (values >> (bits - 8)).astype(np.uint8)
    return _bytes(values / (2**bits - 1))


def _bytes(shares: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.clip(shares, 0, 1)).astype(np.uint8)


def _first(dataset: Any, keyword: str) -> float | None:
    """The first of one or more values: the view that is shown unless another is asked for."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__len__") and not isinstance(value, str) else value)
