"""Synthetic breast-ultrasound images with exact masks: data for demonstrations and tests, no evidence about patients.

A phantom is made as an image is: tissue of known echogenicity (dB relative to the brightest displayed echo; row 0 is
the skin), a lesion in it, sound that loses strength on its way, speckle, log compression. A model trained on phantoms
knows nothing about patients; `phantoms.json` in a folder of phantoms lets everything downstream say so.

Sources:
    Speckle with a Rayleigh envelope: Burckhardt, "Speckle in ultrasound B-mode scans", IEEE Trans. Sonics Ultrason.
        25 (1978) 1-6.
    Its size along and across the beam: Wagner, Smith, Sandrik, Lopez, "Statistics of speckle in ultrasound B-scans",
        IEEE Trans. Sonics Ultrason. 30 (1983) 156-163.
    Log compression and the noise under it: Szabo, "Diagnostic Ultrasound Imaging: Inside Out", 2nd ed. (2014).
    Signs (oval, wider than tall, thin capsule, enhancement; spicules, taller than wide, halo, shadow):
        Stavros et al., "Solid breast nodules: use of sonography to distinguish between benign and malignant
        lesions", Radiology 196 (1995) 123-134; ACR BI-RADS Atlas, 5th ed. (2013), Ultrasound.
    Sizes, shapes and shares of the classes imitate BUSI: Al-Dhabyani et al., Data in Brief 28 (2020) 104863.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage

from busi_keras.config import CLASSES, NORMAL

BENIGN = CLASSES.index("benign")
SMALLEST_SIDE = 16
_CONTOUR_ANGLES = np.linspace(-np.pi, np.pi, 721, dtype=np.float32)
_DB_TO_NEPER = np.float32(np.log(10) / 20)


@dataclass(frozen=True)
class Phantom:
    """One synthetic image and the truth about it."""

    image: np.ndarray  # uint8 (height, width)
    mask: np.ndarray  # bool (height, width); all False for "normal"
    label: int  # index into CLASSES


def make_phantom(seed: int, index: int, label: int, height: int = 256, width: int = 256) -> Phantom:
    """Image number `index` of `seed`: always the same one, however many are made.

    The tissue depends on `seed` and `index` only; `label` decides what lies in it.

    Args:
        seed, index: not negative.
        label: index into CLASSES.
        height, width: of the image, px, at least 16.

    Raises:
        ValueError: an argument is out of its range.
    """
    _check(seed, index, label, height, width)
    tissue_rng, lesion_rng, scanner_rng = np.random.default_rng([seed, index]).spawn(3)
    echogenicity = _tissue(tissue_rng, height, width)
    mask = np.zeros((height, width), dtype=bool)
    if label != NORMAL:
        draw = _benign_lesion if label == BENIGN else _malignant_lesion
        echogenicity, mask = _insert(draw(lesion_rng, min(height, width)), echogenicity, lesion_rng)
    return Phantom(_scan(echogenicity, scanner_rng), mask, label)


def speckle_envelope(amplitude: np.ndarray, rng: Generator) -> np.ndarray:
    """Envelope of the echo of many random scatterers: Rayleigh distributed (Burckhardt 1978; Wagner 1983).

    Args:
        amplitude: float32 (height, width), root mean square of the echo in every pixel.
        rng: decides where the scatterers are, and the focus.

    Returns:
        float32 (height, width). Where `amplitude` is constant, its mean is 1.91 times its standard deviation. Speckles
        are wider than tall, and widest far from the focus.
    """
    height, width = amplitude.shape
    axial = max(0.55, 0.0023 * height)
    near_focus, far_from_focus = 1.5 * axial, 3.5 * axial
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    defocus = np.minimum(np.abs(depth - rng.uniform(0.2, 0.5)) / 0.7, 1)
    in_phase_and_quadrature = []
    for _ in range(2):
        scatterers = rng.standard_normal((height, width), dtype=np.float32)
        echo = ndimage.gaussian_filter1d(amplitude * scatterers, axial, axis=0, truncate=3)
        sharp, blurred = (_spread_across_beam(echo, beam) for beam in (near_focus, far_from_focus))
        in_phase_and_quadrature.append((1 - defocus) * sharp + defocus * blurred)
    return np.hypot(*in_phase_and_quadrature) * np.float32(np.sqrt(2 * np.pi * axial))


def _spread_across_beam(echo: np.ndarray, beam_width: float) -> np.ndarray:
    return ndimage.gaussian_filter1d(echo, beam_width, axis=1, truncate=3) * np.float32(np.sqrt(beam_width))


def log_compress(envelope: np.ndarray, dynamic_range: float) -> np.ndarray:
    """Grey levels 0-255 as float32: 255 for an envelope of 1 and more, 0 for `dynamic_range` dB less and below."""
    decibels = 20 * np.log10(np.maximum(envelope, np.float32(1e-6)))
    return np.clip(255 * (1 + decibels / np.float32(dynamic_range)), 0, 255)


def _tissue(rng: Generator, height: int, width: int) -> np.ndarray:
    """Echogenicity of a breast without lesion, float32 dB (height, width)."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    skin_end = rng.uniform(0.02, 0.05)
    fat_end = skin_end + rng.uniform(0.06, 0.28)
    gland_end = fat_end + rng.uniform(0.22, 0.5)
    muscle_end = gland_end + rng.uniform(0.12, 0.4)

    fat_to_gland = fat_end + 0.12 * (fat_end - skin_end) * _smooth_noise(rng, 1, width, 1, 7)
    layers = np.full((height, width), rng.uniform(-27, -20), dtype=np.float32)
    layers = _cross(layers, _fat(rng, height, width), depth, skin_end, 0.012)
    layers = _cross(layers, _gland(rng, height, width), depth, fat_to_gland, rng.uniform(0.02, 0.08))
    layers = _cross(layers, _muscle(rng, height, width), depth, gland_end, 0.02)
    layers = _cross(layers, -46 + 3 * _smooth_noise(rng, height, width, 12, 8), depth, muscle_end, 0.02)
    interfaces = (0.0, 14, 20), (skin_end, 8, 16), (fat_end, 0, 8), (gland_end, 0, 14), (muscle_end, 4, 22)
    for boundary, faintest, brightest in interfaces:
        echo = np.exp(-(((depth - np.float32(boundary)) / np.float32(0.008)) ** 2))
        continuity = np.clip(0.7 + 0.6 * _smooth_noise(rng, 1, width, 1, 6), 0, 1)
        layers += rng.uniform(faintest, brightest) * echo * continuity
    return _undulate(layers, rng)


def _cross(upper: np.ndarray, lower: np.ndarray, depth: np.ndarray, at: np.ndarray | float, blur: float) -> np.ndarray:
    share_of_lower = np.clip((depth - at) / np.float32(blur) + 0.5, 0, 1)
    return upper + share_of_lower * (lower - upper)


def _fat(rng: Generator, height: int, width: int) -> np.ndarray:
    level = rng.uniform(-33, -24)
    clouds = 1.5 * _smooth_noise(rng, height, width, 10, 8)
    septa = _ligaments(rng, height, width, rng.uniform(9, 20), rng.uniform(2, 5))
    return level + clouds + rng.uniform(8, 20) * septa


def _gland(rng: Generator, height: int, width: int) -> np.ndarray:
    level = rng.uniform(-25, -16)
    clouds = 2.5 * _smooth_noise(rng, height, width, 9, 6) + 2.5 * _smooth_noise(rng, height, width, 32, 20)
    rows = rng.uniform(10, 22)
    fat_lobules = np.clip(2 * _smooth_noise(rng, height, width, rows, rows / 2) - rng.uniform(1.2, 4), 0, 1.5)
    strands = rng.uniform(2, 12) * _ligaments(rng, height, width, rng.uniform(16, 32), rng.uniform(3, 7))
    return level + clouds - rng.uniform(3, 10) * fat_lobules + strands


def _muscle(rng: Generator, height: int, width: int) -> np.ndarray:
    level = rng.uniform(-36, -26)
    fibres = rng.uniform(2, 5) * _smooth_noise(rng, height, width, rng.uniform(30, 50), rng.uniform(3, 7))
    return level + fibres + rng.uniform(6, 16) * _ligaments(rng, height, width, rng.uniform(20, 40), 3)


def _ligaments(rng: Generator, height: int, width: int, rows: float, columns: float) -> np.ndarray:
    """Thin curves that come and go, in [0, 1]: the zero crossings of a smooth field."""
    field = _smooth_noise(rng, height, width, rows, columns)
    presence = np.clip(0.4 + _smooth_noise(rng, height, width, rows / 2, 1.5 * columns), 0, 1)
    return presence * np.exp(-((field / np.float32(0.011 * rows)) ** 2))


def _smooth_noise(rng: Generator, height: int, width: int, rows: float, columns: float) -> np.ndarray:
    """Mean about 0, variance about 1; details of 1 / `rows` of the height and 1 / `columns` of the width."""
    knots = rng.standard_normal((max(1, round(rows)) + 1, max(1, round(columns)) + 1), dtype=np.float32)
    field = Image.fromarray(knots[:height]).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(field) * np.float32(1.2)  # interpolation loses variance between the knots


def _undulate(layers: np.ndarray, rng: Generator) -> np.ndarray:
    """Bend the layers up and down, and tilt them; the skin lies flat against the transducer."""
    height, width = layers.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    tilt = rng.uniform(-0.12, 0.12) * (columns / width - 0.5)
    waves = 0.01 * _smooth_noise(rng, height, width, 3, 5) + 0.035 * _smooth_noise(rng, height, width, 2, 2)
    rows += height * (tilt + waves) * np.clip(rows / (0.3 * height), 0, 1)
    return ndimage.map_coordinates(layers, [rows, columns], order=1, mode="nearest")


@dataclass(frozen=True)
class _Lesion:
    """What distinguishes lesions. Lengths in px, echoes in dB."""

    radius: np.ndarray  # float32 (721,): distance of the margin from the centre, at _CONTOUR_ANGLES
    contrast: float  # echogenicity less that of the tissue around
    heterogeneity: float  # standard deviation of the echogenicity within
    margin: float  # width of the transition
    rim: float  # brightness of the band around
    rim_width: float
    rays: float  # how much the band is broken into rays, 0 to 1
    transmission: float  # echoes behind the thickest part: above 0 enhancement, below 0 shadow


def _benign_lesion(rng: Generator, shorter_side: int) -> _Lesion:
    """Oval, parallel to the skin, with few gentle lobulations; a capsule; a fifth are cysts."""
    cyst = rng.random() < 0.2
    radius = _ellipse(
        size=shorter_side * np.clip(rng.lognormal(np.log(0.11), 0.38), 0.045, 0.26),
        height_to_width=np.clip(rng.lognormal(np.log(0.66), 0.25), 0.4, 1.3),
        tilt=rng.normal(0, 0.15),
    )
    return _Lesion(
        radius=radius * _lobulation(rng, harmonics=range(2, 6), strength=rng.uniform(0, 0.06 if cyst else 0.16)),
        contrast=rng.uniform(-30, -20) if cyst else min(-5, rng.normal(-11, 3.5)),
        heterogeneity=rng.uniform(0, 1) if cyst else rng.uniform(0.5, 3),
        margin=shorter_side * rng.uniform(0.006, 0.02),
        rim=max(0, rng.normal(4, 2.5)),
        rim_width=shorter_side * rng.uniform(0.008, 0.015),
        rays=0,
        transmission=rng.normal(8, 3) if cyst else rng.normal(3, 4),
    )


def _malignant_lesion(rng: Generator, shorter_side: int) -> _Lesion:
    """Irregular, often taller than wide, most of them spiculated; a halo."""
    radius = _ellipse(
        size=shorter_side * np.clip(rng.lognormal(np.log(0.15), 0.34), 0.06, 0.26),
        height_to_width=np.clip(rng.lognormal(np.log(1.06), 0.27), 0.5, 1.8),
        tilt=rng.normal(0, 0.4),
    )
    radius *= _lobulation(rng, harmonics=range(2, 12), strength=rng.uniform(0.03, 0.18))
    return _Lesion(
        radius=radius * _spiculation(rng, strength=max(0, rng.normal(0.08, 0.09))),
        contrast=min(-5, rng.normal(-12, 3.5)),
        heterogeneity=rng.uniform(1, 5),
        margin=shorter_side * rng.uniform(0.015, 0.06),
        rim=max(0, rng.normal(5, 3)),
        rim_width=shorter_side * rng.uniform(0.012, 0.06),
        rays=rng.uniform(0, 1),
        transmission=rng.normal(-8, 6),
    )


def _ellipse(size: float, height_to_width: float, tilt: float) -> np.ndarray:
    """Radius at every contour angle; `size` is the geometric mean of the two semi-axes."""
    across, along = size / np.sqrt(height_to_width), size * np.sqrt(height_to_width)
    angle = _CONTOUR_ANGLES - np.float32(tilt)
    return 1 / np.hypot(np.cos(angle) / across, np.sin(angle) / along)


def _lobulation(rng: Generator, harmonics: range, strength: float) -> np.ndarray:
    """Random waves around the contour, as a factor of the radius."""
    order = np.array(harmonics, dtype=np.float32)[:, None]
    phase = rng.uniform(-np.pi, np.pi, order.shape)
    weight = rng.standard_normal(order.shape) / np.sqrt(len(order))
    return np.exp(strength * 1.5 * (weight * np.cos(order * _CONTOUR_ANGLES + phase)).sum(axis=0))


def _spiculation(rng: Generator, strength: float) -> np.ndarray:
    """Narrow peaks at random angles, as a factor of the radius."""
    peaks = np.ones_like(_CONTOUR_ANGLES)
    for _ in range(rng.integers(7, 20)):
        distance = np.angle(np.exp(1j * (_CONTOUR_ANGLES - rng.uniform(-np.pi, np.pi))))
        peaks += strength * rng.uniform(0.3, 1.6) * np.exp(-((distance / rng.uniform(0.04, 0.15)) ** 2))
    return peaks


def _insert(lesion: _Lesion, tissue: np.ndarray, rng: Generator) -> tuple[np.ndarray, np.ndarray]:
    """The tissue with the lesion in it and what the lesion does to the sound that passes; and the lesion's mask."""
    height, width = tissue.shape
    row, column = _place(lesion, height, width, rng)
    down = np.arange(height, dtype=np.float32)[:, None] - np.float32(row)
    right = np.arange(width, dtype=np.float32)[None, :] - np.float32(column)
    angle = np.arctan2(down, right)
    radius = np.interp(angle, _CONTOUR_ANGLES, lesion.radius).astype(np.float32)
    outside = np.hypot(down, right) - radius
    mask = _largest_component(outside <= 0)

    inside = np.clip(0.5 - outside / np.float32(lesion.margin), 0, 1)
    rim = lesion.rim * np.exp(-((np.maximum(outside, 0) / np.float32(lesion.rim_width)) ** 2))
    rays = np.interp(angle, _CONTOUR_ANGLES, _lobulation(rng, range(8, 24), 0.9)).astype(np.float32)
    around = tissue + rim * (1 - lesion.rays + lesion.rays * np.minimum(rays, 2))
    level = tissue[mask].mean() + lesion.contrast
    texture = 0.7 * _smooth_noise(rng, height, width, 16, 16) + 0.7 * _smooth_noise(rng, height, width, 40, 30)
    within = level + np.float32(lesion.heterogeneity) * texture
    return around + inside * (within - around) + _behind(mask, lesion.transmission), mask


def _place(lesion: _Lesion, height: int, width: int, rng: Generator) -> tuple[int, int]:
    """Pixel of the centre: in the image always, the whole lesion in it and below the skin where it fits."""
    down, right = lesion.radius * np.sin(_CONTOUR_ANGLES), lesion.radius * np.cos(_CONTOUR_ANGLES)
    highest, lowest = 0.07 * height - down.min(), 0.88 * height - down.max()
    leftmost, rightmost = 0.02 * width - right.min(), 0.98 * width - right.max()
    row = round(highest + rng.beta(1.5, 2.6) * (lowest - highest))
    column = round(leftmost + rng.beta(1.8, 1.8) * (rightmost - leftmost))
    return min(max(row, 0), height - 1), min(max(column, 0), width - 1)


def _largest_component(mask: np.ndarray) -> np.ndarray:
    """The mask without the crumbs that the thinnest spicules leave on the pixel grid."""
    components, _ = ndimage.label(mask)
    return components == 1 + np.argmax(np.bincount(components.ravel())[1:])


def _behind(mask: np.ndarray, transmission: float) -> np.ndarray:
    """Shadow or enhancement in dB: it grows along the path in the lesion and stays below it."""
    path = np.cumsum(mask, axis=0, dtype=np.float32)
    path /= path[-1].max()
    spread = ndimage.gaussian_filter1d(path, 0.015 * mask.shape[1], axis=1, truncate=2.5, mode="nearest")
    return np.float32(transmission) * spread


def _scan(echogenicity: np.ndarray, rng: Generator) -> np.ndarray:
    """B-mode image, uint8, of tissue of that echogenicity (dB), with a scanner and settings of its own."""
    height, width = echogenicity.shape
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    gain = rng.normal(0, 3.5)
    attenuation_left = rng.uniform(4, 36) * depth ** rng.uniform(1.2, 3)
    poor_contact = np.clip(_smooth_noise(rng, 1, width, 1, 8) - rng.uniform(0.6, 2.5), 0, 2)
    shadows = 10 * poor_contact * np.minimum(depth / 0.4, 1)
    amplitude = np.exp(_DB_TO_NEPER * (echogenicity + gain - attenuation_left - shadows))
    noise_floor = np.exp(_DB_TO_NEPER * np.float32(rng.uniform(-62, -50)))
    envelope = speckle_envelope(np.hypot(amplitude, noise_floor).astype(np.float32), rng)
    compounding = rng.uniform(0.002, 0.005) * height
    envelope = np.sqrt(ndimage.gaussian_filter(envelope * envelope, compounding, truncate=3))
    return np.rint(log_compress(envelope, dynamic_range=rng.uniform(50, 66))).astype(np.uint8)


def _check(seed: int, index: int, label: int, height: int, width: int) -> None:
    if min(seed, index) < 0:
        raise ValueError(f"seed is {seed} and index is {index}, but neither may be negative.")
    if not 0 <= label < len(CLASSES):
        raise ValueError(f"label is {label}, but must be 0 to {len(CLASSES) - 1}: an index into {CLASSES}.")
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(f"height x width is {height} x {width} px, but both must be {SMALLEST_SIDE} or more.")
