"""An OpenVINO model: `NAME.xml` and the weights beside it in `NAME.bin`, with the card in its `rt_info`."""

import re
from pathlib import Path
from typing import Any

from busi_keras.card import Card
from busi_keras.files import replacing
from busi_keras.inference.engines.openvino import CARD_PATH

BETWEEN_ELEMENTS = re.compile(rb">\s+<")
"""Indentation, a sixth of an `.xml` file; texts and attributes hold no bare `<`."""


def write(function: Any, card: Card, target: Path) -> None:
    """Converts `graph.served_function` and writes it to `target`, an `.xml` file."""
    import openvino

    write_openvino(openvino.convert_model(function.get_concrete_function()), card, target)


def write_openvino(model: Any, card: Card, target: Path) -> None:
    """Writes an `openvino.Model` with its card; the `.bin` file first, so that an `.xml` is never without one."""
    import openvino

    model.set_rt_info(card.to_json(), CARD_PATH)
    with replacing(target) as xml, replacing(target.with_suffix(".bin")):
        openvino.save_model(model, xml, compress_to_fp16=False)  # and `xml` with the suffix .bin
        xml.write_bytes(BETWEEN_ELEMENTS.sub(b"><", xml.read_bytes()))
