"""The first screen, and the one behind "New agent": cards on the left, what is asked on the right."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.profiles import ProfileView
from mission_control_desktop.ui import icons, theme
from mission_control_desktop.ui.launch.start_form import StartForm
from mission_control_desktop.ui.plane_choice import PlaneChoice


class Card(QPushButton):
    """One agent that can be started: name, command, version."""

    def __init__(self, title: str, words: Sequence[str], note: str, icon_name: str, *, demo: bool = False) -> None:
        super().__init__()
        self.setCheckable(True)
        self.setProperty("kind", "card")
        self.setAccessibleName(f"{title}. {note}")
        self._icon_name = icon_name
        self._icon = QLabel()
        self._icon.setFixedSize(24, 24)
        heading = QLabel(title)
        heading.setProperty("tone", "heading")
        heading.setTextFormat(Qt.TextFormat.PlainText)
        command = QLabel(short_command(words))
        theme.keep_font(command, "text_small", mono=True)
        command.setTextFormat(Qt.TextFormat.PlainText)
        command.setProperty("tone", "muted")
        command.setToolTip(shlex.join(words))
        command.setSizePolicy(command.sizePolicy().Policy.Ignored, command.sizePolicy().Policy.Preferred)
        below = QLabel(note)
        below.setProperty("tone", "small")
        below.setTextFormat(Qt.TextFormat.PlainText)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 10, 12, 10)
        layout.setSpacing(12)
        layout.addWidget(self._icon, 0, Qt.AlignmentFlag.AlignTop)
        lines = QVBoxLayout()
        layout.addLayout(lines, 1)
        lines.setSpacing(2)
        head = QHBoxLayout()
        lines.addLayout(head)
        head.setSpacing(8)
        head.addWidget(heading)
        if demo:
            tag = QLabel("DEMO")
            tag.setProperty("tone", "demo")
            head.addWidget(tag, 0, Qt.AlignmentFlag.AlignVCenter)
        head.addStretch(1)
        lines.addWidget(command)
        lines.addWidget(below)
        for label in (heading, command, below, self._icon):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.refresh_icon()

    def refresh_icon(self) -> None:
        """Take the theme's colours."""
        self._icon.setPixmap(icons.pixmap(self._icon_name, 24, theme.current().text_muted, ratio=2))

    def sizeHint(self) -> QSize:
        layout = self.layout()
        return layout.sizeHint() if layout is not None else super().sizeHint()

    def minimumSizeHint(self) -> QSize:
        return QSize(200, self.sizeHint().height())


def short_command(words: Sequence[str]) -> str:
    """A command as a person knows it: programs and scripts by name, not by where they lie."""
    return " ".join(Path(word).name if word.startswith("/") else word for word in words)


class LaunchScreen(QFrame):
    """Cards for every profile. The presenter brings profiles and takes requests."""

    start_requested = Signal(object)
    demo_requested = Signal()
    own_requested = Signal()
    edit_requested = Signal(str)
    refresh_requested = Signal()
    closed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("launch")
        self.setProperty("surface", "window")
        self._profiles: dict[str, ProfileView] = {}
        self._cards: dict[str, Card] = {}
        self._group = QButtonGroup(self)
        self._group.setExclusive(True)
        self.title = QLabel()
        self.title.setProperty("tone", "title")
        self.subtitle = QLabel()
        self.subtitle.setProperty("tone", "muted")
        self.subtitle.setWordWrap(True)
        self._refusals = ("", "")
        self._place = "this computer"
        self.plane = PlaneChoice("Start it &on")
        self.refusal = QLabel()
        self.refusal.setProperty("tone", "attention")
        self.refusal.setWordWrap(True)
        self.refusal.hide()
        self.back = QPushButton("Back to the panels")
        self.back.setAutoDefault(False)
        self.back.clicked.connect(self.closed)

        self._cards_box = QWidget()
        self._cards_layout = QVBoxLayout(self._cards_box)
        self._cards_layout.setContentsMargins(0, 0, 10, 0)
        self._cards_layout.setSpacing(8)
        self._cards_layout.addStretch(1)
        self._lines: list[QWidget] = []
        """What stands in it, from top to bottom."""
        area = QScrollArea()
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # the cards in it take the focus
        area.setWidgetResizable(True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(self._cards_box)
        area.setMinimumWidth(300)
        area.setSizeAdjustPolicy(QScrollArea.SizeAdjustPolicy.AdjustIgnored)
        area.viewport().setAutoFillBackground(False)
        self._cards_box.setAutoFillBackground(False)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

        self.form = StartForm()
        holder = QFrame()
        holder.setProperty("surface", "card")
        inner = QVBoxLayout(holder)
        inner.setContentsMargins(20, 16, 20, 16)
        inner.addWidget(self.form)

        body = QWidget()
        body.setMaximumWidth(1120)
        column = QVBoxLayout(body)
        column.setContentsMargins(24, 24, 24, 24)
        column.setSpacing(16)
        head = QHBoxLayout()
        column.addLayout(head)
        words = QVBoxLayout()
        head.addLayout(words, 1)
        words.setSpacing(4)
        words.addWidget(self.title)
        words.addWidget(self.subtitle)
        words.addWidget(self.plane)
        words.addWidget(self.refusal)
        head.addWidget(self.back, 0, Qt.AlignmentFlag.AlignTop)
        grid = QGridLayout()
        column.addLayout(grid, 1)
        grid.setHorizontalSpacing(16)
        grid.addWidget(area, 0, 0)
        grid.addWidget(holder, 0, 1, Qt.AlignmentFlag.AlignTop)
        grid.setColumnStretch(0, 5)
        grid.setColumnStretch(1, 6)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addStretch(1)
        outer.addWidget(body, 100)
        outer.addStretch(1)

        self.form.start_requested.connect(self.start_requested)
        self.form.demo_requested.connect(self.demo_requested)
        self.form.edit_requested.connect(self.edit_requested)
        self._group.buttonToggled.connect(self._on_toggled)
        theme.signals.theme_changed.connect(self._on_theme)
        self.set_first_run(True)
        self.show_profiles((), note="Looking for agents on this computer…")

    def set_first_run(self, first: bool) -> None:
        """Words for someone who has no session yet, or for someone who wants another agent."""
        if first:
            self.title.setText("Start your first agent")
            self.subtitle.setText(
                "Agents found on this computer are offered here. No account is needed: each agent uses its own. "
                "To look around first, start the demo mission."
            )
        else:
            self.title.setText("New agent")
            self.subtitle.setText("It gets a panel and a place in the roster, and goes on when this window is closed.")
        self.back.setVisible(not first)

    def set_place(self, name: str, *, here: bool) -> None:
        """On which control plane it is started; `here`: on this computer, whose folders can be looked into."""
        self._place = name
        self.form.set_place(name, here=here)

    def set_refusals(self, start: str, change: str) -> None:
        """Why the person may not start an agent, and why they may not add or change a profile; empty if they may."""
        self._refusals = start, change
        self.form.set_refusals(start, change)
        self.refusal.setText(start)
        self.refusal.setVisible(bool(start))
        if (own := self.findChild(QPushButton, "add_own")) is not None:
            own.setEnabled(not change)
            own.setToolTip(change)

    @property
    def profiles(self) -> tuple[ProfileView, ...]:
        """The profiles that are offered now."""
        return tuple(self._profiles.values())

    def show_profiles(self, profiles: Sequence[ProfileView], *, note: str = "") -> None:
        """Make the cards: the demo, one's own, then what was found."""
        chosen = next((name for name, card in self._cards.items() if card.isChecked()), None)
        had_focus = next((name for name, card in self._cards.items() if card.hasFocus()), None)
        for card in self._cards.values():
            self._group.removeButton(card)
        for old in self._lines:
            self._cards_layout.removeWidget(old)
            old.hide()
            old.deleteLater()
        self._lines = []
        self._cards = {}
        self._profiles = {p.name: p for p in profiles}
        demos = [p for p in profiles if p.demo]
        own = [p for p in profiles if not p.demo and not p.detected]
        found = [p for p in profiles if p.detected]
        for profile in demos:
            self._add(profile, "Demo mission", "scripted agents · no key, no network", "demo")
        for heading, group in (("Your profiles", own), (f"Found on {self._place}", found)):
            if group:
                label = QLabel(heading)
                label.setProperty("tone", "small")
                self._put(label)
            for profile in group:
                version = f"version {profile.version}" if profile.version else "version not known"
                self._add(profile, profile.title or profile.name, version, "agent")
        if profiles and not found:
            none = QLabel(
                f"No known agent was found in PATH of {self._place} (Claude Code, Codex, Gemini, OpenCode, Qwen, Kimi, "
                "Vibe, …). Install one, or add any command that speaks the Agent Client Protocol."
            )
            none.setProperty("tone", "muted")
            none.setWordWrap(True)
            self._put(none)
        if note:
            label = QLabel(note)
            label.setProperty("tone", "muted")
            label.setWordWrap(True)
            self._put(label)
        stops: list[QWidget] = [self.back, *self._cards.values()]
        if profiles:
            row = QHBoxLayout()
            own_button = QPushButton("&Add a command of your own…")
            own_button.setObjectName("add_own")
            icons.bind(own_button, "plus")
            own_button.setAutoDefault(False)
            own_button.clicked.connect(self.own_requested)
            own_button.setEnabled(not self._refusals[1])
            own_button.setToolTip(self._refusals[1])
            again = QPushButton("&Look again")
            icons.bind(again, "refresh")
            again.setAutoDefault(False)
            again.clicked.connect(self.refresh_requested)
            row.addWidget(own_button)
            row.addWidget(again)
            row.addStretch(1)
            holder = QWidget()
            holder.setLayout(row)
            row.setContentsMargins(0, 0, 0, 0)
            self._put(holder)
            stops += [own_button, again]
        # They are younger than the form beside them, and come before it.
        for former, following in pairwise(stops):
            QWidget.setTabOrder(former, following)
        wanted = self._cards.get(chosen or "") or next(iter(self._cards.values()), None)
        if wanted is not None:
            wanted.setChecked(True)
        else:
            self.form.show_profile(None)
        if had_focus in self._cards:
            self._cards[had_focus].setFocus()
        elif self.hasFocus():  # it was asked for before there was anything to begin with
            self.focus_first()

    def _add(self, profile: ProfileView, title: str, note: str, icon_name: str) -> None:
        card = Card(title, profile.command, note, icon_name, demo=profile.demo)
        card.setObjectName(f"card.{profile.name}")
        self._cards[profile.name] = card
        self._group.addButton(card)
        self._put(card)

    def _put(self, widget: QWidget) -> None:
        self._cards_layout.insertWidget(len(self._lines), widget)
        self._lines.append(widget)

    def choose(self, name: str) -> None:
        """Select a profile's card."""
        if name in self._cards:
            self._cards[name].setChecked(True)

    def profile(self, name: str) -> ProfileView | None:
        """A profile that is shown."""
        return self._profiles.get(name)

    def focus_first(self) -> None:
        """Put the focus where one begins."""
        card = next((c for c in self._cards.values() if c.isChecked()), None)
        (card or self).setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_toggled(self, button: QPushButton, on: bool) -> None:
        if on:
            name = next((n for n, c in self._cards.items() if c is button), "")
            self.form.show_profile(self._profiles.get(name))

    def _on_theme(self) -> None:
        for card in self._cards.values():
            card.refresh_icon()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.back.isVisible():
            self.closed.emit()
            return
        super().keyPressEvent(event)
