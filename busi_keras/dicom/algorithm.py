"""Who made a result: the model, as DICOM's algorithm identification and equipment name it."""

from dataclasses import dataclass
from typing import Any

from busi_keras import __version__
from busi_keras.card import RESEARCH_USE, Card
from busi_keras.dicom.library import highdicom, pydicom

MANUFACTURER = "busi_keras"
DESCRIPTION = f"busi_keras: {RESEARCH_USE.rstrip('.')}"
CODING_SCHEME = "99BUSI"
"""Of what no standard has a code for; private schemes begin with 99 (PS3.16, section 8)."""

_LONG_STRING = 64
_NO_SERIAL_NUMBER = "none"  # of a program; but the standard wants one


@dataclass(frozen=True)
class Algorithm:
    """A model.

    Attributes:
        name: its approach and encoder, at most 64 characters.
        version: of `busi_keras` and the day of the training, at most 64 characters.
    """

    name: str
    version: str

    @classmethod
    def of(cls, card: Card) -> "Algorithm":
        """The model that the card describes."""
        trained = f"{__version__}, trained {card.date} on {card.data}"
        return cls(f"busi_keras {card.approach}, {card.backbone}"[:_LONG_STRING], trained[:_LONG_STRING])

    @property
    def equipment(self) -> dict[str, str]:
        """Keyword arguments by which highdicom's constructors name what made an instance (PS3.3, C.7.5.2)."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.name,
            "software_versions": self.version,
            "device_serial_number": _NO_SERIAL_NUMBER,
            "series_description": DESCRIPTION,
        }

    def identification(self) -> Any:
        """highdicom's sequence that identifies it (PS3.3, 10.16)."""
        families = pydicom("pydicom.sr.codedict").codes.cid7162
        return highdicom().AlgorithmIdentificationSequence(
            name=self.name, family=families.ArtificialIntelligence, version=self.version, source=MANUFACTURER
        )

    def uid(self) -> str:
        """Names it as an observer: the same for the same model and version."""
        return str(pydicom("pydicom.uid").generate_uid(entropy_srcs=[MANUFACTURER, self.name, self.version]))
