"""The keys of all commands, and what Enter does in the message input. Changes take effect at once, in every window."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from mission_control_desktop.ui.commands import BY_ID, COMMANDS, CommandActions
from mission_control_desktop.ui.commands.keymap import refusal, title_of
from mission_control_desktop.ui.once import OnceButton
from mission_control_desktop.ui.panel import enter
from mission_control_desktop.ui.settings.page import SettingsPage

_MODIFIERS = (Qt.Key.Key_Control, Qt.Key.Key_Shift, Qt.Key.Key_Alt, Qt.Key.Key_AltGr, Qt.Key.Key_Meta)


class KeyCatcher(QLineEdit):
    """Takes one key, whatever it means elsewhere. Esc alone gives up."""

    caught = Signal(str)
    """The key as portable text."""
    given_up = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setPlaceholderText("Press the key…")
        self.setAccessibleName("Press the new key; Escape gives up")
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.NoContextMenu)

    def event(self, event: QEvent) -> bool:
        if event.type() is QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        if event.type() is QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            # Before Tab and Backtab go to the next field.
            self._take(event)
            event.accept()
            return True
        return super().event(event)

    def _take(self, event: QKeyEvent) -> None:
        key, modifiers = Qt.Key(event.key()), event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if key in _MODIFIERS or event.isAutoRepeat():
            return
        if key == Qt.Key.Key_Escape and modifiers == Qt.KeyboardModifier.NoModifier:
            self.given_up.emit()
            return
        if key == Qt.Key.Key_Backtab:
            key = Qt.Key.Key_Tab
        self.caught.emit(QKeySequence(modifiers.value | key.value).toString())


class KeysPage(SettingsPage):
    key, title = "keys", "Keys"

    changed = Signal()
    """The keymap is another one."""
    enter_chosen = Signal(object)
    """An `EnterKeys`."""

    def __init__(self, commands: CommandActions, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._commands, self._keymap = commands, commands.keymap
        self._recording: tuple[str, bool] | None = None
        self._yes: Callable[[], None] | None = None
        self.search = QLineEdit()
        self.search.setObjectName("keys.search")
        self.search.setPlaceholderText("Find a command or a key")
        self.search.setAccessibleName("Find a command or a key")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self._filter)
        self.table = self._make_table()
        self.change = self._button("keys.change", "&Change…", "Another key instead of those it has", False)
        self.add = self._button("keys.add", "&Add a key…", "One more key", True)
        self.none = OnceButton("&No key")
        self.none.setObjectName("keys.none")
        self.none.clicked.connect(self._on_none)
        self.reset = OnceButton("As &delivered")
        self.reset.setObjectName("keys.reset")
        self.reset.clicked.connect(self._on_reset)
        self.reset_all = OnceButton("A&ll as delivered")
        self.reset_all.setObjectName("keys.reset_all")
        self.reset_all.clicked.connect(self._on_reset_all)

        self.said = QLabel()
        self.said.setObjectName("keys.said")
        self.said.setWordWrap(True)
        self.said.setTextFormat(Qt.TextFormat.PlainText)
        self.catcher = KeyCatcher()
        self.catcher.setObjectName("keys.catcher")
        self.catcher.setFixedWidth(180)
        self.catcher.caught.connect(self._on_caught)
        self.catcher.given_up.connect(self._stop)
        self.yes = OnceButton("")
        self.yes.setObjectName("keys.yes")
        self.yes.clicked.connect(self._on_yes)
        self.no = OnceButton("Keep as it is")
        self.no.setObjectName("keys.no")
        self.no.clicked.connect(self._stop)

        self.column.addWidget(self.search)
        self.column.addWidget(self.table, 1)
        asking = QHBoxLayout()
        self.column.addLayout(asking)
        asking.addWidget(self.said, 1)
        for widget in (self.catcher, self.yes, self.no):
            asking.addWidget(widget)
        buttons = QHBoxLayout()
        self.column.addLayout(buttons)
        for button in (self.change, self.add, self.none, self.reset):
            buttons.addWidget(button)
        buttons.addStretch(1)
        buttons.addWidget(self.reset_all)
        self.column.addWidget(QLabel("In the message input:"))
        self._add_enter()
        self._fill()
        self._stop()
        self.table.selectRow(0)

    def _button(self, name: str, text: str, tip: str, more: bool) -> OnceButton:
        button = OnceButton(text)
        button.setObjectName(name)
        button.setToolTip(tip)
        button.clicked.connect(lambda: self._record(more=more))
        return button

    def _make_table(self) -> QTableWidget:
        table = QTableWidget(len(COMMANDS), 3)
        table.setObjectName("keys.table")
        table.setAccessibleName("Commands and their keys")
        table.setProperty("surface", "card")
        table.setHorizontalHeaderLabels(["Command", "Menu", "Keys"])
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setTabKeyNavigation(False)
        table.setShowGrid(False)
        table.verticalHeader().hide()
        header = table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.setColumnWidth(1, 110)
        table.setColumnWidth(2, 280)
        table.itemSelectionChanged.connect(self._on_selected)
        table.itemDoubleClicked.connect(lambda _item: self._record(more=False))
        return table

    def _add_enter(self) -> None:
        row = QHBoxLayout()
        self.column.addLayout(row)
        self.enter: dict[str, QComboBox] = {}
        for key in enter.KEYS:
            label, box = QLabel(key), QComboBox()
            box.setObjectName(f"keys.{key}")
            box.setAccessibleName(f"What {key} does in the message input")
            for act in enter.Act:
                box.addItem(act.value, act)
            box.activated.connect(lambda place, k=key: self._on_enter(k, list(enter.Act)[place]))
            label.setBuddy(box)
            row.addWidget(label)
            row.addWidget(box)
            self.enter[key] = box
        row.addStretch(1)
        self._show_enter()

    def _on_enter(self, key: str, act: enter.Act) -> None:
        self.enter_chosen.emit(enter.current().with_act(key, act))
        self._show_enter()

    def _show_enter(self) -> None:
        for key, act in zip(enter.KEYS, enter.current().acts, strict=True):
            self.enter[key].setCurrentIndex(list(enter.Act).index(act))

    # -- the list

    def _fill(self) -> None:
        for row, command in enumerate(COMMANDS):
            keys = self._commands.keys_text(command.id) or "none"
            if not self._keymap.is_default(command.id):
                keys += "   (changed)"
            texts = (title_of(command.id), command.menu.value.replace("&", ""), keys)
            for column, text in enumerate(texts):
                item = self.table.item(row, column)
                if item is None:
                    self.table.setItem(row, column, item := QTableWidgetItem())
                    item.setData(Qt.ItemDataRole.UserRole, command.id)
                item.setText(text)
                item.setToolTip(command.hint or text)
        self._filter(self.search.text())
        self._on_selected()

    def _filter(self, text: str) -> None:
        wanted = text.casefold().split()
        for row in range(self.table.rowCount()):
            items = (self.table.item(row, column) for column in range(3))
            said = " ".join(item.text() for item in items if item is not None).casefold()
            self.table.setRowHidden(row, not all(word in said for word in wanted))

    def choose(self, command_id: str) -> None:
        """Turn to a command."""
        self.table.selectRow([command.id for command in COMMANDS].index(command_id))

    def _chosen(self) -> str:
        row = self.table.currentRow()
        return COMMANDS[row].id if self.table.selectionModel().hasSelection() and row >= 0 else ""

    def _on_selected(self) -> None:
        chosen = self._chosen()
        for button in (self.change, self.add):
            button.setEnabled(bool(chosen))
        self.none.setEnabled(bool(chosen) and bool(self._keymap.keys(chosen)))
        self.reset.setEnabled(bool(chosen) and not self._keymap.is_default(chosen))
        self.reset_all.setEnabled(bool(self._keymap.chosen()))

    # -- changing

    def _record(self, *, more: bool) -> None:
        if chosen := self._chosen():
            self._recording = (chosen, more)
            self._ask(f"Press the new key of “{title_of(chosen)}”. Esc gives up.", catch=True)
            self.catcher.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_caught(self, key: str) -> None:
        if self._recording is None:
            return
        command_id, more = self._recording
        shown = QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
        owner = self._keymap.owner(key)
        allowed = key in BY_ID[command_id].keys
        if owner == command_id and (more or self._keymap.keys(command_id) == (key,)):
            self._ask(f"{shown} is its key already. Press another one, or Esc.", catch=True)
        elif not allowed and (why := refusal(key)):
            self._ask(f"{why} Press another one, or Esc.", catch=True)
        elif owner and owner != command_id:
            self._ask(
                f"{shown} is the key of “{title_of(owner)}”. Shall it be the key of “{title_of(command_id)}” instead?",
                yes="Take it from there",
                act=lambda: self._give(command_id, key, more=more),
            )
        else:
            self._give(command_id, key, more=more)

    def _give(self, command_id: str, key: str, *, more: bool) -> None:
        self._keymap.set(command_id, (*self._keymap.keys(command_id), key) if more else (key,))
        self._took_effect(f"“{title_of(command_id)}” has now {self._commands.keys_text(command_id)}.")

    def _on_none(self) -> None:
        if chosen := self._chosen():
            self._keymap.set(chosen, ())
            self._took_effect(f"“{title_of(chosen)}” has no key now. It stays in its menu and in the palette.")

    def _on_reset(self) -> None:
        chosen = self._chosen()
        if not chosen:
            return
        others = self._keymap.in_the_way_of_reset(chosen)
        if others:
            names = ", ".join(f"“{title_of(other)}”" for other in others)
            self._ask(f"Its key belongs to {names} now.", yes="Take it from there", act=lambda: self._reset(chosen))
        else:
            self._reset(chosen)

    def _reset(self, command_id: str) -> None:
        self._keymap.reset(command_id)
        self._took_effect(f"“{title_of(command_id)}” is as delivered.")

    def _on_reset_all(self) -> None:
        count = len(self._keymap.chosen())
        said = "One command is" if count == 1 else f"{count} commands are"
        self._ask(f"{said} changed. Shall all keys be as delivered?", yes="All as delivered", act=self._reset_all)

    def _reset_all(self) -> None:
        self._keymap.reset_all()
        self._took_effect("All keys are as delivered.")

    def _took_effect(self, said: str) -> None:
        self._commands.take_keys()
        self.changed.emit()
        self._stop()
        self._fill()
        self.said.setText(said)

    # -- asking

    def _ask(self, said: str, *, catch: bool = False, yes: str = "", act: Callable[[], None] | None = None) -> None:
        self.said.setText(said)
        self.catcher.setVisible(catch)
        self._yes = act
        self.yes.setText(yes)
        self.yes.setVisible(act is not None)
        self.no.setVisible(act is not None)
        if act is not None:
            self.no.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_yes(self) -> None:
        if (act := self._yes) is not None:
            act()

    def _stop(self) -> None:
        had_focus = self.catcher.hasFocus() or self.yes.hasFocus() or self.no.hasFocus()
        self._recording = self._yes = None
        self.said.setText("")
        for widget in (self.catcher, self.yes, self.no):
            widget.hide()
        if had_focus:
            self.table.setFocus(Qt.FocusReason.OtherFocusReason)
