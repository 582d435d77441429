"""What a role may not do, in words."""

from __future__ import annotations

from mission_control_desktop.domain.people import Role


def profiles_refusal(role: Role | None) -> str:
    """Why someone may not add or change launch profiles; empty for admins, and until that is known."""
    if role in (None, Role.ADMIN):
        return ""
    return f"Only an admin can add or change launch profiles; you are {role.value}."
