"""Which scheme is in effect. Qt follows no scheme of ours on X11, so palette and style sheet are set here."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QColor, QGuiApplication, QPalette, QPixmapCache
from PySide6.QtWidgets import QApplication

from mission_control_desktop.ui.theme.appearance import Appearance, Scheme, appearance, put_in_effect
from mission_control_desktop.ui.theme.fonts import ui_font
from mission_control_desktop.ui.theme.sheet import style_sheet
from mission_control_desktop.ui.theme.tokens import CONTRAST, DARK, LIGHT, Theme

PICTURES_KIB = 2_048
"""What Qt may keep of pictures that it has derived from others, in place of its 10 MiB; a window shows a tenth of this
at a time."""


class ThemeSignals(QObject):
    """`theme_changed` comes after palette, font and style sheet are in place; also for density, size and times."""

    theme_changed = Signal()


signals = ThemeSignals()
_theme: Theme = LIGHT
_followed: QGuiApplication | None = None


def current() -> Theme:
    """The colours in effect."""
    return _theme


def scheme() -> Scheme:
    """What was asked for; see `Appearance`."""
    return appearance().scheme


def set_scheme(wanted: Scheme) -> None:
    """Put a scheme into effect in the whole application; everything else stays."""
    set_appearance(replace(appearance(), scheme=wanted))


def set_appearance(wanted: Appearance) -> None:
    """Put a choice into effect in the whole application."""
    put_in_effect(wanted)
    _apply()


def _apply() -> None:
    global _theme, _followed
    app = QApplication.instance()
    chosen = appearance()
    if not isinstance(app, QApplication):
        _theme = {"dark": DARK, "contrast": CONTRAST}.get(chosen.scheme, LIGHT)
        return
    if _followed is not app:
        _followed = app
        QPixmapCache.setCacheLimit(PICTURES_KIB)
        hints = app.styleHints()
        hints.colorSchemeChanged.connect(_on_system_changed)
        hints.accessibility().contrastPreferenceChanged.connect(_on_system_changed)
    _theme = _wanted(chosen.scheme, app)
    if app.style().objectName().lower() != "fusion":
        app.setStyle("Fusion")
    app.setFont(ui_font())
    app.setPalette(palette(_theme))
    app.setStyleSheet(style_sheet(_theme))
    signals.theme_changed.emit()


def _wanted(asked: Scheme, app: QApplication) -> Theme:
    match asked:
        case "light":
            return LIGHT
        case "dark":
            return DARK
        case "contrast":
            return CONTRAST
    hints = app.styleHints()
    if hints.accessibility().contrastPreference() is Qt.ContrastPreference.HighContrast:
        return CONTRAST
    return DARK if hints.colorScheme() is Qt.ColorScheme.Dark else LIGHT


def _on_system_changed() -> None:
    if scheme() == "system":
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
        result.setColor(QPalette.ColorGroup.Disabled, which, theme.disabled)
    return result
