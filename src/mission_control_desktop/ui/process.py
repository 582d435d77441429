"""What each of our processes with Qt needs before its first widget."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import TextIO, cast

import structlog
from PySide6.QtWidgets import QApplication

from mission_control_desktop.domain.log_stream import LogStream, words_for_people
from mission_control_desktop.ui import icons


def is_headless(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether no display can be reached and none was asked for by name."""
    return platform.startswith("linux") and not any(
        environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    )


def configure_logs() -> None:
    """Logs go to standard error; MISSION_CONTROL_LOG_LEVEL (debug, info, warning, error) says how many."""
    if structlog.is_configured():
        return
    level = getattr(logging, os.environ.get("MISSION_CONTROL_LOG_LEVEL", "info").upper(), logging.INFO)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            words_for_people(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LogStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def make_app() -> QApplication:
    """The application, named as ours; it does not end with its last window."""
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication([sys.argv[0]])
    app.setApplicationName("mission-control-desktop")
    app.setApplicationDisplayName("Mission Control")
    app.setDesktopFileName("mission-control-desktop")
    app.setQuitOnLastWindowClosed(False)
    app.setWindowIcon(icons.app_icon())
    return app


def on_end_signals(end: Callable[[], object]) -> None:
    """Call `end` on SIGINT or SIGTERM, where the running loop can (not on Windows, nor outside the main thread)."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError):
            loop.add_signal_handler(number, end)
