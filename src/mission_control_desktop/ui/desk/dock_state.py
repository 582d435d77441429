"""Between our trees and the docking library's own description of a state, which is XML."""

from __future__ import annotations

from dataclasses import dataclass, field

from PySide6.QtCore import QByteArray, QXmlStreamReader, QXmlStreamWriter

from mission_control_desktop.ui.desk.arrangement import Split, Tabs, Tree

STATE_VERSION = 1
_NO_GEOMETRY = "00"
"""Own windows are placed afterwards, relative to their monitor; the library wants something to stand here."""


@dataclass
class _Open:
    """A splitter whose end was not read yet."""

    across: bool
    parts: list[Tree] = field(default_factory=list)
    sizes: tuple[int, ...] = ()

    def tree(self) -> Tree | None:
        if not self.parts:
            return None
        if len(self.parts) == 1:
            return self.parts[0]
        sizes = self.sizes if len(self.sizes) == len(self.parts) else ()
        return Split(across=self.across, parts=tuple(self.parts), sizes=sizes)


def read_state(state: bytes) -> tuple[Tree | None, list[Tree]]:
    """The window's tree and those of the own windows. Raises ValueError if it is no such state."""
    reader = QXmlStreamReader(state.decode(errors="replace"))
    docked: Tree | None = None
    windows: list[Tree] = []
    floating, stack = False, [_Open(True)]
    while not reader.atEnd():
        token = reader.readNext()
        name = reader.name()
        if token is QXmlStreamReader.TokenType.StartElement:
            attributes = reader.attributes()
            if name == "Container":
                floating = attributes.value("Floating") == "1"
                stack = [_Open(True)]
            elif name == "Splitter":
                stack.append(_Open(attributes.value("Orientation") == "|"))
            elif name == "Area":
                tabs = _read_area(reader)
                if tabs is not None:
                    stack[-1].parts.append(tabs)
            elif name == "Sizes":
                stack[-1].sizes = tuple(max(0, int(n)) for n in reader.readElementText().split())
        elif token is QXmlStreamReader.TokenType.EndElement:
            if name == "Splitter" and len(stack) > 1:
                tree = stack.pop().tree()
                if tree is not None:
                    stack[-1].parts.append(tree)
            elif name == "Container" and (tree := stack[0].tree()) is not None:
                if floating:
                    windows.append(tree)
                else:
                    docked = tree
    if reader.hasError():
        raise ValueError(f"the panels' state cannot be read: {reader.errorString()}")
    return docked, windows


def _read_area(reader: QXmlStreamReader) -> Tabs | None:
    front = str(reader.attributes().value("Current"))
    panels: list[str] = []
    while reader.readNextStartElement():
        attributes = reader.attributes()
        if reader.name() == "Widget" and attributes.value("Closed") != "1":
            panels.append(str(attributes.value("Name")))
        reader.skipCurrentElement()
    return Tabs(panels=tuple(panels), front=front if front in panels else panels[0]) if panels else None


def write_state(docked: Tree | None, windows: list[Tree]) -> QByteArray:
    """The state that the docking library restores."""
    written = QByteArray()
    writer = QXmlStreamWriter(written)
    writer.writeStartDocument()
    writer.writeStartElement("QtAdvancedDockingSystem")
    writer.writeAttribute("Version", "1")
    writer.writeAttribute("UserVersion", str(STATE_VERSION))
    writer.writeAttribute("Containers", str(1 + len(windows)))
    _write_container(writer, docked, floating=False)
    for window in windows:
        _write_container(writer, window, floating=True)
    writer.writeEndElement()
    writer.writeEndDocument()
    return written


def _write_container(writer: QXmlStreamWriter, tree: Tree | None, *, floating: bool) -> None:
    writer.writeStartElement("Container")
    writer.writeAttribute("Floating", "1" if floating else "0")
    if floating:
        writer.writeTextElement("Geometry", _NO_GEOMETRY)
    if isinstance(tree, Split):
        _write(writer, tree)
    elif tree is not None:
        _write(writer, Split(across=True, parts=(tree,)))
    else:
        writer.writeStartElement("Splitter")
        writer.writeAttribute("Orientation", "|")
        writer.writeAttribute("Count", "0")
        writer.writeTextElement("Sizes", "")
        writer.writeEndElement()
    writer.writeEndElement()


def _write(writer: QXmlStreamWriter, tree: Tree) -> None:
    if isinstance(tree, Split):
        writer.writeStartElement("Splitter")
        writer.writeAttribute("Orientation", "|" if tree.across else "-")
        writer.writeAttribute("Count", str(len(tree.parts)))
        for part in tree.parts:
            _write(writer, part)
        good = len(tree.sizes) == len(tree.parts) and sum(tree.sizes) > 0
        sizes = tree.sizes if good else (1_000,) * len(tree.parts)
        writer.writeTextElement("Sizes", " ".join(str(size) for size in sizes))
        writer.writeEndElement()
        return
    writer.writeStartElement("Area")
    writer.writeAttribute("Tabs", str(len(tree.panels)))
    writer.writeAttribute("Current", tree.front if tree.front in tree.panels else tree.panels[0])
    for panel in tree.panels:
        writer.writeStartElement("Widget")
        writer.writeAttribute("Name", panel)
        writer.writeAttribute("Closed", "0")
        writer.writeEndElement()
    writer.writeEndElement()
