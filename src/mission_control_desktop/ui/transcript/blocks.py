"""What a message is made of: typed blocks, computed incrementally, without Qt."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mission_control_desktop.domain.messages import AgentMessage, MessageKind
from mission_control_desktop.ui.transcript.entry import Entry
from mission_control_desktop.ui.transcript.images import Image, has_images, split_images, without_images
from mission_control_desktop.ui.transcript.markdown import BlockParser, Code, Plain, Prose

DIFF_MAX_LINES = 3_000
"""Files longer than this are not compared line by line: the new text is shown as added."""
DIFF_CONTEXT = 3
DIFF_OPEN_LINES = 40
"""Diffs up to this many lines are shown at once; longer ones open on demand."""

UNFINISHED = "unfinished"
"""A tool call or step of a plan that nobody works on any more and whose end was never reported."""
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ToolHead:
    """First line of a tool call."""

    title: str
    kind: str
    status: str
    """`pending`, `in_progress`, `completed`, `failed`, or UNFINISHED."""
    detail: str
    """What is inside, in few words ("4,310 lines, 61 kB", "+12 −3")."""


@dataclass(frozen=True, slots=True)
class Label:
    """A small heading inside a card ("Input", a path)."""

    text: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What a tool printed or was given, as plain text."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class DiffLine:
    sign: str
    """"+", "-", " " or "@" (a gap)."""
    text: str


@dataclass(frozen=True, slots=True)
class Diff:
    path: str
    lines: tuple[DiffLine, ...]
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class PlanItem:
    text: str
    status: str


@dataclass(frozen=True, slots=True)
class Plan:
    items: tuple[PlanItem, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """First line of something that opens and closes: a thought, a plan."""

    title: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A permission question and what became of it."""

    title: str
    command: str
    state: str
    answer: str
    positive: bool | None
    """Whether it was allowed; None while it is open, and when it expired."""


@dataclass(frozen=True, slots=True)
class Notice:
    level: str
    text: str


Block = Prose | Code | Plain | Image | ToolHead | Label | Output | Diff | Plan | Fold | Question | Notice


class Content:
    """The blocks of one entry, kept level with it."""

    def __init__(self) -> None:
        self._parsers = [BlockParser()]
        """One for each stretch of text between pictures."""
        self._cleaner = Cleaner()
        self._revision = -1
        self._expanded: bool | None = None
        self._blocks: list[Block] = []
        self._diffs: tuple[object, list[Diff]] = (None, [])

    def update(self, entry: Entry, *, expanded: bool) -> list[Block]:
        """Blocks of the entry as it is now; `expanded` is whether a collapsible one is open."""
        if entry.revision != self._revision or expanded != self._expanded:
            self._revision, self._expanded = entry.revision, expanded
            self._blocks = self._compute(entry, expanded)
            if (cut := entry.cut()) and (expanded or not collapsible(entry)):
                self._blocks.append(Notice("cut", cut))
        return self._blocks

    def _compute(self, entry: Entry, expanded: bool) -> list[Block]:
        match entry.kind:
            case MessageKind.TOOL_CALL:
                return self._tool_call(entry, expanded)
            case MessageKind.THOUGHT:
                return self._thought(entry, expanded)
            case MessageKind.PLAN:
                return _plan(entry.message, expanded)
            case MessageKind.PERMISSION:
                return [_question(entry.message)]
            case MessageKind.NOTICE:
                return [Notice(_word(entry.message.metadata.get("level"), "info"), clean(entry.text))]
        return self._markdown(self._cleaner.update(entry.text))

    def _markdown(self, text: str) -> list[Block]:
        if not has_images(text):
            self._parsers[0].update(text)
            return list(self._parsers[0].blocks)
        blocks: list[Block] = []
        stretch = 0
        for part in split_images(text):
            if isinstance(part, Image):
                blocks.append(part)
                continue
            if stretch == len(self._parsers):
                self._parsers.append(BlockParser())
            self._parsers[stretch].update(part)
            blocks += self._parsers[stretch].blocks
            stretch += 1
        return blocks

    def _thought(self, entry: Entry, expanded: bool) -> list[Block]:
        text = self._cleaner.update(entry.text)
        title = "Thought" if entry.complete else "Thinking…"
        if expanded:
            return [Fold(title), *self._markdown(text)]
        return [Fold(title, first_line(without_images(text)))]

    def _tool_call(self, entry: Entry, expanded: bool) -> list[Block]:
        meta = entry.message.metadata
        parts = split_images(clean(entry.text))
        images = [part for part in parts if isinstance(part, Image)]
        output = unfenced("".join(part for part in parts if isinstance(part, str))).strip("\n")
        diffs = self._tool_diffs(meta.get("diffs"))
        head = ToolHead(
            clean(_word(meta.get("title"), "Tool call")).replace("\n", " "),
            _word(meta.get("toolKind"), "other"),
            _tool_status(entry.message),
            _tool_detail(output, diffs, len(images)),
        )
        if not expanded:
            return [head]
        blocks: list[Block] = [head]
        shown_input = _input_text(meta.get("input"), head.title)
        if shown_input:
            blocks += [Label("Input"), shown_input]
        for diff in diffs:
            if diff.path not in head.title or len(diffs) > 1:
                blocks.append(Label(diff.path, f"+{diff.added} −{diff.removed}"))
            blocks.append(diff)
        if output:
            lines = output.count("\n") + 1
            blocks += [
                Label("Output", f"{size_text(len(output.encode()))}, {lines:,} lines" if lines > 1 else ""),
                Output(output),
            ]
        elif not diffs and not images and head.status in ("completed", "failed"):
            blocks.append(Label("No output"))
        return blocks + images

    def _tool_diffs(self, raw: object) -> list[Diff]:
        if self._diffs[0] is not raw:
            items = raw if isinstance(raw, list | tuple) else []
            self._diffs = (raw, [make_diff(item) for item in items if isinstance(item, dict)])
        return self._diffs[1]


def collapsible(entry: Entry) -> bool:
    """Whether the entry opens and closes."""
    return entry.kind in (MessageKind.TOOL_CALL, MessageKind.THOUGHT, MessageKind.PLAN)


def open_at_first(entry: Entry) -> bool:
    """Whether a collapsible entry is open before anybody touched it."""
    meta = entry.message.metadata
    match entry.kind:
        case MessageKind.PLAN:
            return True
        case MessageKind.TOOL_CALL:
            if meta.get("status") == "failed" or has_images(entry.text):
                return True
            diffs = [item for item in meta.get("diffs") or () if isinstance(item, dict)]
            size = sum(_word(d.get("newText"), "").count("\n") + _word(d.get("oldText"), "").count("\n") for d in diffs)
            return bool(diffs) and size <= 2 * DIFF_OPEN_LINES
    return False


def make_diff(item: dict[str, Any]) -> Diff:
    """Lines of a change, with a few unchanged ones around; bounded by `DIFF_MAX_LINES`."""
    old = clean(_word(item.get("oldText"), "")).splitlines()
    new = clean(_word(item.get("newText"), "")).splitlines()
    path = clean(_word(item.get("path"), "file"))
    lines: list[DiffLine] = []
    if len(old) > DIFF_MAX_LINES or len(new) > DIFF_MAX_LINES:
        lines += [DiffLine("-", line) for line in old[:DIFF_MAX_LINES]]
        lines += [DiffLine("+", line) for line in new[:DIFF_MAX_LINES]]
        return Diff(path, tuple(lines), len(new), len(old))
    for number, group in enumerate(
        difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(DIFF_CONTEXT)
    ):
        if number:
            lines.append(DiffLine("@", "⋯"))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [DiffLine(" ", line) for line in old[i1:i2]]
            else:
                lines += [DiffLine("-", line) for line in old[i1:i2]]
                lines += [DiffLine("+", line) for line in new[j1:j2]]
    return Diff(path, tuple(lines), _count(lines, "+"), _count(lines, "-"))


def clean(text: str) -> str:
    """Text without terminal escapes and control characters; line ends as "\\n", tabs as they are."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _ESCAPES.sub("", text)
    return _CONTROL.sub("�", text)


class Cleaner:
    """`clean` of a text that grows at its end: only what was added is looked at.

    Everything before the first terminal escape is cleaned character by character, but for a carriage return, which
    means something else when a line feed follows; so all of that is final.
    """

    def __init__(self) -> None:
        self._raw = ""
        self._head = ""
        self._settled = 0
        """How much of the raw text `_head` is made of."""

    def update(self, text: str) -> str:
        """The text as it is now, cleaned."""
        if not text.startswith(self._raw):
            self._head, self._settled = "", 0
        self._raw = text
        escape = text.find("\x1b", self._settled)
        end = escape if escape >= 0 else len(text)
        if end > self._settled and text[end - 1] == "\r":
            end -= 1
        if end > self._settled:
            self._head += clean(text[self._settled : end])
            self._settled = end
        return self._head + clean(text[end:]) if end < len(text) else self._head


def unfenced(text: str) -> str:
    """Tool output without the one code fence that some agents put around it."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```") and stripped.count("```") == 2:
        _, newline, rest = stripped.partition("\n")
        if newline:
            return rest.removesuffix("```").rstrip("\n")
    return text


def first_line(text: str, limit: int = 240) -> str:
    """The first line that says something, without Markdown's emphasis marks."""
    for line in text.split("\n"):
        if line.strip(" \t*#_`>-"):
            return line.strip().strip("*#_`> ")[:limit]
    return ""


def size_text(size: int) -> str:
    """Bytes for people: 812 B, 14 kB, 1.2 MB."""
    if size < 1_000:
        return f"{size} B"
    if size < 1_000_000:
        return f"{size / 1_000:.0f} kB"
    return f"{size / 1_000_000:.1f} MB"


def _tool_detail(output: str, diffs: list[Diff], images: int) -> str:
    parts = []
    if diffs:
        parts.append(f"+{sum(d.added for d in diffs)} −{sum(d.removed for d in diffs)}")
    if output:
        lines = output.count("\n") + 1
        size = size_text(len(output.encode()))
        parts.append(f"{lines:,} lines, {size}" if lines > 1 else size)
    if images:
        parts.append(f"{images} images" if images > 1 else "1 image")
    return ", ".join(parts)


def _input_text(raw: object, title: str) -> Output | None:
    """The input as one would type it: a command as a command, anything else as JSON."""
    if not isinstance(raw, dict) or not raw:
        return Output(clean(raw)) if isinstance(raw, str) and raw and raw != title else None
    command = raw.get("command", raw.get("cmd"))
    if isinstance(command, list | tuple):
        command = " ".join(str(part) for part in command)
    if isinstance(command, str) and len(raw) <= 3:
        return Output(f"$ {clean(command)}", "console") if command != title else None
    return Output(clean(json.dumps(raw, indent=2, ensure_ascii=False, default=str)), "json")


def _tool_status(message: AgentMessage) -> str:
    status = _word(message.metadata.get("status"), "pending")
    if message.metadata.get("complete") and status in ("pending", "in_progress"):
        return UNFINISHED  # stopped, killed or cancelled in the middle: never shown as if it ran
    return status


def _step_status(item: Mapping[str, Any], *, over: bool) -> str:
    status = _word(item.get("status"), "pending")
    return UNFINISHED if over and status == "in_progress" else status


def _plan(message: AgentMessage, expanded: bool) -> list[Block]:
    raw = message.metadata.get("entries")
    items = tuple(
        PlanItem(clean(_word(item.get("content"), "")), _step_status(item, over=bool(message.metadata.get("complete"))))
        for item in (raw if isinstance(raw, list | tuple) else ())
        if isinstance(item, dict)
    )
    done = sum(item.status == "completed" for item in items)
    current = next((item.text for item in items if item.status == "in_progress"), "")
    if not expanded:
        return [Fold(f"Plan  {done} of {len(items)}", current)]
    return [Fold(f"Plan  {done} of {len(items)}"), Plan(items)]


def _question(message: AgentMessage) -> Question:
    meta = message.metadata
    raw_detail = meta.get("detail")
    detail = raw_detail if isinstance(raw_detail, dict) else {}
    command = detail.get("command") or detail.get("path") or detail.get("text") or ""
    if isinstance(command, list | tuple):
        command = " ".join(str(part) for part in command)
    state = _word(meta.get("state"), "open")
    raw_options = meta.get("options")
    options = [
        item for item in (raw_options if isinstance(raw_options, list | tuple) else ()) if isinstance(item, dict)
    ]
    chosen = next((item for item in options if item.get("optionId") == meta.get("answer")), {})
    by = _word(meta.get("answeredBy"), "")
    label = _word(chosen.get("label"), _word(meta.get("answer"), ""))
    answer, positive = "", None
    if state == "answered":
        answer = f"{label} — {by}" if by else label
        positive = not _word(chosen.get("kind"), "").startswith("reject")
    elif state == "expired":
        why = _word(detail.get("expired"), "")
        answer = f"No longer open: {why}" if why else "Expired unanswered"
    return Question(clean(_word(meta.get("title"), "Permission needed")), clean(str(command)), state, answer, positive)


def _word(value: object, default: str) -> str:
    return value if isinstance(value, str) and value else default


def _count(lines: Iterable[DiffLine], sign: str) -> int:
    return sum(line.sign == sign for line in lines)
