"""Where panels go: the arithmetic of grids and neighbours, over a dock manager."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import PySide6QtAds as QtAds
from PySide6.QtCore import QPoint, Qt

from mission_control_desktop.ui.desk.arrangement import Split, Tabs, Tree

GRIDS = {1: (1, 1), 2: (2, 1), 4: (2, 2), 6: (3, 2), 9: (3, 3)}
"""Columns and rows of the grid presets."""
READABLE_WIDTH = 420
"""Width of a panel, in device-independent pixels, below which a new row is better than another column."""
READABLE_HEIGHT = 280
"""Height of a panel below which its transcript has no room, in device-independent pixels."""
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
        (flag.XmlCompressionEnabled, False),
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


def readable(width: int, height: int) -> tuple[int, int]:
    """As many columns and rows as can be read in so much room."""
    return max(1, width // READABLE_WIDTH), max(1, height // READABLE_HEIGHT)


def tree(panels: Sequence[str], columns: int, rows: int, fronts: Sequence[str] = ()) -> Tree:
    """A grid of panels, row by row. Each cell takes a run of neighbours, so that reading order survives a smaller grid;
    of those, the first of `fronts` is seen."""
    used = min(columns * rows, len(panels))
    columns = min(columns, -(-used // rows))
    shares = [len(panels) // used + (1 if n < len(panels) % used else 0) for n in range(used)]
    cells = []
    for n in range(used):
        run = tuple(panels[sum(shares[:n]) : sum(shares[: n + 1])])
        cells.append(Tabs(panels=run, front=next((i for i in fronts if i in run), run[0])))
    # Columns of rows: so a row's end can be taken by one higher panel without a hole.
    parts = [_stack(cells[column::columns], across=False) for column in range(columns)]
    return _stack(parts, across=True)


def _stack(parts: Sequence[Tree], *, across: bool) -> Tree:
    return parts[0] if len(parts) == 1 else Split(across=across, parts=tuple(parts))


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


def square(count: int, width: int, height: int) -> tuple[int, int]:
    """Columns and rows that give each of so many panels a place, as near to a page's shape as the room allows."""
    best = (1, max(1, count))
    worst = float("inf")
    for columns in range(1, max(1, count) + 1):
        rows = -(-count // columns)
        cell = (width / columns) / max(1.0, height / rows)
        # Empty cells are waste; a panel twice as wide as high reads as well as one that is as high as wide.
        score = abs(cell - 1.3) + 0.2 * (columns * rows - count)
        if score < worst:
            best, worst = (columns, rows), score
    return best


def make_independent(floating: Any) -> None:
    """Make a floating container a window like any other: it can be minimized, and the main window may lie over it."""
    floating.setWindowFlag(Qt.WindowType.WindowMinimizeButtonHint, True)
    floating.winId()
    handle = floating.windowHandle()
    if handle is not None:
        handle.setTransientParent(None)


def structure(manager: Any, docks: dict[str, Any]) -> tuple[frozenset[str], tuple[tuple[str, ...], ...]]:
    """Which panels are open, and how they share places: equal as long as nobody moved one."""
    areas = [tuple(dock.objectName() for dock in area.openedDockWidgets()) for area in manager.openedDockAreas()]
    floating = tuple(i for i, dock in docks.items() if dock.isInFloatingContainer())
    return frozenset(docks), (*areas, floating)
