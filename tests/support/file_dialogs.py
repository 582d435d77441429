"""Qt's own file dialog, answered as a person does: the path is typed or pasted, and accepted by a key or its button."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialogButtonBox, QFileDialog, QLineEdit, QPushButton, QWidget
from shiboken6 import isValid

from support.hands import click, in_front
from support.rig import dialog, press, until


async def answer_file_dialog(parent: QWidget, path: Path, *, by_key: bool) -> None:
    """Type where to, and accept. The path of a file that is to be written must be free: Qt asks before it replaces."""
    shown = await dialog(QFileDialog, parent)
    line = shown.findChild(QLineEdit, "fileNameEdit")
    assert line is not None, "Qt's own dialog, not that of a desktop"
    await in_front(shown)
    if not by_key:
        click(line)
    await until(line.hasFocus, "that one begins with the name")
    line.selectAll()
    if shown.acceptMode() is QFileDialog.AcceptMode.AcceptSave:
        QTest.keyClicks(line, str(path))
    else:
        # Pasted: of a name that is there, what the dialog offers while one types takes the keys where no window
        # manager gives the focus back.
        QGuiApplication.clipboard().setText(str(path))
        press(line, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    box = shown.findChild(QDialogButtonBox)
    assert box is not None
    accepts = QDialogButtonBox.ButtonRole.AcceptRole
    act = next(b for b in box.findChildren(QPushButton) if box.buttonRole(b) is accepts)

    def accepted() -> bool:
        if not isValid(shown) or not shown.isVisible():
            return True
        if (offers := QApplication.activePopupWidget()) is not None:
            press(offers, Qt.Key.Key_Escape)  # What it offers for the name takes the next key or click.
        elif by_key:
            press(line, Qt.Key.Key_Return)
        elif act.isEnabled():
            click(act)
        return False

    await until(accepted, "that the file dialog closes")
