"""Providers: where sessions come from. Register, check, change, switch off, remove."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from PySide6.QtCore import QModelIndex, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QScrollArea, QWidget

from mission_control_desktop.domain.providers import CheckReport, KindView, ProviderView
from mission_control_desktop.ui import theme, words
from mission_control_desktop.ui.once import OnceButton
from mission_control_desktop.ui.settings.check_view import CheckView
from mission_control_desktop.ui.settings.page import PlanePage
from mission_control_desktop.ui.settings.provider_table import ProvidersModel, look_of, providers_table

BUILT_IN = "It is built in: it runs the agents of {}, and is neither changed nor removed."
CHOOSE = "Choose a provider first."


class ProvidersPage(PlanePage):
    """Shows and asks; `providers_presenter` carries out. Requests name the provider by its id."""

    key, title = "providers", "Providers"

    turned_to = Signal()
    register_requested = Signal()
    edit_requested = Signal(str)
    check_requested = Signal(str)
    cancel_requested = Signal(str)
    active_requested = Signal(str, bool)
    remove_requested = Signal(str)

    def __init__(self, place: str = "this computer", parent: QWidget | None = None) -> None:
        """`place`: where the control plane runs its own agents."""
        super().__init__(parent)
        self._built_in = BUILT_IN.format(place)
        self._refusal = ""
        self._busy: set[str] = set()
        self._checks: dict[str, CheckReport | None] = {}
        self._problems: dict[str, str] = {}
        self._chosen = ""
        self.kinds: tuple[KindView, ...] = ()
        about = QLabel(f"Where sessions come from: agents of {place}, gateways, other Mission Controls.")
        about.setProperty("tone", "muted")
        about.setWordWrap(True)
        self.refusal = _notice("providers.refusal", "attention")
        self.problem = _notice("providers.problem", "error")
        self.model = ProvidersModel(place, parent=self)
        self.table = providers_table(self.model)
        self.table.setMinimumHeight(130)
        self.table.selectionModel().currentRowChanged.connect(self._on_row)
        self.table.activated.connect(self._on_activated)
        self.model.modelReset.connect(self._on_reset)
        self.register_ = _button("Re&gister…", "providers.register")
        self.register_.setProperty("kind", "primary")
        self.check = _button("Chec&k", "providers.check_button")
        self.edit = _button("&Edit…", "providers.edit")
        self.switch = _button("&Disable", "providers.switch")
        self.remove = _button("Re&move…", "providers.remove")
        self.register_.clicked.connect(self.register_requested)
        self.check.clicked.connect(lambda: self.check_requested.emit(self._chosen))
        self.edit.clicked.connect(lambda: self.edit_requested.emit(self._chosen))
        self.switch.clicked.connect(self._on_switch)
        self.remove.clicked.connect(lambda: self.remove_requested.emit(self._chosen))
        self.detail = CheckView()
        self.detail.cancel_requested.connect(lambda: self.cancel_requested.emit(self._chosen))
        self.detail.hide()
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(self.detail)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for widget in (about, self.refusal, self.problem):
            self.column.addWidget(widget)
        self.column.addWidget(self.table, 2)
        row = QHBoxLayout()
        self.column.addLayout(row)
        for button in (self.register_, self.check, self.edit, self.switch):
            row.addWidget(button)
        row.addStretch(1)
        row.addWidget(self.remove)
        self.column.addWidget(area, 3)
        theme.signals.theme_changed.connect(self.model.refresh)
        self._refresh()

    def shown(self) -> None:
        self.turned_to.emit()

    @property
    def chosen(self) -> ProviderView | None:
        """The provider whose row is selected."""
        return self.view_of(self._chosen)

    def view_of(self, provider_id: str) -> ProviderView | None:
        """A provider as it was shown last."""
        return self.model.view_at(self.model.row_of(provider_id))

    # -- what is shown

    def set_refusal(self, why: str) -> None:
        """Why nothing can be changed here; empty if everything can."""
        self._refusal = why
        self.refusal.setText(why)
        self.refusal.setVisible(bool(why))
        self._refresh()

    def show_problem(self, text: str) -> None:
        """What went wrong with the list, or with an act on it; empty takes it away."""
        self.problem.setText(text)
        self.problem.setVisible(bool(text))

    def show_providers(self, views: Sequence[ProviderView], kinds: Sequence[KindView]) -> None:
        """The list as it is now, and what more could be registered."""
        self.kinds = tuple(kinds)
        self.model.show_views(views, {one.kind: one.title for one in kinds})
        if self.model.row_of(self._chosen) < 0 and views:
            self.choose(views[0].id)
        self._refresh()

    def show_counts(self, counts: Mapping[str, tuple[int, int]]) -> None:
        """Sessions of each provider, by name: known, and not ended. Ages are told anew."""
        self.model.show_counts(counts)
        self._show_detail()

    def choose(self, provider_id: str) -> None:
        """Select a provider's row."""
        row = self.model.row_of(provider_id)
        if row >= 0:
            self._chosen = provider_id
            self.table.selectRow(row)
            self._refresh()

    def set_busy(self, provider_id: str, busy: bool) -> None:
        """While something is asked for, it is not asked for again."""
        (self._busy.add if busy else self._busy.discard)(provider_id)
        self._refresh()

    def check_began(self, provider_id: str) -> None:
        """This window waits for a check."""
        self._problems.pop(provider_id, None)
        self._checks[provider_id] = None
        with_focus = self.check.hasFocus()
        self._refresh()
        if with_focus:
            self.detail.cancel.setFocus()

    def check_told(self, provider_id: str, report: CheckReport) -> None:
        """What is known of it so far."""
        if provider_id in self._checks:
            self._checks[provider_id] = report
            self._show_detail()

    def check_ended(self, provider_id: str, problem: str = "") -> None:
        """It came to its end (the list has its result), or could not be made."""
        if provider_id not in self._checks:
            return
        del self._checks[provider_id]
        if problem:
            self._problems[provider_id] = problem
        with_focus = self.detail.cancel.hasFocus()
        self._refresh()
        if with_focus:
            self.check.setFocus()

    # -- inside

    def _on_row(self, now: QModelIndex, _before: QModelIndex) -> None:
        view = self.model.view_at(now.row())
        if view is not None:
            self._chosen = view.id
            self._refresh()

    def _on_reset(self) -> None:
        row = self.model.row_of(self._chosen)
        if row >= 0:
            self.table.selectRow(row)

    def _on_activated(self, index: QModelIndex) -> None:
        view = self.model.view_at(index.row())
        if view is not None and self.edit.isEnabled():
            self.edit_requested.emit(view.id)

    def _on_switch(self) -> None:
        view = self.chosen
        if view is not None:
            self.active_requested.emit(view.id, not view.is_active)

    def _refresh(self) -> None:
        view = self.chosen
        why = self._refusal or (CHOOSE if view is None else self._built_in if view.built_in else "")
        busy = self._chosen in self._busy
        checking = self._chosen in self._checks
        hints = {
            self.check: "Try the connection now, stage by stage",
            self.edit: "Change its name, address or credentials",
            self.switch: (
                "Connect to it again"
                if view is not None and not view.is_active
                else "Do without it: nothing is stopped, its sessions stay on record"
            ),
            self.remove: "Forget it with its credentials; its sessions and the audit log stay on record",
        }
        for button, hint in hints.items():
            button.setEnabled(not why and not busy and not (checking and button is self.check))
            button.setToolTip(why or hint)
            button.setAccessibleDescription(why or hint)
        self.register_.setEnabled(not self._refusal and bool(self.kinds))
        nothing = "" if self.kinds else "The control plane has no adapters installed, or its list is not read yet."
        self.register_.setToolTip(self._refusal or nothing or "Register a gateway or another Mission Control")
        self.check.setText("Checking…" if checking else "Chec&k")
        self.switch.setText("&Enable" if view is not None and not view.is_active else "&Disable")
        self._show_detail()

    def _show_detail(self) -> None:
        view = self.chosen
        self.detail.setVisible(view is not None)
        if view is None:
            return
        look = look_of(view, words.utc_now())
        if view.built_in and not look.detail:
            look = replace(look, detail=self._built_in)
        waiting = view.id in self._checks
        report = self._checks[view.id] if waiting else view.last_check
        if report is not None and any(one.detail == look.detail for one in report.stages):
            look = replace(look, detail="")  # it stands below, at its stage
        self.detail.show_state(view.name, look)
        self.detail.show_report(report, waiting=waiting, problem=self._problems.get(view.id, ""))
        self.detail.show_checks(not view.built_in)


def _notice(name: str, tone: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setProperty("tone", tone)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setWordWrap(True)
    label.hide()
    return label


def _button(text: str, name: str) -> OnceButton:
    button = OnceButton(text)
    button.setObjectName(name)
    return button
