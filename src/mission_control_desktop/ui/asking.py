"""Whether something lies over the windows and waits for keys of its own."""

from __future__ import annotations

from PySide6.QtWidgets import QApplication, QDialog


def something_is_open() -> bool:
    """Whether a menu, a list that fell open or a dialog is open, in whichever window: a key may be meant for it even
    where the window manager did not give it the focus."""
    if QApplication.activePopupWidget() is not None or QApplication.activeModalWidget() is not None:
        return True
    return any(isinstance(top, QDialog) and top.isVisible() for top in QApplication.topLevelWidgets())
