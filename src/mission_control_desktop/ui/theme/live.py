"""Keeps what a widget took from the theme as the theme is now, also after another choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar, cast

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QLayout, QWidget

from mission_control_desktop.ui.theme.fonts import metrics, mono_font, ui_font
from mission_control_desktop.ui.theme.scheme import signals

O = TypeVar("O", bound=QObject)  # noqa: E741 - any kind of object
Size = Literal["text_small", "text", "text_large", "text_title"]
Distance = Literal["gap_small", "gap", "gap_large", "margin"]


class _Keeper(QObject):
    def __init__(self, owner: QObject, apply: Callable[[QObject], None]) -> None:
        super().__init__(owner)
        self._apply = apply
        signals.theme_changed.connect(self._on_theme)
        apply(owner)

    def _on_theme(self) -> None:
        if (owner := self.parent()) is not None:
            self._apply(owner)


def keep(owner: O, apply: Callable[[O], None]) -> None:
    """Call `apply(owner)` now and whenever the theme changes, as long as the owner lives. `apply` must not hold the
    owner or anything that does."""
    _Keeper(owner, cast(Callable[[QObject], None], apply))


def keep_font(widget: QWidget, size: Size = "text", *, bold: bool = False, mono: bool = False) -> None:
    """Give a widget a font of the theme, by the name of its size."""
    make = mono_font if mono else ui_font
    keep(widget, lambda w: w.setFont(make(getattr(metrics, size), bold=bold)))


def keep_distances(
    layout: QLayout, *, margins: tuple[Distance | int, ...] | None = None, spacing: Distance | None = None
) -> None:
    """Give a layout distances of the theme, by their names; a number stays as it is. `margins`: left, top, right,
    bottom."""

    def apply(kept: QLayout) -> None:
        if margins is not None:
            left, top, right, bottom = (m if isinstance(m, int) else getattr(metrics, m) for m in margins)
            kept.setContentsMargins(left, top, right, bottom)
        if spacing is not None:
            kept.setSpacing(getattr(metrics, spacing))

    keep(layout, apply)
