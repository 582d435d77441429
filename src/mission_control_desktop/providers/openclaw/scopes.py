"""What a gateway did not grant, and what cannot be done for that: in the words of the check and of the health."""

from __future__ import annotations

from collections.abc import Collection

from mission_control_desktop.providers.openclaw.identity import ADMIN, APPROVALS, QUESTIONS, SCOPES, WRITE

_WITHOUT = {
    WRITE: "send messages or stop sessions",
    APPROVALS: "see or answer approvals",
    QUESTIONS: "see or answer questions",
    ADMIN: "stop runs that others began, or answer their approvals",
}


def missing_words(granted: Collection[str]) -> str | None:
    """What is missing and how to mend it; None if all scopes are granted."""
    missing = [scope for scope in SCOPES if scope not in granted]
    if not missing:
        return None
    cannot = "; ".join(f"without {scope} it cannot {_WITHOUT.get(scope, 'work')}" for scope in missing)
    return (
        f"The gateway did not grant everything: {cannot}. Approve the device with these scopes on the gateway "
        "(`openclaw devices list`), then check again."
    )
