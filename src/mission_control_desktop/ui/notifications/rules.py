"""When a person is told and when not, as plain data: no Qt, no clock of its own.

What is new waits a moment for more of its kind, so that a burst is one notification; after one, its kind is silent for
a while and then told together. What was open when the program started is known already. In quiet hours nothing is
told; what is still open at their end is told then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

SETTLE = timedelta(seconds=2)
"""News of one kind within so long is told as one."""
SILENCE = timedelta(seconds=30)
"""After a notification its kind is silent for so long; what comes meanwhile is told together."""
NAMED = 3
"""So many agents are named in one notification."""
MINUTES = 24 * 60


class NewsCause(StrEnum):
    """What a notification can be about."""

    APPROVAL = "approval"
    QUESTION = "question"
    UNREACHABLE = "unreachable"
    STALLED = "stalled"
    FAILED = "failed"
    STOPPED = "stopped"
    AWAY = "away"


_ONE = {
    NewsCause.APPROVAL: "An agent needs your approval",
    NewsCause.QUESTION: "An agent asks a question",
    NewsCause.UNREACHABLE: "An agent cannot be reached",
    NewsCause.STALLED: "An agent gives no sign of life",
    NewsCause.FAILED: "An agent has failed",
    NewsCause.STOPPED: "Kill All has ended",
    NewsCause.AWAY: "The control plane is away",
}
_MANY = {
    NewsCause.APPROVAL: "{} approvals wait for you",
    NewsCause.QUESTION: "{} questions wait for you",
    NewsCause.UNREACHABLE: "{} agents or providers cannot be reached",
    NewsCause.STALLED: "{} agents give no sign of life",
    NewsCause.FAILED: "{} agents have failed",
    NewsCause.STOPPED: "{} Kill Alls have ended",
    NewsCause.AWAY: "{} control planes are away",
}


@dataclass(frozen=True)
class News:
    """One thing that could be told. `key` names the occurrence. `detail` may hold what an agent said: it is shown only
    where a person wants that; `plain` may be shown always."""

    key: str
    cause: NewsCause
    name: str
    session_id: str | None = None
    detail: str = ""
    plain: str = ""


@dataclass(frozen=True)
class Note:
    """One notification. `session_id` is where a click leads; None: to the window."""

    cause: NewsCause
    title: str
    body: str
    session_id: str | None = None


@dataclass(frozen=True)
class Rules:
    """What a person chose. `quiet_from` and `quiet_to` are minutes after midnight where the computer stands; over
    midnight if the end is before the beginning, never if they are the same."""

    on: bool = True
    causes: frozenset[NewsCause] = frozenset(NewsCause)
    quiet: bool = False
    quiet_from: int = 22 * 60
    quiet_to: int = 7 * 60
    content: bool = False

    def is_quiet(self, local: datetime) -> bool:
        """Whether nothing is told at this local time."""
        if not self.quiet or self.quiet_from == self.quiet_to:
            return False
        minute = local.hour * 60 + local.minute
        if self.quiet_from < self.quiet_to:
            return self.quiet_from <= minute < self.quiet_to
        return minute >= self.quiet_from or minute < self.quiet_to

    def wants(self, cause: NewsCause) -> bool:
        """Whether this is told at all."""
        return self.on and cause in self.causes

    def stored(self) -> dict[str, Any]:
        """For the local file. What is switched off is listed, so that a new cause is on."""
        return {
            "on": self.on,
            "off": sorted(cause.value for cause in NewsCause if cause not in self.causes),
            "quiet": self.quiet,
            "from": self.quiet_from,
            "to": self.quiet_to,
            "content": self.content,
        }

    @classmethod
    def of(cls, stored: Any) -> Rules:
        """What the local file holds; each part that is missing or not readable is as by default."""
        found = stored if isinstance(stored, dict) else {}
        plain = cls()
        off = found.get("off")
        return cls(
            on=found.get("on") is not False,
            causes=frozenset(c for c in NewsCause if not (isinstance(off, list) and c.value in off)),
            quiet=found.get("quiet") is True,
            quiet_from=_minute(found.get("from"), plain.quiet_from),
            quiet_to=_minute(found.get("to"), plain.quiet_to),
            content=found.get("content") is True,
        )


def _minute(value: Any, otherwise: int) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MINUTES
    return int(value) if good else otherwise


@dataclass
class _Kind:
    waiting: dict[str, News] = field(default_factory=dict)
    since: datetime | None = None
    told_at: datetime | None = None


class Announcer:
    """Decides; whoever has it shows. Its memory is what is open: what goes and comes back is told again."""

    def __init__(self) -> None:
        self._known: set[str] | None = None
        self._kinds = {cause: _Kind() for cause in NewsCause}

    def look(
        self, found: Iterable[News], now: datetime, local: datetime, rules: Rules, *, seen: Iterable[str] = ()
    ) -> list[Note]:
        """What is to be told now. `found` is everything open, `seen` the sessions that a person looks at just now,
        `local` the same moment where the computer stands."""
        there = {news.key: news for news in found}
        looked_at = set(seen)
        first, known = self._known is None, self._known or set()
        self._known = set(there)
        for kind in self._kinds.values():
            kind.waiting = {key: there[key] for key in kind.waiting if key in there}
        for key, news in there.items():
            if not first and key not in known and rules.wants(news.cause) and news.session_id not in looked_at:
                kind = self._kinds[news.cause]
                if not kind.waiting:
                    kind.since = now
                kind.waiting[key] = news
        if rules.is_quiet(local):
            return []
        return [self._tell(cause, now, rules) for cause in NewsCause if self._is_due(cause, now, rules)]

    def _is_due(self, cause: NewsCause, now: datetime, rules: Rules) -> bool:
        kind = self._kinds[cause]
        if not rules.wants(cause):
            kind.waiting.clear()
        if not kind.waiting or kind.since is None or now - kind.since < SETTLE:
            return False
        return kind.told_at is None or now - kind.told_at >= SILENCE

    def _tell(self, cause: NewsCause, now: datetime, rules: Rules) -> Note:
        kind = self._kinds[cause]
        told = list(kind.waiting.values())
        kind.waiting, kind.since, kind.told_at = {}, None, now
        return note(told, rules)


def note(told: list[News], rules: Rules) -> Note:
    """The words for news of one kind (at least one)."""
    first = told[0]
    if len(told) == 1:
        parts = (first.name, first.plain, first.detail if rules.content else "")
        return Note(first.cause, _ONE[first.cause], "\n".join(p for p in parts if p), first.session_id)
    names = list(dict.fromkeys(news.name for news in told))
    body = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        body += f" and {len(names) - NAMED} more"
    sessions = {news.session_id for news in told}
    return Note(first.cause, _MANY[first.cause].format(len(told)), body, sessions.pop() if len(sessions) == 1 else None)
