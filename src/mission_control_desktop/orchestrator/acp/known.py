"""What probing an agent cannot tell: one table, by the name and version that it gives in `initialize`.

Everything here was seen with the versions named; a range is open where no newer version was tried. An agent that is not
listed gets the careful defaults, which are safe for all.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

SecondPrompt = Literal["queued", "folded", "interrupts", "refused", "unanswered", "unknown"]


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent differs.

    `second_prompt` is what it does with a prompt during a turn; whatever it is, we never send one. `pulls_steering`: it
    asks for waiting messages after each batch of tools (a request of its own). `resume_repeats`: after a crash it
    carries out the unanswered order again. `load_fails`: it cannot load its own earlier session.
    """

    second_prompt: SecondPrompt = "unknown"
    pulls_steering: bool = False
    cancel_leaves_tools: bool = False
    ignores_eof: bool = False
    resume_repeats: bool = False
    load_fails: bool = False
    child_permission_hangs: bool = False
    notes: tuple[str, ...] = ()


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is searched in the agent's name, ignoring case; versions from `since` up to (not including) `until`."""

    name: str
    quirks: Quirks
    since: str = "0"
    until: str | None = None


CAREFUL = Quirks()

KNOWN: tuple[Known, ...] = (
    Known(
        name=r"zed-industries/codex|codex.*zed",
        quirks=Quirks(
            second_prompt="unanswered",
            cancel_leaves_tools=True,
            notes=("After a cancel the running command may live on until the session is ended.",),
        ),
    ),
    Known(
        name="codex",
        until="1",  # before 1.0: the adapter that a second prompt silences for good
        quirks=Quirks(
            second_prompt="unanswered",
            cancel_leaves_tools=True,
            notes=("After a cancel the running command may live on until the session is ended.",),
        ),
    ),
    Known(
        name="codex",
        since="1",
        quirks=Quirks(
            second_prompt="queued",
            cancel_leaves_tools=True,
            notes=("After a cancel the running command may live on until the session is ended.",),
        ),
    ),
    Known(name="claude", quirks=Quirks(second_prompt="folded")),
    Known(
        name="opencode",
        quirks=Quirks(
            second_prompt="folded",
            child_permission_hangs=True,
            notes=("A sub-agent of this agent that needs a permission can wait for ever without asking here.",),
        ),
    ),
    Known(
        name="qwen",
        quirks=Quirks(second_prompt="interrupts", pulls_steering=True, resume_repeats=True),
    ),
    Known(
        name="gemini",
        quirks=Quirks(
            second_prompt="interrupts",
            ignores_eof=True,  # while a tool runs; after a cancel it ends within half a second
            load_fails=True,
            notes=(
                "In a folder that it does not trust, this agent starts no MCP server and so no sub-agents of ours.",
            ),
        ),
    ),
    Known(name="kimi", quirks=Quirks(second_prompt="refused", resume_repeats=True)),
    Known(name="vibe", quirks=Quirks(second_prompt="refused")),
)


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of a version, as far as it goes; what is no version is (0,)."""
    match = re.match(r"\D{0,3}(\d{1,9}(?:\.\d{1,9}){0,5})", text)
    return tuple(int(part) for part in match.group(1).split(".")) if match else (0,)


def quirks_of(name: str | None, version: str | None) -> Quirks:
    """The first row of the table that fits, or the careful defaults."""
    if not name:
        return CAREFUL
    number = parse_version(version or "")
    for known in KNOWN:
        if re.search(known.name, name, re.IGNORECASE) is None:
            continue
        if number < parse_version(known.since) or (known.until is not None and number >= parse_version(known.until)):
            continue
        return known.quirks
    return CAREFUL
