"""The roster's filter line: words, and `key:value` terms that all must hold; a minus before one turns it round."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial, reduce
from typing import NamedTuple

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui import words
from mission_control_desktop.ui.roster.severity import is_abnormal, is_stale, needs_person

HELP = (
    'words, "a phrase", -without\n'
    "status:running,waiting  provider:internal  profile:NAME  type:NAME  task:ID  mission:ID\n"
    "is:live  is:ended  is:abnormal  is:stale  is:demo  needs:me"
)
Check = Callable[[AgentSession, str], bool]

_TERM = re.compile(r'(-?)(?:([^\s:"]+):)?(?:"([^"]*)"?|(\S*))')
_STATES = ("live", "ended", "abnormal", "stale", "demo")
_FIELDS: dict[str, Callable[[AgentSession], str | None]] = {
    "provider": lambda session: session.provider,
    "profile": lambda session: str(session.metadata.get("profile") or ""),
    "type": lambda session: session.agent_type,
    "task": lambda session: session.task_id,
    "mission": lambda session: session.mission_id,
}
_KEYS = ("status", *_FIELDS, "is", "needs")


class Term(NamedTuple):
    """One condition: any of `values` for the key (`text`: all sessions whose words have it)."""

    key: str
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True)
class SessionFilter:
    """All terms must hold; an empty filter matches everything. `problems` name terms that were left out, in words."""

    terms: tuple[Term, ...] = ()
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def empty(self) -> bool:
        return not self.terms

    @property
    def timed(self) -> bool:
        """Whether a session can pass or not pass by time alone."""
        return any(term.key == "is" and term.values[0] in ("abnormal", "stale") for term in self.terms)

    @property
    def words(self) -> str:
        """What a control plane can be asked to look for: the longest of the words that must be there."""
        return max((t.values[0] for t in self.terms if t.key == "text" and not t.negated), key=len, default="")

    def check(self, now: datetime, health: Mapping[str, ProviderHealth]) -> Check:
        """A function of a session and its `haystack`."""
        checks = [_check(term, now, health) for term in self.terms]
        return reduce(_both, checks) if checks else _everything

    def matches(
        self, session: AgentSession, now: datetime | None = None, health: Mapping[str, ProviderHealth] | None = None
    ) -> bool:
        """Whether one session passes."""
        return self.check(now or words.utc_now(), health or {})(session, haystack(session))


def haystack(session: AgentSession) -> str:
    """What words are looked for in."""
    parts = (
        session.title,
        session.task_id,
        session.agent_type,
        session.mission_id,
        session.session_id,
        session.metadata.get("profile"),
    )
    return " ".join([str(part) for part in parts if part]).casefold()


def parse_filter(text: str, *, live_only: bool = False, abnormal_only: bool = False) -> SessionFilter:
    """Read a filter line. A term of a known key with a wrong value is left out and named; an unknown key is no key:
    the term is searched for as it stands."""
    terms: dict[Term, None] = {}
    problems: dict[str, None] = {}
    if live_only:
        terms[Term("is", ("live",))] = None
    if abnormal_only:
        terms[Term("is", ("abnormal",))] = None
    for minus, key, quoted, plain in _TERM.findall(text.casefold()):
        value = quoted or plain
        if key in _KEYS:
            if not value:
                continue  # being typed
            values, problem = _values(key, value)
            if problem:
                problems[problem] = None
            if values:
                terms[Term(key, values, bool(minus))] = None
            continue
        whole = f"{key}:{value}" if key else value
        if whole:
            terms[Term("text", (whole,), bool(minus))] = None
    return SessionFilter(tuple(terms), tuple(problems))


def _values(key: str, value: str) -> tuple[tuple[str, ...], str]:
    """The values that a term means, and what is wrong with it."""
    parts = [part for part in value.split(",") if part]
    if key in _FIELDS:
        return tuple(parts), ""
    known = {"status": tuple(SessionStatus), "is": _STATES, "needs": ("me",)}[key]
    found: list[str] = []
    for part in parts:
        meant = [str(name) for name in known if name.startswith(part)]
        if not meant:
            return (), f"{key}:{part[:40]} is not known. Use {_listed(known)}."
        found += [part] if part in meant else meant
    if key == "is" and len(found) > 1:
        return (), f"is:{value[:40]} says several things. Write one term for each."
    return tuple(dict.fromkeys(found)), ""


def _listed(names: Iterable[str]) -> str:
    *first, last = [str(name) for name in names]
    return f"{', '.join(first)} or {last}" if first else last


def _everything(_session: AgentSession, _hay: str) -> bool:
    return True


def _both(first: Check, second: Check) -> Check:
    return lambda session, hay: first(session, hay) and second(session, hay)


def _check(term: Term, now: datetime, health: Mapping[str, ProviderHealth]) -> Check:
    if term.key == "text" and term.negated:  # asked of every session with every key that is typed
        unwanted = term.values[0]
        return lambda _session, hay: unwanted not in hay
    found = _positive(term, now, health)
    return (lambda session, hay: not found(session, hay)) if term.negated else found


def _positive(term: Term, now: datetime, health: Mapping[str, ProviderHealth]) -> Check:
    key, values = term.key, term.values
    if key == "text":
        wanted = values[0]
        return lambda _session, hay: wanted in hay
    if key == "status":
        statuses = frozenset(SessionStatus(value) for value in values)
        return lambda session, _hay: session.status in statuses
    if key == "needs":
        return lambda session, _hay: needs_person(session)
    if key == "is":
        return {
            "live": lambda session, _hay: not session.status.final,
            "ended": lambda session, _hay: session.status.final,
            "demo": lambda session, _hay: words.is_demo(session),
            "stale": lambda session, _hay: is_stale(session, now, health),
            "abnormal": lambda session, _hay: is_abnormal(session, now, health),
        }[values[0]]
    return partial(_field_begins, _FIELDS[key], values)


def _field_begins(
    read: Callable[[AgentSession], str | None], values: tuple[str, ...], session: AgentSession, _hay: str
) -> bool:
    return (read(session) or "").casefold().startswith(values)
