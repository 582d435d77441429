"""Messages as text for the clipboard: Markdown, with who and when (zone included)."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mission_control_desktop.domain.messages import MessageKind
from mission_control_desktop.ui import times
from mission_control_desktop.ui.transcript.blocks import clean, make_diff
from mission_control_desktop.ui.transcript.entry import Entry


def message_markdown(entry: Entry) -> str:
    """One message whole, under a heading line."""
    cut = f"\n\n[{words}]" if (words := entry.cut()) else ""
    return f"{heading(entry)}\n\n{body_markdown(entry)}{cut}".rstrip() + "\n"


def messages_markdown(entries: Iterable[Entry]) -> str:
    return "\n".join(message_markdown(entry) for entry in entries)


def heading(entry: Entry) -> str:
    """Who, in which role, and when: `[OPERATOR] ana 2026-11-22 14:02:07+01:00`."""
    message = entry.message
    who = message.metadata.get("operatorId")
    name = f" {who}" if isinstance(who, str) and who else ""
    return f"[{message.role.value.upper()}]{name} {times.exact(message.timestamp, 'seconds')}"


def body_markdown(entry: Entry) -> str:
    """The content; what is not prose becomes lists, quotes and fences."""
    meta, text = entry.message.metadata, clean(entry.text)
    match entry.kind:
        case MessageKind.THOUGHT:
            return "\n".join(f"> {line}".rstrip() for line in text.split("\n"))
        case MessageKind.TOOL_CALL:
            parts = [
                f"**{meta.get('title') or 'Tool call'}** ({meta.get('toolKind', 'other')}, {meta.get('status', '')})"
            ]
            if meta.get("input"):
                parts.append(fenced(json.dumps(meta["input"], indent=2, ensure_ascii=False, default=str), "json"))
            for item in meta.get("diffs") or ():
                if isinstance(item, dict):
                    diff = make_diff(item)
                    lines = "\n".join(f"{'@@' if line.sign == '@' else line.sign + line.text}" for line in diff.lines)
                    parts += [f"`{diff.path}`", fenced(lines, "diff")]
            if text:
                parts.append(fenced(text))
            return "\n\n".join(parts)
        case MessageKind.PLAN:
            marks = {"completed": "[x]", "in_progress": "[ ] (now)"}
            return "\n".join(
                f"- {marks.get(item.get('status', ''), '[ ]')} {item.get('content', '')}"
                for item in meta.get("entries") or ()
                if isinstance(item, dict)
            )
        case MessageKind.PERMISSION:
            answer = f" — {meta['answer']} by {meta.get('answeredBy', '?')}" if meta.get("answer") else ""
            return f"Permission: {meta.get('title', '')} ({meta.get('state', 'open')}{answer})\n\n{text}".rstrip()
    return text


def fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    newline = "" if text.endswith("\n") else "\n"
    return f"{fence}{language}\n{text}{newline}{fence}"
