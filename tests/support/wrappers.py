"""What of Qt is known to Python and could outlive what it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from PySide6.QtWidgets import QLayout, QLayoutItem
from shiboken6 import getAllValidWrappers


def layout_items() -> list[QLayoutItem]:
    """Every item of a layout that PySide6 has made an object of Python of. There should be none: nobody tells such an
    object when Qt deletes the item, and the next thing that lies at its address is then given to Python as this one."""
    return [one for one in getAllValidWrappers() if isinstance(one, QLayoutItem) and not isinstance(one, QLayout)]


def what_to_do(items: Iterable[QLayoutItem]) -> str:
    """For whoever finds some."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(type(one).__name__ for one in items).items())
    return (
        f"Python holds items of layouts ({kinds}), which outlive them. Put a layout into another one before it is "
        "filled, ask no layout for an item (itemAt, takeAt) and write no QLayout in Python."
    )


class Watch:
    """Of one test: what was left by others is theirs."""

    def __init__(self) -> None:
        self._before: set[int] = set()

    def begin(self) -> None:
        self._before = {id(one) for one in layout_items()}

    def check(self) -> None:
        """Fails if Python has come to hold items of layouts. Takes about a millisecond."""
        held = [one for one in layout_items() if id(one) not in self._before]
        assert not held, what_to_do(held)


watch = Watch()
