"""Monitors that come and go, for Qt's offscreen platform: real `QScreen`s, added and removed while the program runs.

The platform can be told its screens as JSON, but only from C++: its function is called here by address.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import PySide6
import pytest
import shiboken6
from PySide6.QtCore import QByteArray
from PySide6.QtGui import QGuiApplication

_FIRST_OWN_VIRTUAL = 12
"""Entries of QObject in the platform interface's table of virtual functions; the first of its own finds functions."""
_ROOM = 64
"""Bytes set aside for a small Qt value."""


@dataclass(frozen=True)
class Screen:
    """One monitor: name, place and size in pixels."""

    name: str
    x: int = 0
    y: int = 0
    width: int = 1920
    height: int = 1080

    def described(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "x": self.x,
            "y": self.y,
            "width": self.width,
            "height": self.height,
            "logicalDpi": 96,
            "logicalBaseDpi": 96,
            "dpr": 1,
        }


def _library(name: str) -> ctypes.CDLL:
    folder = Path(PySide6.__file__).parent / "Qt" / "lib"
    return ctypes.CDLL(str(next(iter(sorted(folder.glob(f"lib{name}.so.6*"))))))


def connect(*screens: Screen) -> None:
    """Connect exactly these monitors. A monitor is known by its name: one that stays is not touched."""
    if QGuiApplication.platformName() != "offscreen":
        pytest.skip("only the offscreen platform has monitors that can be unplugged by a program")
    gui, core = _library("Qt6Gui"), _library("Qt6Core")
    find_interface = gui._ZN15QGuiApplication23platformNativeInterfaceEv
    find_interface.restype = ctypes.c_void_p
    interface = find_interface()
    table = ctypes.cast(interface, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p)))[0]
    key = QByteArray(b"setConfiguration")
    find = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(table[_FIRST_OWN_VIRTUAL])
    address = find(interface, _pointer(key))
    if not address:
        raise RuntimeError("the offscreen platform has no function to set its screens")
    text = QByteArray(json.dumps({"screens": [screen.described() for screen in screens]}).encode())
    document, content = ctypes.create_string_buffer(_ROOM), ctypes.create_string_buffer(_ROOM)
    parse = core._ZN13QJsonDocument8fromJsonERK10QByteArrayP15QJsonParseError
    parse.restype, parse.argtypes = ctypes.c_void_p, [ctypes.c_void_p] * 3
    parse(ctypes.addressof(document), _pointer(text), None)
    take = core._ZNK13QJsonDocument6objectEv
    take.restype, take.argtypes = ctypes.c_void_p, [ctypes.c_void_p] * 2
    take(ctypes.addressof(content), ctypes.addressof(document))
    apply = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(address)
    apply(ctypes.addressof(content), interface)
    assert {screen.name() for screen in QGuiApplication.screens()} == {screen.name for screen in screens}


def _pointer(value: QByteArray) -> int:
    return int(shiboken6.getCppPointer(value)[0])


DEFAULT = Screen("", 0, 0, 800, 800)
"""What the platform begins with."""


@contextmanager
def monitors(*screens: Screen) -> Iterator[None]:
    """These monitors for a while; afterwards the platform's own again."""
    connect(*screens)
    try:
        yield
    finally:
        connect(DEFAULT)
