"""How the window looks: colours by meaning, fonts, sizes and the shapes of statuses.

Widgets ask `current()` when they paint and connect to `signals.theme_changed`; they keep no colour of their own.
"""

from mission_control_desktop.ui.theme.appearance import (
    DENSITIES,
    MINIMUM_PIXELS,
    SCHEMES,
    TEXT_SIZES,
    Appearance,
    Density,
    Scheme,
    appearance,
)
from mission_control_desktop.ui.theme.fonts import Metrics, metrics, mono_font, ui_font
from mission_control_desktop.ui.theme.live import keep, keep_distances, keep_font
from mission_control_desktop.ui.theme.scheme import current, palette, scheme, set_appearance, set_scheme, signals
from mission_control_desktop.ui.theme.shapes import (
    level_icon,
    paint_level,
    paint_status,
    painted_icon,
    status_icon,
    status_text,
)
from mission_control_desktop.ui.theme.tokens import CONTRAST, DARK, LIGHT, THEMES, Theme, contrast

__all__ = [
    "CONTRAST",
    "DARK",
    "DENSITIES",
    "LIGHT",
    "MINIMUM_PIXELS",
    "SCHEMES",
    "TEXT_SIZES",
    "THEMES",
    "Appearance",
    "Density",
    "Metrics",
    "Scheme",
    "Theme",
    "appearance",
    "contrast",
    "current",
    "keep",
    "keep_distances",
    "keep_font",
    "level_icon",
    "metrics",
    "mono_font",
    "paint_level",
    "paint_status",
    "painted_icon",
    "palette",
    "scheme",
    "set_appearance",
    "set_scheme",
    "signals",
    "status_icon",
    "status_text",
    "ui_font",
]
