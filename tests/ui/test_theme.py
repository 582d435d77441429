"""Colours are readable, statuses differ in shape, sizes are legible."""

from __future__ import annotations

from typing import Any

import pytest
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFontInfo, QImage, QPainter, QPalette

from mission_control_desktop.domain.messages import MessageRole
from mission_control_desktop.domain.sessions import SessionStatus, WaitingFor
from mission_control_desktop.ui import icons, theme
from mission_control_desktop.ui.theme import shapes
from mission_control_desktop.ui.transcript.highlight import code_color

SCHEMES = pytest.mark.parametrize("look", theme.THEMES, ids=lambda look: look.name)


@SCHEMES
def test_text_has_enough_contrast_everywhere(look: theme.Theme) -> None:
    inks = [
        look.text,
        look.text_muted,
        look.disabled,
        look.accent,
        look.attention,
        look.warning,
        look.error,
        look.thought,
    ]
    inks += [*look.status.values(), *look.role.values()]
    for ink in inks:
        for ground in (look.window, look.surface, look.surface_raised):
            assert theme.contrast(ink, ground) >= 4.5, (ink.name(), ground.name())
    for ink, ground in (
        (look.on_accent, look.accent),
        (look.on_danger, look.danger),
        (look.text, look.selection),
        (look.text_muted, look.selection),
        (look.text, look.hover),
        (look.text, look.diff_added),
        (look.text, look.diff_removed),
        (look.text, look.code_background),
        (look.attention, look.attention_background),
        (look.text, look.attention_background),
        (look.error, look.error_background),
        (look.text, look.error_background),
    ):
        assert theme.contrast(ink, ground) >= 4.5, (ink.name(), ground.name())


@SCHEMES
def test_code_is_readable_in_every_colour(look: theme.Theme) -> None:
    for name in ("comment", "keyword", "string", "number", "name", "builtin", "error"):
        assert theme.contrast(code_color(look, name), look.code_background) >= 4.5, name


@SCHEMES
def test_what_is_chosen_or_under_the_pointer_stays_readable(look: theme.Theme) -> None:
    for ground in (look.selection, look.hover):
        for ink in (look.text, look.text_muted):
            assert theme.contrast(ink, ground) >= 4.5, (ink.name(), ground.name())
        for shape in (*look.status.values(), look.attention, look.error, look.warning, look.focus):
            assert theme.contrast(shape, ground) >= 3, (shape.name(), ground.name())


@SCHEMES
def test_what_is_disabled_can_be_read_and_its_colour_is_not_that_of_what_is_not(look: theme.Theme) -> None:
    made = theme.palette(look)
    group, role = QPalette.ColorGroup.Disabled, QPalette.ColorRole
    for which in (role.WindowText, role.Text, role.ButtonText):
        ink = made.color(group, which)
        assert theme.contrast(ink, look.surface) >= 4.5
        assert ink != made.color(QPalette.ColorGroup.Active, which)
    assert theme.contrast(look.text, look.surface) - theme.contrast(look.disabled, look.surface) > 4


@SCHEMES
def test_outlines_and_focus_can_be_seen(look: theme.Theme) -> None:
    for line in (look.border_strong, look.focus):
        for ground in (look.window, look.surface, look.surface_raised):
            assert theme.contrast(line, ground) >= 3


@SCHEMES
def test_every_status_and_role_has_a_colour(look: theme.Theme) -> None:
    assert set(look.status) == {s.value for s in SessionStatus}
    assert set(look.role) == {r.value for r in MessageRole}


def test_the_contrast_formula_matches_the_standard() -> None:
    assert theme.contrast(QColor("#000000"), QColor("#ffffff")) == pytest.approx(21)
    assert theme.contrast(QColor("#777777"), QColor("#ffffff")) == pytest.approx(4.48, abs=0.01)


def test_statuses_differ_in_shape_not_only_in_colour(qt: Any) -> None:
    drawn: dict[bytes, str] = {}
    cases = [(s, None) for s in SessionStatus] + [(SessionStatus.WAITING, WaitingFor.APPROVAL)]
    for status, waiting_for in cases:
        image = QImage(32, 32, QImage.Format.Format_ARGB32)
        image.fill(Qt.GlobalColor.white)
        painter = QPainter(image)
        theme.paint_status(painter, QRectF(0, 0, 32, 32), status, waiting_for, QColor("#000000"))
        painter.end()
        key = bytes(image.constBits())
        assert key not in drawn, f"{status} looks like {drawn[key]}"
        drawn[key] = f"{status} {waiting_for}"


def test_a_status_has_words(make_session: Any) -> None:
    assert theme.status_text(make_session("a", status="waiting", waiting_for="approval")) == "needs approval"
    assert theme.status_text(make_session("a", status="paused", metadata={"pauseLevel": "hold"})) == "paused (hold)"
    assert theme.status_text(make_session("a", metadata={"pausing": True})) == "pausing"


def test_switching_repaints_and_keeps_text_legible(qt: Any) -> None:
    with qt.waitSignal(theme.signals.theme_changed):
        theme.set_scheme("dark")
    assert theme.current().dark
    theme.set_scheme("light")
    assert not theme.current().dark
    for font in (theme.ui_font(5), theme.mono_font(5)):
        assert QFontInfo(font).pixelSize() >= 11


def test_a_painted_icon_is_painted_once_for_each_theme(qt: Any) -> None:
    theme.set_scheme("light")
    light = theme.status_icon(SessionStatus.RUNNING)
    assert theme.status_icon(SessionStatus.RUNNING).cacheKey() == light.cacheKey()
    others = {
        theme.status_icon(SessionStatus.RUNNING, side=24).cacheKey(),
        theme.status_icon(SessionStatus.WAITING).cacheKey(),
        theme.status_icon(SessionStatus.WAITING, WaitingFor.APPROVAL).cacheKey(),
        theme.level_icon("error").cacheKey(),
    }
    assert len({*others, light.cacheKey()}) == 5
    picture = light.pixmap(16, 16).toImage()
    theme.set_scheme("dark")
    assert theme.status_icon(SessionStatus.RUNNING).pixmap(16, 16).toImage() != picture, "in the colours of now"
    for number in range(3 * shapes.MOST_ICONS):
        theme.painted_icon(number, lambda painter, box: painter.drawRect(box))
    assert len(shapes._icons) <= shapes.MOST_ICONS
    theme.set_scheme("light")
    assert not shapes._icons, "those of another theme are given back"


def test_every_icon_renders_in_the_colour_that_is_asked_for(qt: Any) -> None:
    assert "kill" in icons.names()
    for name in icons.names():
        image = icons.pixmap(name, 16, QColor("#ff0000")).toImage()
        pixels = [image.pixelColor(x, y) for x in range(16) for y in range(16)]
        assert any(p.alpha() > 100 for p in pixels), name
        if name != "app":
            assert all(p.red() > 200 and p.blue() < 60 for p in pixels if p.alpha() > 200), name
