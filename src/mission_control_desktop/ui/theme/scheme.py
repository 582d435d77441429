"""Which scheme is in effect. Qt follows no scheme of ours on X11, so palette and style sheet are set here."""

from __future__ import annotations

from typing import Literal, get_args

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

from mission_control_desktop.ui.theme.fonts import ui_font
from mission_control_desktop.ui.theme.sheet import style_sheet
from mission_control_desktop.ui.theme.tokens import DARK, LIGHT, Theme

Scheme = Literal["system", "light", "dark"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)


class ThemeSignals(QObject):
    """`theme_changed` comes after palette and style sheet are in place."""

    theme_changed = Signal()


signals = ThemeSignals()
_scheme: Scheme = "system"
_theme: Theme = LIGHT
_followed: QGuiApplication | None = None


def current() -> Theme:
    """The colours in effect."""
    return _theme


def scheme() -> Scheme:
    """What was asked for; `system` follows the desktop where it says what it wants, and is light elsewhere."""
    return _scheme


def set_scheme(wanted: Scheme) -> None:
    """Put a scheme into effect in the whole application."""
    global _scheme
    _scheme = wanted
    _apply()


def _apply() -> None:
    global _theme, _followed
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        _theme = DARK if _scheme == "dark" else LIGHT
        return
    if _followed is not app:
        _followed = app
        app.styleHints().colorSchemeChanged.connect(_on_system_changed)
    wanted_dark = _scheme == "dark" or (_scheme == "system" and app.styleHints().colorScheme() is Qt.ColorScheme.Dark)
    _theme = DARK if wanted_dark else LIGHT
    if app.style().objectName().lower() != "fusion":
        app.setStyle("Fusion")
    app.setFont(ui_font())
    app.setPalette(palette(_theme))
    app.setStyleSheet(style_sheet(_theme))
    signals.theme_changed.emit()


def _on_system_changed() -> None:
    if _scheme == "system":
        _apply()


def palette(theme: Theme) -> QPalette:
    """Qt's palette of a theme, for everything that paints itself."""
    result = QPalette()
    role = QPalette.ColorRole
    for which, color in {
        role.Window: theme.surface,
        role.WindowText: theme.text,
        role.Base: theme.surface_raised,
        role.AlternateBase: theme.surface,
        role.Text: theme.text,
        role.PlaceholderText: theme.text_muted,
        role.Button: theme.surface_raised,
        role.ButtonText: theme.text,
        role.BrightText: theme.error,
        role.ToolTipBase: theme.surface_raised,
        role.ToolTipText: theme.text,
        role.Highlight: theme.selection,
        role.HighlightedText: theme.text,
        role.Accent: theme.accent,
        role.Link: theme.accent,
        role.LinkVisited: theme.accent,
        role.Light: theme.surface_raised,
        role.Midlight: theme.surface,
        role.Mid: theme.border,
        role.Dark: theme.border_strong,
        role.Shadow: QColor("#000000"),
    }.items():
        result.setColor(which, color)
    for which in (role.WindowText, role.Text, role.ButtonText):
        result.setColor(QPalette.ColorGroup.Disabled, which, theme.text_muted)
    return result
