"""What a person asks of desks: names, files, and what went wrong with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFileDialog, QMessageBox

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.domain.tasks import Tasks
from mission_control_desktop.ui import words
from mission_control_desktop.ui.desk.exchange import load_file, save_file, write_desks
from mission_control_desktop.ui.error_words import told

if TYPE_CHECKING:
    from mission_control_desktop.ui.main_window.window import MainWindow

FILTER = "Desks (*.desks.json);;JSON (*.json);;All files (*)"
_NOTICE = "desks"


class DeskPresenter(QObject):
    """Opens dialogs; reads and writes files away from the window's thread."""

    def __init__(self, window: MainWindow, tasks: Tasks) -> None:
        super().__init__(window)
        self._window, self._desks, self._tasks = window, window.desks, tasks
        handle = window.commands.handle
        handle("desk.new", self.ask_new)
        handle("desk.rename", self.ask_rename)
        handle("desk.remove", self.ask_remove)
        handle("desk.export", partial(self.ask_export, everything=False))
        handle("desk.export_all", partial(self.ask_export, everything=True))
        handle("desk.import", self.ask_import)

    def ask_new(self) -> None:
        """Ask for the name of a new desk."""
        from mission_control_desktop.ui.desk.dialogs import NameDialog

        count = len(self._window.panels.open_ids())
        offer = f"Begin with {'the panel that is' if count == 1 else f'the {count} panels that are'} open now"
        dialog = NameDialog(
            "New desk",
            "Create",
            lambda name, keep: self._desks.add(name, copy=keep and count > 0),
            offer=offer if count else "",
            parent=self._window,
        )
        dialog.open()

    def ask_rename(self) -> None:
        """Ask for another name for the current desk."""
        from mission_control_desktop.ui.desk.dialogs import NameDialog

        name = self._desks.book.current.name
        NameDialog(
            f"Rename “{name}”", "Rename", lambda new, _keep: self._desks.rename(new), name=name, parent=self._window
        ).open()

    def ask_remove(self) -> None:
        """Ask before the current desk is removed."""
        book = self._desks.book
        if len(book.ids()) == 1:
            self._window.statusBar().showMessage("The last desk stays: there is always one.", 5000)
            return
        desk = book.current
        box = QMessageBox(self._window)
        box.setObjectName("dialog.desk_remove")
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setWindowTitle("Remove the desk")
        box.setText(f"Remove the desk “{desk.name}”?")
        box.setInformativeText(
            f"Its arrangement of {words.plural(len(desk.panels), 'panel')} is forgotten. Their sessions go on."
        )
        remove = box.addButton("Remove", QMessageBox.ButtonRole.DestructiveRole)
        remove.setAutoDefault(False)  # Qt gives it the focus after a change of the scheme, and with that Enter
        stay = box.addButton("Keep it", QMessageBox.ButtonRole.RejectRole)
        box.setDefaultButton(stay)
        box.setEscapeButton(stay)
        stay.setFocus()  # Qt gives it to the first one, which would then take Enter from the default one
        box.buttonClicked.connect(lambda button: self._desks.remove() if button is remove else None)
        box.open()

    # -- files

    def ask_export(self, *, everything: bool) -> None:
        """Ask where to write the current desk, or all of them."""
        desks = self._desks.exported(everything=everything)
        name = "desks" if everything else "".join(c if c.isalnum() or c in " -_" else "_" for c in desks[0].name)
        dialog = self._file_dialog("Export desks" if everything else f"Export “{desks[0].name}”")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setDefaultSuffix("desks.json")
        dialog.selectFile(f"{name}.desks.json")
        dialog.fileSelected.connect(lambda path: self._begin(self._export(Path(path), write_desks(desks), len(desks))))
        dialog.open()

    def ask_import(self) -> None:
        """Ask for a file with desks."""
        dialog = self._file_dialog("Import desks")
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptOpen)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.fileSelected.connect(lambda path: self._begin(self._import(Path(path))))
        dialog.open()

    def _file_dialog(self, title: str) -> QFileDialog:
        dialog = QFileDialog(self._window, title)
        dialog.setObjectName("dialog.desk_file")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setNameFilter(FILTER)
        return dialog

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.start(work, name="desk file")

    async def _export(self, path: Path, content: bytes, count: int) -> None:
        async with _Said(self._window, "The desks were not exported"):
            await _off_thread(partial(save_file, path, content))
            self._window.statusBar().showMessage(f"{words.plural(count, 'desk')} written to {path.name}", 6000)

    async def _import(self, path: Path) -> None:
        async with _Said(self._window, "No desk was imported"):
            desks = await _off_thread(partial(load_file, path))
            self._desks.take_in(desks)
            self._window.statusBar().showMessage(f"{words.plural(len(desks), 'desk')} imported from {path.name}", 6000)


class _Said:
    """A failure in the tree of `domain.errors` becomes words in the window."""

    def __init__(self, window: MainWindow, what: str) -> None:
        self._window, self._what = window, what

    async def __aenter__(self) -> None:
        self._window.notices.dismiss(_NOTICE)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, MissionControlError):
            return False
        self._window.notices.show_notice(told(self._what, error), error=True, key=_NOTICE)
        return True


async def _off_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)
