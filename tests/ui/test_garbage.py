"""Who collects garbage: Qt objects in cycles must be destroyed in the GUI thread."""

from __future__ import annotations

import gc
import threading
import weakref

from PySide6.QtCore import QObject
from pytestqt.qtbot import QtBot

from mission_control_desktop.ui.garbage import collected_here


def test_only_the_gui_thread_destroys_what_lies_in_a_cycle(qtbot: QtBot) -> None:
    seen: list[int] = []
    stop = threading.Event()
    gc.enable()

    def allocate() -> None:
        while not stop.is_set():
            waste = [[number] for number in range(5_000)]
            waste.append(waste)  # type: ignore[arg-type]

    with collected_here():
        assert not gc.isenabled()
        thread = threading.Thread(target=allocate)
        thread.start()
        try:
            for _ in range(50):
                one = QObject()
                one.itself = one  # type: ignore[attr-defined]
                weakref.finalize(one, lambda: seen.append(threading.get_ident()))
                del one
            qtbot.waitUntil(lambda: len(seen) == 50, timeout=60_000)
        finally:
            stop.set()
            thread.join()
    assert set(seen) == {threading.get_ident()}
    assert gc.isenabled()
