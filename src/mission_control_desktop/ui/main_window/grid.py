"""Where panels go: the arithmetic of grids and neighbours, over a dock manager."""

from __future__ import annotations

from typing import Any

import PySide6QtAds as QtAds
from PySide6.QtCore import QPoint
from PySide6.QtGui import QGuiApplication

GRIDS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 6: (3, 2), 9: (3, 3)}
"""Columns and rows of the grid presets."""
READABLE_WIDTH = 420
"""Width of a panel, in device-independent pixels, below which a new row is better than another column."""
_TOUCHING = -8
"""Neighbours may overlap by the width of a splitter's handle."""

SIDES = {
    "left": QtAds.LeftDockWidgetArea,
    "right": QtAds.RightDockWidgetArea,
    "up": QtAds.TopDockWidgetArea,
    "down": QtAds.BottomDockWidgetArea,
}


def configure_docking() -> None:
    """Options that must be set before the first manager is made."""
    flag = QtAds.CDockManager.eConfigFlag
    for which, on in (
        (flag.OpaqueSplitterResize, True),
        (flag.AlwaysShowTabs, True),
        (flag.AllTabsHaveCloseButton, True),
        (flag.DockAreaHasCloseButton, False),
        (flag.DockAreaHasUndockButton, False),
        (flag.DockAreaHasTabsMenuButton, False),
        (flag.FocusHighlighting, True),
        (flag.EqualSplitOnInsertion, True),
        (flag.FloatingContainerHasWidgetTitle, True),
        (flag.FloatingContainerHasWidgetIcon, False),
        (flag.MiddleMouseButtonClosesTab, True),
        (flag.XmlCompressionEnabled, True),
        (flag.TabCloseButtonIsToolButton, True),
    ):
        QtAds.CDockManager.setConfigFlag(which, on)


def fitting(count: int, width: int) -> tuple[int, int]:
    """Columns and rows for so many panels on so many pixels: wide enough to read, and never more than two rows where
    three columns do."""
    if count < 1:
        return (1, 1)
    wide = max(1, min(3, width // READABLE_WIDTH))
    rows = -(-count // wide)
    if rows > 2:
        rows = -(-count // 3)
    return -(-count // rows), rows


def build(manager: Any, docks: list[Any], columns: int, rows: int) -> None:
    """Put docks into a grid. Each cell takes a run of neighbours, so that reading order survives a smaller grid."""
    used = min(columns * rows, len(docks))
    columns = min(columns, -(-used // rows))
    shares = [len(docks) // used + (1 if n < len(docks) % used else 0) for n in range(used)]
    runs = [docks[sum(shares[:n]) : sum(shares[: n + 1])] for n in range(used)]
    areas: list[Any] = []
    for n, run in enumerate(runs):
        # First the top row, each cell beside the one before; then the rows below.
        if n == 0:
            area = manager.addDockWidget(QtAds.CenterDockWidgetArea, run[0])
        elif n < columns:
            area = manager.addDockWidget(QtAds.RightDockWidgetArea, run[0])
        else:
            area = manager.addDockWidget(QtAds.BottomDockWidgetArea, run[0], areas[n - columns])
        areas.append(area)
        for dock in run[1:]:
            manager.addDockWidget(QtAds.CenterDockWidgetArea, dock, area)
        area.setCurrentIndex(0)
    root = manager.rootSplitter()
    root.setSizes([1000] * root.count())
    for area in areas:
        sizes = manager.splitterSizes(area)
        if len(sizes) > 1:
            manager.setSplitterSizes(area, [1000] * len(sizes))


def add_beside_largest(manager: Any, dock: Any) -> None:
    """Split the largest place for a dock; where all are small, put it into that one's tabs."""
    areas = list(manager.openedDockAreas())
    if not areas:
        manager.addDockWidget(QtAds.CenterDockWidgetArea, dock)
        return
    area = max(areas, key=lambda a: a.width() * a.height())
    if area.width() < 500 and area.height() < 400:
        side = QtAds.CenterDockWidgetArea
    elif area.width() >= area.height():
        side = QtAds.RightDockWidgetArea
    else:
        side = QtAds.BottomDockWidgetArea
    manager.addDockWidget(side, dock, area)


def neighbour(manager: Any, area: Any | None, direction: str) -> Any | None:
    """The nearest dock area `left`, `right`, `up` or `down` of one, or None at the edge."""
    if area is None:
        return None
    here = area.geometry().translated(area.parentWidget().mapTo(manager, QPoint(0, 0)))
    best: tuple[int, Any] | None = None
    for other in manager.openedDockAreas():
        if other is area or other.window() is not area.window():
            continue
        there = other.geometry().translated(other.parentWidget().mapTo(manager, QPoint(0, 0)))
        beside = there.top() < here.bottom() and there.bottom() > here.top()
        over = there.left() < here.right() and there.right() > here.left()
        aligned, gap = {
            "left": (beside, here.left() - there.right()),
            "right": (beside, there.left() - here.right()),
            "up": (over, here.top() - there.bottom()),
            "down": (over, there.top() - here.bottom()),
        }[direction]
        if aligned and gap >= _TOUCHING and (best is None or gap < best[0]):
            best = (gap, other)
    return best[1] if best else None


def keep_on_screen(manager: Any) -> None:
    """Floats whose monitor is gone come to the nearest place that can be seen."""
    for floating in manager.floatingWidgets():
        frame = floating.frameGeometry()
        if any(s.availableGeometry().intersects(frame) for s in QGuiApplication.screens()):
            continue
        area = QGuiApplication.primaryScreen().availableGeometry()
        floating.resize(min(frame.width(), area.width()), min(frame.height(), area.height()))
        floating.move(area.center() - floating.rect().center())


def structure(manager: Any, docks: dict[str, Any]) -> tuple[frozenset[str], tuple[tuple[str, ...], ...]]:
    """Which panels are open, and how they share places: equal as long as nobody moved one."""
    areas = [tuple(dock.objectName() for dock in area.openedDockWidgets()) for area in manager.openedDockAreas()]
    floating = tuple(i for i, dock in docks.items() if dock.isInFloatingContainer())
    return frozenset(docks), (*areas, floating)
