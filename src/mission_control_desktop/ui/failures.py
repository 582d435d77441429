"""No failure goes unseen: every hook that Python and Qt offer ends in the log and in a bar of the window."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import structlog
from PySide6.QtCore import QMessageLogContext, QObject, Qt, QtMsgType, Signal, qInstallMessageHandler

log = structlog.get_logger(__name__)

CRASH_FILE = "desktop-crash.log"
_HARMLESS = (
    "This plugin does not support",  # off-screen platform: no window manager to talk to
    "QFontDatabase: Cannot find font directory",
    "Could not parse application stylesheet",
)


class Failures(QObject):
    """Collects failures from any thread. `reported` (text, details) arrives on the GUI thread."""

    reported = Signal(str, str)
    _raised = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._crash_file: IO[str] | None = None
        self._before: tuple[Any, Any, Any, Any] | None = None
        self._raised.connect(self.reported, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Take over the hooks of this process."""
        self._before = (
            sys.excepthook,
            sys.unraisablehook,
            threading.excepthook,
            qInstallMessageHandler(self._on_qt),
        )
        sys.excepthook = self._on_exception
        sys.unraisablehook = self._on_unraisable
        threading.excepthook = self._on_thread

    def uninstall(self) -> None:
        """Give the hooks back to who had them before."""
        if self._before is not None:
            sys.excepthook, sys.unraisablehook, threading.excepthook, handler = self._before
            qInstallMessageHandler(handler)
            self._before = None
        if self._crash_file is not None:
            faulthandler.disable()
            self._crash_file.close()
            self._crash_file = None

    def watch_crashes(self, folder: Path) -> str | None:
        """Have the trace of a hard crash written to a file; returns where the trace of an earlier one lies now."""
        path = folder / CRASH_FILE
        earlier = None
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if path.exists() and path.stat().st_size:
                aside = path.with_suffix(".previous.log")
                path.replace(aside)
                earlier = str(aside)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._crash_file = os.fdopen(descriptor, "w")
            faulthandler.enable(self._crash_file, all_threads=True)
        except OSError as error:
            log.warning("crash traces cannot be kept", path=str(path), error=str(error))
        return earlier

    def report(self, text: str, error: BaseException | None = None) -> None:
        """Log a failure and show it. From any thread."""
        details = "".join(traceback.format_exception(error)) if error is not None else ""
        log.error(text, exc_info=error)
        self._raised.emit(text if error is None else f"{text}: {_short(error)}", details)

    def on_task(self, name: str, error: BaseException) -> None:
        """For `Tasks` and the engine."""
        self.report(f"Something in the window failed ({name})", error)

    def on_loop(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """For the event loop."""
        self.report(f"Something in the window failed ({context.get('message')})", context.get("exception"))

    # -- hooks

    def _on_exception(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        self.report("Something in the window failed", error.with_traceback(trace))

    def _on_unraisable(self, args: Any) -> None:
        self.report("Something in the window failed", args.exc_value)

    def _on_thread(self, args: Any) -> None:
        name = args.thread.name if args.thread is not None else "a thread"
        self.report(f"Something in the window failed ({name})", args.exc_value)

    def _on_qt(self, kind: QtMsgType, context: QMessageLogContext, message: str | None) -> None:
        text = message or ""
        if any(text.startswith(known) for known in _HARMLESS):
            return
        level = {
            QtMsgType.QtDebugMsg: logging.DEBUG,
            QtMsgType.QtInfoMsg: logging.INFO,
            QtMsgType.QtWarningMsg: logging.WARNING,
        }.get(kind, logging.ERROR)
        log.log(level, "qt", message=text, category=getattr(context, "category", None))
        if level >= logging.ERROR:
            self._raised.emit(f"Qt reports: {text}", "")


def _short(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
