"""What a control plane says of itself, in words: its record, and what else is not as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mission_control_desktop.domain.mission_control import Health


def record_words(health: Health) -> str:
    """How its record does."""
    record = _part(health, "record")
    if record.get("state", "ok") == "ok":
        return "record: ok"
    return f"record {record['state']}: {record.get('detail') or 'see the log of the control plane'}"


def degraded(health: Health) -> str | None:
    """What is not as it should be, besides single providers, which say so themselves; None if nothing is."""
    found = []
    if record_words(health) != "record: ok":
        found.append(record_words(health))
    if waiting := _part(health, "audit").get("waitingRows"):
        found.append(f"{waiting} audit rows wait to be written")
    secrets, limits = _part(health, "secrets"), _part(health, "limits")
    if secrets and secrets.get("keyId") is None:
        found.append("there is no master key, so credentials cannot be sealed")
    if secrets.get("unopenable"):
        found.append("some secrets cannot be opened with the master keys that there are")
    if limits.get("state", "ok") != "ok":
        found.append(str(limits.get("detail") or "the message limit cannot be shared"))
    if found:
        return "; ".join(found)
    return "see the log of the control plane" if health.status != "ok" and not _part(health, "providers") else None


def _part(health: Health, name: str) -> Mapping[str, Any]:
    part = health.detail.get(name)
    return part if isinstance(part, Mapping) else {}
