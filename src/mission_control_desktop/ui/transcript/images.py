"""Pictures that come inside a message's text, as data: found here, without Qt; nothing is ever fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MARK = "](data:image/"
_FORMATS = "png|jpeg|jpg|gif|webp"
"""What is decoded. No SVG: that is a program more than a picture."""
_IMAGE = re.compile(rf"!\[([^\]\n]{{0,500}})\]\(data:image/({_FORMATS});base64,([A-Za-z0-9+/]+=*)\)")
_BEGUN = re.compile(rf"!\[([^\]\n]{{0,500}})\]\(data:image/({_FORMATS});base64,[A-Za-z0-9+/]*=*\Z")


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message. `data` is base64, empty while it has not come whole."""

    alt: str
    format: str
    data: str


def has_images(text: str) -> bool:
    """Whether it is worth looking closer."""
    return _MARK in text


def split_images(text: str) -> list[str | Image]:
    """Text and pictures in order. What stands in a fence of code stays text."""
    parts: list[str | Image] = []
    start = 0
    for match in _IMAGE.finditer(text):
        if text.count("```", 0, match.start()) % 2:
            continue
        parts += [text[start : match.start()], Image(match[1], match[2], match[3])]
        start = match.end()
    rest = text[start:]
    begun = _BEGUN.search(rest) if _MARK in rest else None
    if begun is not None and text.count("```", 0, start + begun.start()) % 2 == 0:
        parts += [rest[: begun.start()], Image(begun[1], begun[2], "")]
    else:
        parts.append(rest)
    return [part for part in parts if isinstance(part, Image) or part.strip()]


def without_images(text: str) -> str:
    """The text as it reads: a picture is its description."""
    if not has_images(text):
        return text
    return "".join(f"image: {part.alt}" if isinstance(part, Image) else part for part in split_images(text))
