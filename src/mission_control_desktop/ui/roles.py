"""What a role may not do, in words."""

from __future__ import annotations

from mission_control_desktop.domain.people import Role

ONLY_WATCHES = "Your role only watches"
"""Where nobody has said of which control plane."""


def watching(role: Role | None, where: str) -> str:
    """Why a person of this role may not intervene; empty where they may, or where the role is not known yet: the
    control plane judges. `where`: its name, where there are several."""
    if role is not Role.OBSERVER:
        return ""
    return f"You are an observer{f' on {where}' if where else ''}: your role only watches"


def profiles_refusal(role: Role | None, where: str = "") -> str:
    """Why someone may not add or change launch profiles; empty for admins, and until that is known."""
    if role in (None, Role.ADMIN):
        return ""
    return f"Only an admin can add or change launch profiles; you are {role.value}{f' on {where}' if where else ''}."
