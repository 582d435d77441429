"""Where Markdown blocks begin and end, incrementally.

Blocks are found a window at a time, and every decision depends only on the text up to the end of that window; so the
blocks of a text that arrives in pieces equal the blocks of the whole, and a finished block is parsed once. CommonMark
decides block structure line by line: a block that a later block has followed never changes again. Only complete lines
are used to close a block, because an unfinished line can still turn into something else ("#" into "#tag").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.common.utils import normalizeReference
from markdown_it.token import Token

WINDOW = 16_384
"""Code points looked at in one step. A single Markdown block that is longer is shown as plain text, in pieces."""

_FENCE_OPEN = re.compile(r"^( {0,3})(`{3,}(?=[^`\n]*$)|~{3,})([^\n]*)")
_LABEL = re.compile(r"\[((?:[^\[\]\\]|\\.){1,999})\]")


@dataclass(frozen=True, slots=True)
class Prose:
    """One top-level Markdown block, as source. `definitions` are the link definitions that it uses from elsewhere."""

    text: str
    definitions: str = ""


@dataclass(frozen=True, slots=True)
class Code:
    """A fenced or indented code block without its fences; `closed` when nothing can be added any more."""

    text: str
    language: str = ""
    closed: bool = True


@dataclass(frozen=True, slots=True)
class Plain:
    """Text that is shown as it is: pieces of a block too long to be one."""

    text: str


MarkdownBlock = Prose | Code | Plain


def _parser() -> MarkdownIt:
    # As the renderer understands it: CommonMark with tables, strike-through, and HTML as plain text.
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    # Inline parsing is the renderer's work: only the block structure is needed here.
    parser.core.ruler.disable(["inline", "text_join"])
    return parser


_PARSER = _parser()


@dataclass(slots=True)
class _Fence:
    """An open code fence: its blocks end at a line that closes it, whatever stands in it."""

    language: str
    closing: re.Pattern[str]
    indent: int
    start: int
    """Offset of the first line of code."""
    seen: int
    """Offset up to which complete lines were checked for the closing fence."""
    lines: list[str] = field(default_factory=list)


class BlockParser:
    """Blocks of one text that grows at its end."""

    def __init__(self) -> None:
        self.text = ""
        self._closed: list[MarkdownBlock] = []
        self._base = 0
        self._fence: _Fence | None = None
        self._references: dict[str, Any] = {}
        self._tail: list[MarkdownBlock] = []
        self._tail_references: dict[str, Any] = {}
        self._defined = 0
        """How many closed blocks have their link definitions; 0 again when a definition comes after its use."""
        self._looked: tuple[int, int] = (-1, -1)
        """Base and length of complete lines in which no block could be closed."""

    @property
    def blocks(self) -> list[MarkdownBlock]:
        return [*self._closed, *self._tail]

    @property
    def closed_count(self) -> int:
        """How many of the blocks are final (but for link definitions that are still to come)."""
        return len(self._closed)

    def update(self, text: str) -> bool:
        """Take the text as it is now. If it does not continue the former one, all is parsed anew; then False."""
        continues = text.startswith(self.text)
        if not continues:
            self.__init__()  # type: ignore[misc]
        if text != self.text or not text:
            added, self.text = text[len(self.text) :], text
            if not (continues and self._continue_line(added)):
                self._advance()
        return continues

    def _continue_line(self, added: str) -> bool:
        """The short way for words that go on in a line of text: they cannot change where blocks begin.

        A line that starts with a letter stays text whatever follows on it. Only a link definition could still be
        growing there, and that has its own mark.
        """
        if "\n" in added or not self._tail or self._fence is not None or self._tail_references:
            return False
        last = self._tail[-1]
        start = self.text.rfind("\n", 0, len(self.text) - len(added)) + 1
        line = self.text[start : len(self.text) - len(added)]
        if (
            not isinstance(last, Prose)
            or last.definitions
            or start < self._base
            or not line.lstrip(" ")[:1].isalpha()
            or not last.text.endswith(line)
            or "]" in added
            or "]:" in last.text
            or len(self.text) - self._base > WINDOW
        ):
            return False
        self._tail[-1] = Prose(last.text + added)
        return True

    # -- one step after the other ------------------------------------------------------------------------------------

    def _advance(self) -> None:
        while self._windowed() if self._fence is None else self._fenced(self._fence):
            pass
        self._apply_definitions()

    def _windowed(self) -> bool:
        """Close what the window at the base proves to be closed. True if there may be more to do."""
        self._tail, self._tail_references = [], {}
        text, base = self.text, self._base
        start = _skip_blank_lines(text, base)
        if start != base:
            self._base = base = start
        window = text[base : base + WINDOW]
        if not window:
            return False
        if (fence := _open_fence(window)) is not None:
            self._fence = fence
            fence.start += base
            fence.seen = fence.start
            return True
        complete = window[: window.rfind("\n") + 1]
        if self._looked != (base, len(complete)):
            tokens, _ = self._parse(complete)
            if len(tokens) > 1:
                end = self._close(complete, tokens[:-1], tokens[-1])
                self._base = base + end
                return True
            self._looked = (base, len(complete))
        if len(text) - base > WINDOW:
            cut = len(complete) or WINDOW
            self._closed.append(Plain(window[:cut].rstrip("\n")))
            self._base = base + cut
            return True
        tokens, references = self._parse(window)
        self._tail_references = references
        self._tail = [_block(window, token, following) for token, following in _pairs(tokens)]
        if self._tail and isinstance(last := self._tail[-1], Code):
            self._tail[-1] = Code(last.text, last.language, closed=False)
        return False

    def _close(self, text: str, tokens: list[Token], after: Token) -> int:
        """Keep these blocks for good; returns the offset where the next one starts."""
        offsets = _line_offsets(text)
        end = offsets[_lines_of(after)[0]]
        head = text[:end]
        _, references = self._parse(head)
        for label, target in references.items():
            if self._references.setdefault(label, target) is target:
                self._defined = 0
        self._closed.extend(_block(head, token, following) for token, following in _pairs(tokens))
        return end

    def _fenced(self, fence: _Fence) -> bool:
        text = self.text
        while (newline := text.find("\n", fence.seen)) >= 0:
            line = text[fence.seen : newline]
            fence.seen = newline + 1
            if fence.closing.match(line):
                self._closed.append(Code("\n".join(fence.lines), fence.language))
                self._base, self._fence = fence.seen, None
                return True
            fence.lines.append(_dedent(line, fence.indent))
        rest = text[fence.seen :]
        self._tail_references = {}
        if fence.closing.match(rest):
            self._tail = [Code("\n".join(fence.lines), fence.language)]
        else:
            lines = [*fence.lines, _dedent(rest, fence.indent)] if rest else fence.lines
            self._tail = [Code("\n".join(lines), fence.language, closed=False)]
        return False

    def _parse(self, text: str) -> tuple[list[Token], dict[str, Any]]:
        """Top-level block tokens (openers and leaves) and the link definitions found on the way."""
        environment: dict[str, Any] = {}
        tokens = _PARSER.parse(text, environment)
        top = [token for token in tokens if token.level == 0 and token.nesting >= 0 and token.map is not None]
        return top, environment.get("references", {})

    # -- link definitions --------------------------------------------------------------------------------------------

    def _apply_definitions(self) -> None:
        known = {**self._tail_references, **self._references}
        if known:
            self._tail = [_defined(block, known) for block in self._tail]
        # A definition may follow what uses it, and those in the tail come and go with it.
        first = 0 if self._tail_references else self._defined
        self._closed[first:] = [_defined(block, known) for block in self._closed[first:]]
        self._defined = 0 if self._tail_references else len(self._closed)


def markdown_blocks(text: str) -> list[MarkdownBlock]:
    """Blocks of a whole text."""
    parser = BlockParser()
    parser.update(text)
    return parser.blocks


def _skip_blank_lines(text: str, base: int) -> int:
    """Offset of the first line at or after `base` that is not blank; unfinished blank lines stay."""
    position = base
    while (newline := text.find("\n", position)) >= 0:
        if text[position:newline].strip(" \t"):
            break
        position = newline + 1
    return position


def _open_fence(window: str) -> _Fence | None:
    newline = window.find("\n")
    if newline < 0:
        return None
    match = _FENCE_OPEN.match(window[:newline])
    if match is None:
        return None
    marker = match[2]
    words = match[3].strip().split()
    closing = re.compile(rf"^ {{0,3}}{re.escape(marker[0])}{{{len(marker)},}}[ \t]*$")
    return _Fence(words[0] if words else "", closing, len(match[1]), newline + 1, 0)


def _dedent(line: str, indent: int) -> str:
    """Take up to `indent` columns of leading blanks away; a tab counts to the next multiple of four."""
    if not indent:
        return line
    column = place = 0
    while place < len(line) and column < indent:
        if line[place] == " ":
            column += 1
        elif line[place] == "\t":
            column += 4 - column % 4
        else:
            break
        place += 1
    return " " * max(0, column - indent) + line[place:]


def _lines_of(token: Token) -> tuple[int, int]:
    """First line of a block, and the one after its last."""
    if token.map is None:
        raise ValueError(f"a block without lines: {token.type}")
    return token.map[0], token.map[1]


def _line_offsets(text: str) -> list[int]:
    offsets = [0]
    position = text.find("\n")
    while position >= 0:
        offsets.append(position + 1)
        position = text.find("\n", position + 1)
    return offsets


def _pairs(tokens: list[Token]) -> list[tuple[Token, Token | None]]:
    return [(token, tokens[place + 1] if place + 1 < len(tokens) else None) for place, token in enumerate(tokens)]


def _block(text: str, token: Token, following: Token | None) -> MarkdownBlock:
    if token.type == "fence":
        words = token.info.split()
        return Code(token.content.removesuffix("\n"), words[0] if words else "")
    if token.type == "code_block":
        return Code(token.content.removesuffix("\n"))
    lines = text.split("\n")
    first, last = _lines_of(token)
    if following is None:
        last = max(last, first + 1)
    return Prose("\n".join(lines[first:last]).strip("\n"))


def _defined(block: MarkdownBlock, known: dict[str, Any]) -> MarkdownBlock:
    """The block with those link definitions that its labels name."""
    if not isinstance(block, Prose) or "[" not in block.text:
        return block
    used: dict[str, Any] = {}
    for match in _LABEL.finditer(block.text):
        label = normalizeReference(match[1])
        if label in known:
            used.setdefault(label, (match[1], known[label]))
    definitions = "\n".join(f"[{label}]: <{target['href']}>" for label, target in used.values())
    return block if definitions == block.definitions else Prose(block.text, definitions)
