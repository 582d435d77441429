"""What a screen reader is told of a window, and how the Tab key goes through it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAccessible, QAccessibleInterface, QAccessibleValueInterface
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractScrollArea,
    QApplication,
    QLabel,
    QLayout,
    QScrollArea,
    QScrollBar,
    QStackedLayout,
    QWidget,
)

R = QAccessible.Role
CONTROLS = {
    R.PushButton, R.ButtonMenu, R.ButtonDropDown, R.CheckBox, R.RadioButton, R.ComboBox, R.EditableText, R.SpinBox,
    R.Slider, R.List, R.ListItem, R.Tree, R.TreeItem, R.Table, R.Cell, R.ColumnHeader, R.PageTab, R.PageTabList,
    R.MenuItem, R.MenuBar, R.ProgressBar, R.Link,
}  # fmt: skip
"""What can be used or read as one thing; each has a name."""
MAY_BE_EMPTY = {R.Cell, R.ColumnHeader}
"""An empty cell has nothing to say."""
VALUED = {R.EditableText, R.SpinBox, R.Slider, R.ProgressBar}
NAMELESS = {R.NoRole, R.Client, R.Pane, R.Grouping, R.Splitter, R.Border, R.Whitespace}
"""Roles that tell nobody what a thing is for."""
ROWS = 40
"""Children of one list, table or tree that are looked at."""


def interfaces(root: QObject) -> Iterator[QAccessibleInterface]:
    """Everything visible below an object, itself first."""
    todo = [QAccessible.queryAccessibleInterface(root)]
    while todo:
        one = todo.pop()
        if one is None or not one.isValid() or one.state().invisible:
            continue
        yield one
        todo += [one.child(n) for n in range(min(one.childCount(), ROWS * 8))]


def called(one: QAccessibleInterface) -> str:
    """How a fault names it."""
    widget = one.object()
    where = f"{type(widget).__name__}#{widget.objectName()}" if widget is not None else "?"
    above = widget.parent() if widget is not None else None
    inside = f" in {type(above).__name__}#{above.objectName()}" if above is not None else ""
    return f"{one.role().name} {one.text(QAccessible.Text.Name)!r} {where}{inside}"


def faults(root: QWidget) -> tuple[list[str], int]:
    """What a screen reader could not make sense of, and how many controls there are."""
    found: list[str] = []
    count = 0
    for one in interfaces(root):
        role, widget = one.role(), cast(object, one.object())
        name = one.text(QAccessible.Text.Name).strip()
        if isinstance(widget, QScrollBar):
            continue
        policy = widget.focusPolicy() if isinstance(widget, QWidget) else Qt.FocusPolicy.NoFocus
        focusable = policy is not Qt.FocusPolicy.NoFocus
        if role in CONTROLS or focusable:
            count += 1
        if role in CONTROLS and not name and role not in MAY_BE_EMPTY:
            found.append(f"no name: {called(one)}")
        scrolls = isinstance(widget, QScrollArea)
        if focusable and role in NAMELESS and not scrolls and policy & Qt.FocusPolicy.TabFocus:
            found.append(f"takes the focus and has no role: {called(one)}")
        if focusable and not name:
            found.append(f"takes the focus and has no name: {called(one)}")
        if role in VALUED:
            values = cast("QAccessibleValueInterface | None", one.valueInterface())
            text = one.text(QAccessible.Text.Value)
            if role is not R.EditableText and (values is None or values.currentValue() is None) and not text:
                found.append(f"no value: {called(one)}")
            if name and role is R.EditableText and text and name == text:
                found.append(f"named by what is written in it: {called(one)}")
    return found, count


def focusable(root: QWidget) -> list[QWidget]:
    """The controls below a window that the Tab key must reach."""
    return [
        w
        for w in root.findChildren(QWidget)
        if w.isVisible()
        and w.isEnabled()
        and w.window() is root.window()
        and w.focusPolicy() & Qt.FocusPolicy.TabFocus
        and w.focusProxy() is None
    ]


def tab_chain(root: QWidget) -> list[QWidget]:
    """The order of the Tab key, as Qt goes through it, from the root round to it again."""
    chain: list[QWidget] = []
    one = root.nextInFocusChain()
    while one is not None and one is not root and len(chain) < 5_000:
        chain.append(one)
        one = one.nextInFocusChain()
    return chain


def clipped(root: QWidget) -> list[str]:
    """Words and controls that are not whole where they stand; what is inside something that scrolls may go beyond it,
    and what elides by itself is whole."""
    for _ in range(3):  # words that have just come are not laid out yet, and each layout may ask for the one above it
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
    found = []
    for one in root.findChildren(QWidget):
        above = one.parentWidget()
        words = one.text() if isinstance(one, QAbstractButton | QLabel) else ""
        if not words or above is None or not one.isVisible() or one.minimumSizeHint().width() <= 0:
            continue
        scrolls = isinstance(above.parentWidget(), QAbstractScrollArea)
        inside = above.rect().adjusted(-1, -1, 1, 1).contains(one.geometry())
        wraps = isinstance(one, QLabel) and one.wordWrap()
        least = one.minimumSizeHint()
        narrow = not wraps and one.width() < least.width() - 1
        low = one.height() < min(least.height(), one.fontMetrics().height()) - 1
        low = low or (wraps and not scrolls and one.height() < one.heightForWidth(one.width()) - 1)
        if (not inside and not scrolls) or narrow or low:
            size = f"{one.width()}x{one.height()} for {least.width()}x{least.height()}"
            found.append(f"{type(one).__name__}#{one.objectName()} {words[:30]!r} {size} in {type(above).__name__}")
    return found


def overlapping(root: QWidget) -> list[str]:
    """Pairs of what one layout puts beside each other, and that lie over each other all the same."""
    found = []
    for above in [root, *root.findChildren(QWidget)]:
        layout = above.layout()
        if layout is None or not above.isVisible() or isinstance(layout, QStackedLayout):
            continue
        layouts = list(_layouts(layout))
        children = [one for one in above.children() if isinstance(one, QWidget) and one.isVisible()]
        laid = [one for one in children if any(place.indexOf(one) >= 0 for place in layouts)]
        found += [
            f"{_said(one)} and {_said(other)} in {type(above).__name__}"
            for number, one in enumerate(laid)
            for other in laid[number + 1 :]
            if one.geometry().adjusted(1, 1, -1, -1).intersects(other.geometry().adjusted(1, 1, -1, -1))
        ]
    return found


def _said(one: QWidget) -> str:
    words = one.text() if isinstance(one, QAbstractButton | QLabel) else one.accessibleName()
    return f"{type(one).__name__}#{one.objectName()} {words[:30]!r}"


def _layouts(layout: QLayout) -> Iterator[QLayout]:
    """A layout and those inside it. Their items are not asked for: what Python has once seen of one stays known after
    the window has deleted it, and the next thing that gets its address is then taken for a layout's item."""
    yield layout
    for inner in layout.children():
        if isinstance(inner, QLayout):
            yield from _layouts(inner)
