"""Desks as a file that can be carried to another workstation, and back again: checked before anything is taken in."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from mission_control_desktop.domain.errors import BadInput, TooLarge, Unavailable
from mission_control_desktop.ui.desk.book import MAX_DESKS, Desk, check_desk, clean_name

FORMAT: Literal["mission-control-desks"] = "mission-control-desks"
VERSION = 1
MAX_BYTES = 1_048_576


class DeskFile(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the file holds. Panels are named by session ids; no message and no credential is in it."""

    format: Literal["mission-control-desks"]
    version: int
    desks: Annotated[tuple[Desk, ...], msgspec.Meta(min_length=1, max_length=MAX_DESKS)]


class _Head(msgspec.Struct, frozen=True, kw_only=True):
    format: str = ""
    version: int = 0


def write_desks(desks: tuple[Desk, ...]) -> bytes:
    """The file's content: JSON, indented for people."""
    return msgspec.json.format(msgspec.json.encode(DeskFile(format=FORMAT, version=VERSION, desks=desks)), indent=2)


def read_desks(raw: bytes) -> tuple[Desk, ...]:
    """The desks of a file. Raises BadInput (it names the field) or TooLarge, in words for a person."""
    if len(raw) > MAX_BYTES:
        raise TooLarge(f"The file is larger than {MAX_BYTES // 1024} KiB: it holds no desks of ours.")
    try:
        head = msgspec.json.decode(raw, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput("file", f"The file is not an export of desks: {error}.") from error
    if head.format != FORMAT:
        raise BadInput("format", "The file is not an export of desks.")
    if head.version != VERSION:
        raise BadInput(
            "version", f"The file has version {head.version}; this program reads version {VERSION}. Update the program."
        )
    try:
        desks = msgspec.json.decode(raw, type=DeskFile).desks
    except (msgspec.ValidationError, RecursionError) as error:
        text, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`") or "desks"
        raise BadInput(field, f"The file is damaged at {field}: {text}.") from error
    for desk in desks:
        clean_name(desk.name)
        check_desk(desk)
    return desks


def load_file(path: Path) -> tuple[Desk, ...]:
    """Read a file; blocks, so not on the GUI thread. Raises BadInput, TooLarge, Unavailable."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unavailable(f"{path.name} cannot be read: {error.strerror or error}.") from error
    return read_desks(raw)


def save_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; blocks, so not on the GUI thread. Raises Unavailable."""
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise Unavailable(f"{path.name} cannot be written: {error.strerror or error}.") from error
