"""Register a provider, or change one: fields as its kind describes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast
from urllib.parse import urlsplit

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from mission_control_desktop.domain.addresses import is_loopback_name
from mission_control_desktop.domain.credentials import MAX_VALUE_CHARS, Credentials
from mission_control_desktop.domain.errors import BadInput
from mission_control_desktop.domain.providers import KindView, ProviderChange, ProviderDraft, ProviderView
from mission_control_desktop.ui.dialogs.fitting import FittingDialog
from mission_control_desktop.ui.launch.start_form import FieldErrors
from mission_control_desktop.ui.once import OnceButton

_ENCRYPTED = ("https", "wss")


def unprotected(url: str) -> bool:
    """Whether what is said to this address crosses a network in clear."""
    try:
        parts = urlsplit(url.strip())
        host = parts.hostname
    except ValueError:
        return False
    return bool(parts.scheme and host and parts.scheme not in _ENCRYPTED and not is_loopback_name(host))


class ProviderForm(FittingDialog):
    """What was typed as a credential leaves it once, towards the control plane, and is never shown again."""

    draft_given = Signal(object)
    """A `ProviderDraft`: a new provider."""
    change_given = Signal(object)
    """A `ProviderChange`: what is different."""

    def __init__(
        self, kinds: Sequence[KindView], view: ProviderView | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._kinds = {one.kind: one for one in kinds}
        self._view = view
        self._errors = FieldErrors()
        self.credentials: dict[str, QLineEdit] = {}
        self.setObjectName("dialog.provider")
        self.setWindowTitle("Register a provider" if view is None else f"Provider {view.name}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(580)
        title = QLabel(self.windowTitle())
        title.setProperty("tone", "heading")
        self.kind = QComboBox()
        self.kind.setObjectName("provider.kind")
        for one in kinds:
            self.kind.addItem(one.title, one.kind)
        self.name = QLineEdit()
        self.name.setObjectName("provider.name")
        self.name.setMaxLength(63)
        self.name.setPlaceholderText("small letters, digits and dashes; part of the ids of its sessions")
        self.address = QLineEdit()
        self.address.setObjectName("provider.address")
        self.insecure = QCheckBox("Send it all unencrypted, the credentials too")
        self.insecure.setObjectName("provider.insecure")
        self.remove_credentials = QCheckBox("Remove what is kept")
        self.remove_credentials.setObjectName("provider.remove_credentials")
        self.remove_credentials.toggled.connect(self._on_remove)
        self.active = QCheckBox("&Enabled: connect to it, and show its sessions")
        self.active.setObjectName("provider.active")
        self.active.setChecked(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(20, 16, 20, 16)
        layout.setSpacing(10)
        layout.addWidget(title)
        self._form = QFormLayout()
        layout.addLayout(self._form)
        self._form.setVerticalSpacing(6)
        self._form.addRow("&Kind", self.kind)
        self._form.addRow("", self._errors.label_for("provider", self.kind))
        self._form.addRow("&Name", self.name)
        self._form.addRow("", self._errors.label_for("name", self.name))
        self._form.addRow("&Address", self.address)
        self._form.addRow("", self.insecure)
        self._form.addRow("", self._errors.label_for("gatewayUrl", self.address))
        # Stands for all of them where an error names them; it is never seen itself.
        self._secrets = QWidget(self)
        self._secrets.hide()
        self._secrets_error = self._errors.label_for("credentials", self._secrets)
        self._form.addRow("", self._secrets_error)
        self._form.addRow("", self.remove_credentials)
        self._form.addRow("", self.active)
        self.note = QLabel("Credentials are sealed by the control plane and never shown again.")
        self.note.setProperty("tone", "muted")
        self.note.setWordWrap(True)
        self.error = QLabel()
        self.error.setObjectName("provider.error")
        self.error.setProperty("tone", "error")
        self.error.setTextFormat(Qt.TextFormat.PlainText)
        self.error.setWordWrap(True)
        self.error.hide()
        self.save = OnceButton("&Register and check" if view is None else "&Save")
        self.save.setObjectName("provider.save")
        self.save.setProperty("kind", "primary")
        self.save.setDefault(True)
        self.save.clicked.connect(self._on_save)
        cancel = QPushButton("Cancel")
        cancel.setAutoDefault(False)
        cancel.clicked.connect(self.reject)
        layout.addWidget(self.note)
        layout.addWidget(self.error)
        buttons = QHBoxLayout()
        layout.addLayout(buttons)
        buttons.addStretch(1)
        buttons.addWidget(cancel)
        buttons.addWidget(self.save)
        if view is not None:
            self._show(view)
        self.kind.currentIndexChanged.connect(lambda _row: self._show_kind())
        self.address.textChanged.connect(self._on_address)
        self._show_kind()
        self._on_address()
        self.remove_credentials.setVisible(view is not None and view.has_credentials)
        (self.kind if view is None and len(kinds) > 1 else self.name).setFocus()

    def _show(self, view: ProviderView) -> None:
        row = self.kind.findData(view.provider)
        if row < 0:
            self.kind.insertItem(0, f"{view.provider} (its adapter is not installed)", view.provider)
            row = 0
        self.kind.setCurrentIndex(row)
        self.kind.setEnabled(False)
        self.kind.setToolTip("To have another kind, register another provider.")
        self.name.setText(view.name)
        self.address.setText(view.gateway_url)
        self.insecure.setChecked(view.allow_insecure)
        self.active.setChecked(view.is_active)

    def _show_kind(self) -> None:
        kind = self._kinds.get(self.kind.currentData() or "")
        schemes = () if kind is None else kind.schemes
        self.address.setPlaceholderText(" or ".join(f"{one}://HOST:PORT" for one in schemes[:2]))
        for line in self.credentials.values():
            self._form.removeRow(line)
        self.credentials = {}
        kept = self._view is not None and self._view.has_credentials
        for field in () if kind is None else kind.credentials:
            line = QLineEdit()
            line.setObjectName(f"provider.credential.{field.name}")
            line.setEchoMode(QLineEdit.EchoMode.Password)
            line.setMaxLength(MAX_VALUE_CHARS)
            hint = "kept sealed; type to replace it" if kept else "required" if field.required else "if it wants one"
            line.setPlaceholderText(hint)
            line.setAccessibleName(field.title)
            self.credentials[field.name] = line
            row, _role = cast("tuple[int, object]", self._form.getWidgetPosition(self._secrets_error))
            self._form.insertRow(row, field.title, line)
        self._secrets.setFocusProxy(next(iter(self.credentials.values()), None))  # type: ignore[arg-type]
        self._errors.clear()
        self._fit()

    def _on_address(self) -> None:
        self.insecure.setVisible(unprotected(self.address.text()))
        self._fit()

    def _on_remove(self, on: bool) -> None:
        for line in self.credentials.values():
            line.setEnabled(not on)

    def _given(self) -> Credentials | None:
        """What was typed; None if nothing was. Raises BadInput."""
        if self.remove_credentials.isChecked():
            return Credentials()
        typed = {name: line.text().strip() for name, line in self.credentials.items()}
        typed = {name: text for name, text in typed.items() if text}
        return Credentials.of(typed) if typed else None

    def _on_save(self) -> None:
        self._errors.clear()
        self.error.hide()
        name, address, insecure = self.name.text().strip(), self.address.text().strip(), self.insecure.isChecked()
        try:
            if unprotected(address) and not insecure:
                raise BadInput(
                    "gatewayUrl",
                    "What is said to this address is not encrypted. Use an encrypted one (https:// or wss://), or a "
                    "tunnel that ends on the control plane's computer; or tick above that you accept it.",
                )
            given = self._given()
        except BadInput as problem:
            self.failed(problem.field, problem.message)
            return
        if self._view is None:
            draft = ProviderDraft(
                name=name,
                provider=self.kind.currentData() or "",
                gateway_url=address,
                credentials=given or Credentials(),
                is_active=self.active.isChecked(),
                allow_insecure=insecure and unprotected(address),
            )
            self._set_busy(True)
            self.draft_given.emit(draft)
            return
        insecure = insecure and unprotected(address)
        change = ProviderChange(
            name=None if name == self._view.name else name,
            gateway_url=None if address == self._view.gateway_url else address,
            credentials=given,
            is_active=None if self.active.isChecked() == self._view.is_active else self.active.isChecked(),
            allow_insecure=None if insecure == self._view.allow_insecure else insecure,
        )
        if change == ProviderChange():
            self.accept()
            return
        self._set_busy(True)
        self.change_given.emit(change)

    def _set_busy(self, busy: bool) -> None:
        self.save.setEnabled(not busy)

    def failed(self, field: str | None, message: str) -> None:
        """It was refused: say so, at the field that is named."""
        self._set_busy(False)
        if not self._errors.show(field, message):
            self.error.setText(message)
            self.error.show()
        self._fit()

    def _fit(self) -> None:
        """Room for what has come in: words that wrap do not make a dialog grow by themselves."""
        layout = self.layout()
        if layout is not None and self.isVisible():
            layout.activate()
            self.resize(self.width(), max(self.height(), layout.totalHeightForWidth(self.width())))

    def done(self, result: int) -> None:
        # What was typed must not live on in a widget that waits for its deletion.
        for line in self.credentials.values():
            line.clear()
        super().done(result)
