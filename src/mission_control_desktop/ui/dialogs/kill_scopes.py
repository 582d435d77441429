"""What a Kill All can be told to hit: everything of every control plane, everything of one, one provider."""

from __future__ import annotations

from typing import NamedTuple

from mission_control_desktop.client.fleet import EVERYWHERE, HOME, plane_of, qualified
from mission_control_desktop.domain.kill import SCOPE_ALL
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, AgentSession
from mission_control_desktop.ui import words
from mission_control_desktop.ui.sessions import SessionStore


class KillPlane(NamedTuple):
    """A control plane as a Kill All sees it. `refusal`: why the person may not order it there."""

    key: str
    title: str
    refusal: str = ""


class Scope(NamedTuple):
    """One choice. `refusal`: why it cannot be chosen."""

    name: str
    text: str
    refusal: str = ""


ALONE = (KillPlane(HOME, "this computer"),)


def targets(store: SessionStore, scope: str, planes: tuple[KillPlane, ...]) -> list[AgentSession]:
    """The live sessions that a scope hits."""
    if scope == EVERYWHERE:
        within = {plane.key for plane in planes if not plane.refusal}
        return [session for session in store.live() if plane_of(session.session_id) in within]
    if scope in {qualified(plane.key, SCOPE_ALL) for plane in planes}:
        return [session for session in store.live() if plane_of(session.session_id) == plane_of(scope)]
    return store.live(scope)


def scopes(store: SessionStore, planes: tuple[KillPlane, ...]) -> list[Scope]:
    """All choices, the widest first; each with how many agents it hits."""
    refusals = {plane.key: plane.refusal for plane in planes}
    found: list[Scope] = []

    def offer(name: str, title: str, refusal: str = "") -> None:
        found.append(Scope(name, f"{title} ({len(targets(store, name, planes))})", refusal))

    if len(planes) > 1:
        acting = [plane for plane in planes if not plane.refusal]
        left_out = [plane.title for plane in planes if plane.refusal]
        title = f"All {len(planes)} control planes" if not left_out else f"All but {', '.join(left_out)}"
        offer(EVERYWHERE, title, "" if acting else "You are an observer on each of them")
        for plane in planes:
            offer(qualified(plane.key, SCOPE_ALL), f"All of {plane.title}", plane.refusal)
    else:
        offer(SCOPE_ALL, "All providers", planes[0].refusal)
    providers = {session.provider for session in store.sessions.values()} | {
        qualified(plane.key, INTERNAL_PROVIDER) for plane in planes
    }
    for name in sorted(providers, key=lambda p: (plane_of(p), p != qualified(plane_of(p), INTERNAL_PROVIDER), p)):
        if plane_of(name) in refusals:
            offer(name, "Internal" if name == INTERNAL_PROVIDER else name, refusals[plane_of(name)])
    return found


def left_out(planes: tuple[KillPlane, ...]) -> str:
    """Which control planes an order to all of them does not go to, in words."""
    names = [f"{plane.title} ({plane.refusal})" for plane in planes if plane.refusal]
    return f"Not hit: {words.plural(len(names), 'control plane')}: {'; '.join(names)}." if names else ""
