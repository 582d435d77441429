"""What a demo agent can do: the steps that its scripts are made of."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Say:
    """Stream Markdown, a word at a time."""

    text: str


@dataclass(frozen=True)
class Think:
    text: str


@dataclass(frozen=True)
class Plan:
    """Show the plan; the first `done` entries are finished, the next one is in work."""

    entries: tuple[str, ...]
    done: int = 0


@dataclass(frozen=True)
class Write:
    """Write a file of the working folder and show the difference."""

    path: str
    text: str


@dataclass(frozen=True)
class Run:
    """Run a command in the working folder with a shell and show what it prints."""

    command: str
    title: str = ""


@dataclass(frozen=True)
class Read:
    path: str


@dataclass(frozen=True)
class Ask:
    """Ask for permission to run a command; the answer decides how it goes on."""

    title: str
    command: str
    allowed: str
    denied: str


@dataclass(frozen=True)
class Delegate:
    """Start sub-agents through the tool server: (title, agent type, task)."""

    tasks: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Collect:
    """Wait for all sub-agents and repeat their last words."""


@dataclass(frozen=True)
class Helper:
    """A sub-agent inside of this process, reported on its own session."""

    title: str
    task: str
    steps: tuple[Step, ...] = field(default_factory=tuple)


Step = Say | Think | Plan | Write | Run | Read | Ask | Delegate | Collect | Helper
