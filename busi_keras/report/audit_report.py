"""The page of an audit: what was found, with thumbnails, in one HTML file that needs nothing else."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image

from busi_keras.config import CLASSES
from busi_keras.data.audit import Audit, ImageFacts

THUMBNAIL_PX = 150
_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1a1a1a }
section { margin-top: 2.5rem } h2 { border-bottom: 2px solid #0072b2 } table { border-collapse: collapse }
td, th { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #ccc } td.n { text-align: right }
.row { display: flex; flex-wrap: wrap; gap: .75rem; margin: .75rem 0; padding: .5rem; background: #f3f3f3 }
figure { margin: 0; width: 150px } figcaption { font-size: .8rem } img { max-width: 150px; display: block }
.bad { color: #a33b00; font-weight: 600 }
"""


def thumbnail(image: np.ndarray) -> bytes:
    """A small JPEG of an image, uint8 `(height, width, 3)`."""
    small = Image.fromarray(image)
    small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    buffer = BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def audit_page(folder: str, audit: Audit, thumbnails: Mapping[str, bytes]) -> str:
    """The page as HTML.

    Args:
        folder: what was audited, as the user named it.
        thumbnails: JPEGs by the images' names; of those that decode.
    """
    facts = {image.name: image for image in audit.images}

    def row(names: Sequence[str]) -> str:
        return f'<div class="row">{"".join(_figure(facts[name], thumbnails.get(name)) for name in names)}</div>'

    conflicts = set(audit.conflicts)
    broken = [image for image in audit.images if image.problems]
    remarked = [image for image in audit.images if image.remarks]
    identical = [row(group) for group in audit.identical]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>Audit of {escape(folder)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>Audit of {escape(folder)}</h1>",
            _counts(audit),
            _section("Problems: these distort training", [_sentences(image) for image in broken]),
            _section("Not read", [_bad(sentence) for sentence in audit.passed_over]),
            _section("Masks without an image", [_bad(file) for file in audit.masks_alone]),
            _section("Same frame, different labels", [row(group) for group in audit.conflicts]),
            *(
                []
                if audit.leaks is None
                else [_section("Leaks between parts of the split", [f"<p>{escape(leak)}</p>" for leak in audit.leaks])]
            ),
            _section("Identical pixel for pixel", identical),
            _section("Other near-duplicates", [row(group) for group in audit.groups if group not in conflicts]),
            _section("Remarks", [_remarks(remarked)], len(remarked)),
            "</body></html>",
        ]
    )


def _counts(audit: Audit) -> str:
    rows = {
        "images": len(audit.images),
        **{f"of class {name}": sum(one.label == i for one in audit.images) for i, name in enumerate(CLASSES)},
        "with problems": sum(bool(one.problems) for one in audit.images),
        "in near-duplicate groups": sum(map(len, audit.groups)),
        "near-duplicate groups": len(audit.groups),
        "groups with conflicting labels": len(audit.conflicts),
        **({} if audit.leaks is None else {"leaks between parts of the split": len(audit.leaks)}),
        "that share a patient with another image": sum(map(len, audit.patients)),
        "with several masks": sum(one.masks > 1 for one in audit.images),
        "coloured": sum("coloured" in one.remarks for one in audit.images),
        "with marks drawn on them": sum("marks are drawn on it" in one.remarks for one in audit.images),
    }
    cells = "".join(f'<tr><td>{escape(name)}</td><td class="n">{count}</td></tr>' for name, count in rows.items())
    return f"<table>{cells}</table>"


def _section(title: str, blocks: Sequence[str], count: int | None = None) -> str:
    """A heading with the number of blocks, or another count, and below it the blocks, if there is something."""
    count = len(blocks) if count is None else count
    return f"<section><h2>{escape(title)}: {count or 'none'}</h2>{''.join(blocks) if count else ''}</section>"


def _figure(image: ImageFacts, jpeg: bytes | None) -> str:
    picture = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">' if jpeg else ""
    return f"<figure>{picture}<figcaption>{escape(image.name)}<br>{CLASSES[image.label]}</figcaption></figure>"


def _sentences(image: ImageFacts) -> str:
    return "".join(map(_bad, image.problems))


def _bad(sentence: str) -> str:
    return f'<p class="bad">{escape(sentence)}</p>'


def _remarks(images: Sequence[ImageFacts]) -> str:
    rows = "".join(
        f"<tr><td>{escape(image.name)}</td><td>{escape('; '.join(image.remarks))}</td></tr>" for image in images
    )
    return f"<table>{rows}</table>"
