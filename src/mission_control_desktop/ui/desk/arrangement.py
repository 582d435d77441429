"""How panels stand, as plain typed data: a tree of splits and tabs for the window and for each window of its own.

Places are relative to a monitor, and a monitor is known by what it says of itself, so that an arrangement survives
another order of plugs. Nothing here knows the docking library; `dock_state` translates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec

from mission_control_desktop.domain.limits import MAX_NAME_CHARS

MAX_PANELS = 64
"""Panels of one desk."""
MAX_DEPTH = 16
MAX_PIXELS = 65_536

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Key = Annotated[str, msgspec.Meta(max_length=1_000)]
Pixels = Annotated[int, msgspec.Meta(ge=0, le=MAX_PIXELS)]
Offset = Annotated[int, msgspec.Meta(ge=-MAX_PIXELS, le=MAX_PIXELS)]


class Tabs(msgspec.Struct, frozen=True, kw_only=True, tag="tabs", rename="camel"):
    """Panels that share one place; `front` is the one that is seen."""

    panels: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=MAX_PANELS)]
    front: str = ""


class Split(msgspec.Struct, frozen=True, kw_only=True, tag="split", rename="camel"):
    """Parts side by side (`across`) or one above the other, with the share of each in `sizes` (pixels when saved)."""

    across: bool
    parts: Annotated[tuple[Split | Tabs, ...], msgspec.Meta(min_length=1, max_length=MAX_PANELS)]
    sizes: Annotated[tuple[Pixels, ...], msgspec.Meta(max_length=MAX_PANELS)] = ()


Tree = Split | Tabs


class Place(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a window stands: device-independent pixels from the upper left corner of its monitor."""

    monitor: Key
    x: Offset
    y: Offset
    width: Pixels
    height: Pixels
    state: Literal["normal", "maximized", "full"] = "normal"


class OwnWindow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Panels in a window of their own."""

    content: Tree
    place: Place


class FullPanel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A panel that fills a monitor; its place in the tree is kept for it."""

    panel: Name
    monitor: Key


class Arrangement(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One arrangement on one set of monitors."""

    docked: Tree | None = None
    windows: Annotated[tuple[OwnWindow, ...], msgspec.Meta(max_length=MAX_PANELS)] = ()
    full: Annotated[tuple[FullPanel, ...], msgspec.Meta(max_length=MAX_PANELS)] = ()
    current: str = ""
    follower: str = ""
    """The panel that follows the focus, if one does."""
    by_hand: bool = False
    """Somebody has arranged the panels: they do not rearrange themselves any more."""

    def trees(self) -> Iterator[Tree]:
        """The window's tree, then those of the own windows."""
        if self.docked is not None:
            yield self.docked
        for window in self.windows:
            yield window.content

    def panels(self) -> list[str]:
        """All panels, each once, in the order of the trees."""
        return list(dict.fromkeys(panel for tree in self.trees() for panel in panels_of(tree)))


def panels_of(tree: Tree) -> Iterator[str]:
    """The panels of a tree, in reading order of its parts."""
    if isinstance(tree, Tabs):
        yield from tree.panels
    else:
        for part in tree.parts:
            yield from panels_of(part)


def problem_of(arrangement: Arrangement) -> str:
    """What is wrong with an arrangement that came from outside, in words; empty if nothing is."""
    seen: set[str] = set()
    for tree in arrangement.trees():
        if (depth := depth_of(tree)) > MAX_DEPTH:
            return f"splits are nested {depth} deep; {MAX_DEPTH} is the most"
        for panel in panels_of(tree):
            if panel in seen:
                return f"the panel {panel!r} stands in two places"
            seen.add(panel)
    if len(seen) > MAX_PANELS:
        return f"{len(seen)} panels; {MAX_PANELS} is the most"
    if missing := next((f.panel for f in arrangement.full if f.panel not in seen), ""):
        return f"the panel {missing!r} fills a monitor but has no place to come back to"
    return ""


def depth_of(tree: Tree) -> int:
    """1 for tabs, one more for each split above them."""
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [part for node in level if isinstance(node, Split) for part in node.parts]
    return deepest


def fitted(arrangement: Arrangement, wanted: Iterable[str]) -> Arrangement:
    """The arrangement with exactly the wanted panels: others are left out, missing ones split the largest place."""
    panels = list(dict.fromkeys(wanted))
    keep = set(panels)
    docked = _pruned(arrangement.docked, keep) if arrangement.docked is not None else None
    windows = []
    for window in arrangement.windows:
        content = _pruned(window.content, keep)
        if content is not None:
            windows.append(msgspec.structs.replace(window, content=content))
    fitting = msgspec.structs.replace(
        arrangement,
        docked=docked,
        windows=tuple(windows),
        full=tuple(full for full in arrangement.full if full.panel in keep),
        current=arrangement.current if arrangement.current in keep else "",
        follower=arrangement.follower if arrangement.follower in keep else "",
    )
    placed = set(fitting.panels())
    for panel in panels:
        if panel not in placed:
            docked = Tabs(panels=(panel,)) if fitting.docked is None else _with(fitting.docked, panel)
            fitting = msgspec.structs.replace(fitting, docked=docked)
    return fitting


def _pruned(tree: Tree, keep: set[str]) -> Tree | None:
    if isinstance(tree, Tabs):
        panels = tuple(panel for panel in tree.panels if panel in keep)
        return msgspec.structs.replace(tree, panels=panels) if panels else None
    sizes = _sizes(tree)
    left = [(part, size) for old, size in zip(tree.parts, sizes, strict=True) if (part := _pruned(old, keep))]
    if not left:
        return None
    if len(left) == 1:
        return left[0][0]
    return Split(across=tree.across, parts=tuple(p for p, _ in left), sizes=tuple(s for _, s in left))


def _sizes(split: Split) -> tuple[int, ...]:
    """The sizes, equal ones where they are missing or cannot be used."""
    if len(split.sizes) == len(split.parts) and all(split.sizes):
        return split.sizes
    return (1_000,) * len(split.parts)


def _with(tree: Tree, panel: str) -> Tree:
    """The tree with a panel beside the place that has the most room."""
    path = _largest(tree, 1.0, 1.0)[1]
    return _beside(tree, path, panel)


def _largest(tree: Tree, width: float, height: float) -> tuple[float, tuple[int, ...]]:
    if isinstance(tree, Tabs):
        return width * height, ()
    sizes = _sizes(tree)
    total = sum(sizes)
    best: tuple[float, tuple[int, ...]] = (-1.0, ())
    for number, (part, size) in enumerate(zip(tree.parts, sizes, strict=True)):
        share = size / total
        area, path = _largest(part, width * share if tree.across else width, height if tree.across else height * share)
        if area > best[0]:
            best = (area, (number, *path))
    return best


def _beside(tree: Tree, path: tuple[int, ...], panel: str, *, across: bool = True) -> Tree:
    if isinstance(tree, Tabs):
        return Split(across=across, parts=(tree, Tabs(panels=(panel,))))
    number, *rest = path
    parts = list(tree.parts)
    parts[number] = _beside(parts[number], tuple(rest), panel, across=not tree.across)
    return Split(across=tree.across, parts=tuple(parts), sizes=_sizes(tree))


def beside_each_other(panels: Iterable[str]) -> Tree | None:
    """A first tree for panels of which no arrangement is known."""
    tree: Tree | None = None
    for panel in panels:
        tree = Tabs(panels=(panel,)) if tree is None else _with(tree, panel)
    return tree
