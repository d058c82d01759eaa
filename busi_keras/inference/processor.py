"""The processor: its name, and what it can do, as far as it changes results."""

import platform
from pathlib import Path

VNNI = {"avx512_vnni", "avx_vnni"}
"""Multiply 8-bit integers and add the products in 32 bits."""


def adds_8_bit_products_exactly(flags: Path = Path("/proc/cpuinfo")) -> bool:
    """False on an x86 processor without VNNI, where sums of 8-bit products may overflow; True where that is not known.

    Args:
        flags: where Linux lists the processor's features.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return True
    try:
        lines = flags.read_text().splitlines()
    except OSError:
        return True
    found = next((set(line.split()) for line in lines if line.startswith("flags")), VNNI)
    return bool(found & VNNI)


def processor_name() -> str:
    """As Linux gives it; elsewhere what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
