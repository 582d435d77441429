"""The roster's filter line: words, and `key:value` terms that all must hold."""

from __future__ import annotations

from dataclasses import dataclass

from mission_control_desktop.domain.sessions import AgentSession, SessionStatus
from mission_control_desktop.ui import words

HELP = "words · status:running,waiting · provider:internal · is:live · is:ended · is:demo · needs:me"


@dataclass(frozen=True)
class SessionFilter:
    """All parts must match; an empty filter matches everything."""

    texts: tuple[str, ...] = ()
    statuses: frozenset[SessionStatus] | None = None
    providers: tuple[str, ...] = ()
    live: bool | None = None
    demo: bool = False
    needs_me: bool = False

    @property
    def empty(self) -> bool:
        return self == SessionFilter()

    def matches(self, session: AgentSession) -> bool:
        """Whether a session passes."""
        if self.statuses is not None and session.status not in self.statuses:
            return False
        if self.live is not None and session.status.final is self.live:
            return False
        if self.providers and not any(session.provider.startswith(p) for p in self.providers):
            return False
        if self.demo and not words.is_demo(session):
            return False
        if self.needs_me and not needs_person(session):
            return False
        if self.texts:
            hay = " ".join(
                part
                for part in (
                    session.title,
                    session.task_id,
                    session.agent_type,
                    session.mission_id,
                    session.session_id,
                    str(session.metadata.get("profile", "")),
                )
                if part
            ).casefold()
            return all(text in hay for text in self.texts)
        return True


def needs_person(session: AgentSession) -> bool:
    """Whether the session waits for a person or has failed."""
    return session.status is SessionStatus.FAILED or (
        session.status is SessionStatus.WAITING and session.waiting_for in (None, "operator", "approval")
    )


def parse_filter(text: str, *, live_only: bool = False) -> SessionFilter:
    """Read a filter line. A term with an unknown key or value is searched for as it stands."""
    texts: list[str] = []
    providers: list[str] = []
    statuses: set[SessionStatus] | None = None
    live: bool | None = True if live_only else None
    demo = needs_me = False
    for term in text.casefold().split():
        key, colon, value = term.partition(":")
        found: set[SessionStatus] = set()
        if colon and key == "status":
            if not value:
                continue  # being typed
            found = {s for s in SessionStatus for part in value.split(",") if part and s.value.startswith(part)}
            if found:
                statuses = found if statuses is None else statuses & found
                continue
        elif colon and key == "provider":
            if value:
                providers.append(value)
            continue
        elif term in ("is:live", "is:ended"):
            live = term == "is:live"
            continue
        elif term == "is:demo":
            demo = True
            continue
        elif term == "needs:me":
            needs_me = True
            continue
        texts.append(term)
    return SessionFilter(
        texts=tuple(texts),
        statuses=None if statuses is None else frozenset(statuses),
        providers=tuple(providers),
        live=live,
        demo=demo,
        needs_me=needs_me,
    )
