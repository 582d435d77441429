"""Code colours, computed by Pygments in a worker thread and applied when they are ready."""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections import OrderedDict
from functools import lru_cache, partial

import shiboken6
import structlog
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token, _TokenType
from pygments.util import ClassNotFound
from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor

from mission_control_desktop.ui.theme import Theme

MAX_CHARS = 60_000
"""Longer code stays uncoloured."""
MAX_WAITING = 64
"""Requests beyond this many are dropped: their code stays uncoloured until it is looked at again."""
KEPT_CHARS = 200_000
"""Code whose colours are kept, in characters: each takes about 30 bytes."""
YIELD_EVERY = 40
"""Tokens between two moments in which the worker lets the GUI thread run: Python runs one thread at a time, and would
otherwise hand over only every 5 ms."""

log = structlog.get_logger(__name__)

Span = tuple[int, int, str]
"""Start, length (code points) and class of a piece of code."""
Spans = tuple[Span, ...]

_CLASSES = (
    (Token.Comment, "comment"),
    (Token.Keyword, "keyword"),
    (Token.Literal.String, "string"),
    (Token.Literal.Number, "number"),
    (Token.Name.Function, "name"),
    (Token.Name.Class, "name"),
    (Token.Name.Decorator, "name"),
    (Token.Name.Tag, "keyword"),
    (Token.Name.Attribute, "name"),
    (Token.Name.Builtin, "builtin"),
    (Token.Operator.Word, "keyword"),
    (Token.Generic.Inserted, "string"),
    (Token.Generic.Deleted, "error"),
    (Token.Generic.Heading, "keyword"),
    (Token.Generic.Prompt, "comment"),
)

_LIGHT = {
    "comment": "#5c6470",
    "keyword": "#6f2da8",
    "string": "#1d6b32",
    "number": "#8a4b00",
    "name": "#1c5aa3",
    "builtin": "#0b6b74",
    "error": "#b0201a",
}
_DARK = {
    "comment": "#929aa6",
    "keyword": "#c8a6f2",
    "string": "#9fd3a8",
    "number": "#e8bd83",
    "name": "#8fbdf5",
    "builtin": "#84cdd6",
    "error": "#f58f86",
}


def code_color(theme: Theme, name: str) -> QColor:
    """Colour of a class of code; each has a contrast of 4.5:1 on the code background of its theme."""
    return QColor((_DARK if theme.dark else _LIGHT)[name])


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=512)
def _class_of(token: _TokenType) -> str | None:
    # A token type is a tuple of its own, and "in" asks whether one is below the other.
    return next((name for kind, name in _CLASSES if kind.__contains__(token)), None)


def spans_of(code: str, language: str, *, polite: bool = False) -> Spans:
    """Coloured pieces of code. `polite` hands the interpreter over regularly."""
    lexer = _lexer(language.lower())
    if lexer is None:
        return ()
    spans: list[Span] = []
    for number, (start, token, text) in enumerate(lexer.get_tokens_unprocessed(code)):
        if (name := _class_of(token)) is not None:
            spans.append((start, len(text), name))
        if polite and number % YIELD_EVERY == 0:
            time.sleep(0)
    return tuple(spans)


_Work = tuple[str, str] | None
"""Code and language; None ends the worker."""


def _work(owner: weakref.ref[Highlighter], todo: queue.Queue[_Work]) -> None:
    """The worker thread: it holds no owner while it waits, and ends when told to or when its owner is gone."""
    while (work := todo.get()) is not None:
        code, language = work
        try:
            spans = spans_of(code, language, polite=True)
        except Exception as error:  # noqa: BLE001 - lexers are third-party code; uncoloured code is still right
            log.warning("highlight.failed", language=language, error=repr(error))
            spans = ()
        finally:
            todo.task_done()
        highlighter = owner()
        if highlighter is None or not shiboken6.isValid(highlighter):
            return
        highlighter.computed.emit(code, language, spans)
        del highlighter


class Highlighter(QObject):
    """Colours for code blocks. `spans` answers at once from what is known, or asks the worker and says so by signal."""

    ready = Signal()
    """Some spans that were asked for are known now."""
    computed = Signal(str, str, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._known: OrderedDict[tuple[str, str], Spans] = OrderedDict()
        self._chars = 0
        """Of the code whose spans are known."""
        self._asked: set[tuple[str, str]] = set()
        # Not a QThreadPool: when destroyed it waits for its threads with the interpreter's lock in its hands, which
        # a running job needs to come to an end.
        self._todo: queue.Queue[_Work] = queue.Queue()
        self._worker: threading.Thread | None = None
        self.destroyed.connect(partial(self._todo.put, None))
        self.computed.connect(self._on_computed, Qt.ConnectionType.QueuedConnection)

    def spans(self, code: str, language: str) -> Spans | None:
        """The spans, or None while they are being computed."""
        if not language or len(code) > MAX_CHARS:
            return ()
        key = (code, language)
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            return known
        if key not in self._asked and len(self._asked) < MAX_WAITING:
            self._asked.add(key)
            if self._worker is None:
                work = threading.Thread(
                    target=_work, args=(weakref.ref(self), self._todo), name="highlight", daemon=True
                )
                self._worker = work
                work.start()
            self._todo.put((code, language))
        return None

    def wait(self) -> None:
        """Until the worker is idle; what it found comes with the next turn of the event loop."""
        self._todo.join()

    def _on_computed(self, code: str, language: str, spans: object) -> None:
        key = (code, language)
        self._asked.discard(key)
        if key not in self._known:
            self._chars += len(code)
        self._known[key] = spans if isinstance(spans, tuple) else ()
        while self._chars > KEPT_CHARS and len(self._known) > 1:
            (gone, _), _ = self._known.popitem(last=False)
            self._chars -= len(gone)
        self.ready.emit()


_shared: Highlighter | None = None


def shared_highlighter() -> Highlighter:
    """The one highlighter of the process."""
    global _shared
    if _shared is None:
        _shared = Highlighter()
    return _shared
