"""Pictures in a transcript: their size is read at once, they are decoded in a worker thread, and a few are kept."""

from __future__ import annotations

import binascii
import queue
import threading
import weakref
from base64 import b64decode
from collections import OrderedDict
from functools import partial

import shiboken6
from PySide6.QtCore import QBuffer, QIODevice, QObject, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFontMetrics, QImage, QImageReader, QPen

from mission_control_desktop.ui.transcript.blocks import size_text
from mission_control_desktop.ui.transcript.images import Image
from mission_control_desktop.ui.transcript.segments import Painting, Segment
from mission_control_desktop.ui.transcript.style import PAD, Style

HEAD_CHARS = 256 * 1024
"""Of the base64: enough to find the size of a picture in."""
MAX_PIXELS = 40_000_000
"""A picture with more is not decoded."""
MAX_HEIGHT = 420
"""Highest picture in the transcript, in device-independent pixels."""
KEPT = 24
MAX_WAITING = 32
"""Requests beyond this many are dropped: their pictures are asked for again when they are painted."""

_Key = tuple[Image, int, int]


def natural_size(image: Image) -> QSize | None:
    """Width and height in pixels; None for what is no picture, or too large to be decoded."""
    buffer = QBuffer()
    reader = _reader(image, buffer, image.data[: HEAD_CHARS // 4 * 4])
    size = reader.size() if reader is not None else QSize()
    if not size.isValid() or size.isEmpty() or size.width() * size.height() > MAX_PIXELS:
        return None
    return size


def decoded(image: Image, size: QSize) -> QImage | None:
    """The picture, scaled to this size; None if it cannot be decoded."""
    buffer = QBuffer()
    reader = _reader(image, buffer, image.data)
    if reader is None or natural_size(image) is None:
        return None
    reader.setScaledSize(size)
    picture = reader.read()
    return None if picture.isNull() else picture


def _reader(image: Image, buffer: QBuffer, data: str) -> QImageReader | None:
    try:
        content = b64decode(data + "=" * (-len(data) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    buffer.setData(content)
    buffer.open(QIODevice.OpenModeFlag.ReadOnly)
    # The decoder is the one that was named: content does not choose another.
    reader = QImageReader(buffer, {"jpg": b"jpeg"}.get(image.format, image.format.encode()))
    reader.setAutoDetectImageFormat(False)
    return reader


def _work(owner: weakref.ref[Pictures], todo: queue.Queue[_Key | None]) -> None:
    """The worker thread: it holds no owner while it waits, and ends when told to or when its owner is gone."""
    while (key := todo.get()) is not None:
        picture = decoded(key[0], QSize(key[1], key[2]))
        todo.task_done()
        pictures = owner()
        if pictures is None or not shiboken6.isValid(pictures):
            return
        pictures.decoded.emit(key, picture)
        del pictures


class Pictures(QObject):
    """Decoded pictures. `picture` answers from what is kept, or asks the worker; `ready` says that there is news."""

    ready = Signal()
    decoded = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._known: OrderedDict[_Key, QImage | None] = OrderedDict()
        self._asked: set[_Key] = set()
        self._todo: queue.Queue[_Key | None] = queue.Queue()
        self._worker: threading.Thread | None = None
        self.destroyed.connect(partial(self._todo.put, None))
        self.decoded.connect(self._on_decoded, Qt.ConnectionType.QueuedConnection)

    def picture(self, image: Image, size: QSize) -> QImage | None:
        """The picture at this size in device pixels; None while it is being decoded, or if it cannot be."""
        key = (image, size.width(), size.height())
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        if key not in self._asked and len(self._asked) < MAX_WAITING:
            self._asked.add(key)
            if self._worker is None:
                self._worker = threading.Thread(
                    target=_work, args=(weakref.ref(self), self._todo), name="pictures", daemon=True
                )
                self._worker.start()
            self._todo.put(key)
        return None

    def wait(self) -> None:
        """Until the worker is idle; what it made comes with the next turn of the event loop."""
        self._todo.join()

    def _on_decoded(self, key: _Key, picture: QImage | None) -> None:
        self._asked.discard(key)
        self._known[key] = picture
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        self.ready.emit()


_shared: Pictures | None = None


def shared_pictures() -> Pictures:
    """The one of the process."""
    global _shared
    if _shared is None:
        _shared = Pictures()
    return _shared


class PictureSegment(Segment):
    """A picture with a line of words below it; the words alone where there is no picture to show."""

    def __init__(self, style: Style, image: Image) -> None:
        super().__init__(style)
        self._image = image
        self._natural = natural_size(image) if image.data else None
        self.shown = QSize()
        """In device-independent pixels; empty without a picture."""

    @property
    def words(self) -> str:
        """What is said below the picture."""
        name = self._image.alt.strip() or "Image"
        if not self._image.data:
            return f"{name} (not whole yet)"
        size = size_text(len(self._image.data) * 3 // 4)
        if self._natural is None:
            return f"{name} ({self._image.format}, {size}; cannot be shown)"
        return f"{name} ({self._natural.width():,} × {self._natural.height():,}, {size})"

    def lay_out(self, width: int) -> None:
        self.width, self.height = width, self.style.line + 4
        if self._natural is not None:
            limit = QSize(min(width, self._natural.width()), min(MAX_HEIGHT, self._natural.height()))
            self.shown = self._natural.scaled(limit, Qt.AspectRatioMode.KeepAspectRatio).expandedTo(QSize(1, 1))
            self.height += self.shown.height() + 4

    def paint(self, painting: Painting) -> None:
        painter, colors = painting.painter, self.style.theme
        top = 0
        if not self.shown.isEmpty():
            box = QRectF(0, 0, self.shown.width(), self.shown.height())
            ratio = painter.device().devicePixelRatio()
            picture = shared_pictures().picture(self._image, self.shown * ratio)
            if picture is not None:
                painter.drawImage(box, picture)
            else:
                painter.fillRect(box, colors.code_background)
            painter.setPen(QPen(colors.border, 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))
            top = self.shown.height() + 4
        painter.setFont(self.style.small)
        painter.setPen(colors.text_muted)
        words = QFontMetrics(self.style.small).elidedText(
            self.words, Qt.TextElideMode.ElideRight, max(0, self.width - PAD)
        )
        painter.drawText(QRectF(0, top, self.width, self.style.line + 4), Qt.AlignmentFlag.AlignVCenter, words)
