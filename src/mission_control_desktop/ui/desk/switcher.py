"""The button in the header that names the current desk and leads to the others."""

from __future__ import annotations

from PySide6.QtWidgets import QMenu, QToolButton, QWidget

from mission_control_desktop.ui.commands import CommandActions
from mission_control_desktop.ui.desk.desks import Desks

_SHOWN = 22
"""Characters of a desk's name on the button; all of it is in the tip."""


class DeskSwitcher(QToolButton):
    """Opens a menu with all desks, then what can be done with them."""

    def __init__(self, desks: Desks, commands: CommandActions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._desks, self._commands = desks, commands
        self.setObjectName("header.desk")
        self.setProperty("kind", "quiet")
        self.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(self)
        menu.setObjectName("menu.desks")
        menu.aboutToShow.connect(self._fill)
        self.setMenu(menu)
        desks.changed.connect(self.refresh)
        commands.keys_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Take the name and the titles of the commands from the desks."""
        book = self._desks.book
        name, ids = book.current.name, book.ids()
        shown = name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…"
        self.setText(f"Desk: {shown} ▾".replace("&", "&&"))
        place = ids.index(book.current_id) + 1
        keys = f" {self.key_of(1)} … {self.key_of(9)} switch." if self.key_of(1) and self.key_of(9) else ""
        self.setToolTip(f"Desk “{name}” ({place} of {len(ids)}).{keys}")
        self.setAccessibleName(f"Desk {name}, {place} of {len(ids)}")
        for number in range(1, 10):
            action = self._commands[f"desk.go_{number}"]
            known = number <= len(ids)
            title = book.desk(ids[number - 1]).name if known else f"Desk {number}"
            action.setText(f"&{number}  {title.replace('&', '&&')}")
            action.setVisible(known)
            action.setCheckable(True)
            action.setChecked(known and ids[number - 1] == book.current_id)

    def _fill(self) -> None:
        menu = self.menu()
        menu.clear()
        book = self._desks.book
        for number, desk_id in enumerate(book.ids(), start=1):
            if number < 10:
                menu.addAction(self._commands[f"desk.go_{number}"])
                continue
            action = menu.addAction(book.desk(desk_id).name.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(desk_id == book.current_id)
            action.triggered.connect(lambda _checked=False, i=desk_id: self._desks.switch(i))
        menu.addSeparator()
        for name in ("new", "rename", "remove", "undo", "export", "export_all", "import"):
            menu.addAction(self._commands[f"desk.{name}"])

    def key_of(self, number: int) -> str:
        """The key that leads to the n-th desk."""
        return self._commands.key_text(f"desk.go_{number}")
