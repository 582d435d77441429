"""Making a row of a list, table or tree the chosen one."""

from __future__ import annotations

from PySide6.QtCore import QItemSelectionModel, QModelIndex
from PySide6.QtWidgets import QAbstractItemView


def choose_row(view: QAbstractItemView, index: QModelIndex) -> None:
    """Make this row the current one and the only selected one, whichever keys are held.

    A view's own `setCurrentIndex` asks the keyboard: called by a shortcut, with Ctrl or Shift still held, it makes the
    row current and leaves the selection where it was (Qt 6.11), so that the next order would go to another session.
    """
    flags = QItemSelectionModel.SelectionFlag
    view.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
