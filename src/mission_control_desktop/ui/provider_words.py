"""How a provider is doing, in words and levels: the same in the header, the roster and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.providers import DISABLED
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER
from mission_control_desktop.ui import words

OK, UNREACHABLE = "ok", "unreachable"
SETTLING = timedelta(seconds=3)
"""What was just registered or switched on is not connected at once; that alone is nothing to look at."""


@dataclass(frozen=True)
class ProviderLook:
    """`level` is one of `theme.paint_level`; `detail` says why."""

    level: str
    text: str
    detail: str = ""
    age: str = ""
    """For how long, of what is abnormal."""


def abnormal(health: ProviderHealth | None) -> bool:
    """Whether what is known of its sessions may not be true any more, or not all of it."""
    return health is not None and health.state not in (OK, DISABLED)


def provider_look(health: ProviderHealth, now: datetime) -> ProviderLook:
    """What is abnormal is told with its age."""
    if health.state == OK:
        return ProviderLook("ok", "ok", health.detail or "")
    if health.state == DISABLED:
        return ProviderLook("off", "switched off")
    age = "" if health.since is None else words.duration((now - health.since).total_seconds())
    level = "error" if health.state == UNREACHABLE else "warning"
    text = f"{health.state}, {age}" if age else health.state
    return ProviderLook(level, text, health.detail or "", age)


def summary(health: Mapping[str, ProviderHealth], now: datetime) -> ProviderLook | None:
    """All providers in few words, the worst first; None if there is only the built-in one and it does well."""
    wrong = [
        one for _, one in sorted(health.items()) if abnormal(one) and (one.since is None or now - one.since >= SETTLING)
    ]
    lines = "\n".join(_line(one, now) for _, one in sorted(health.items()))
    if not wrong:
        others = [one for one in health.values() if one.provider != INTERNAL_PROVIDER]
        return ProviderLook("ok", words.plural(len(health), "provider"), lines) if others else None
    looks = [provider_look(one, now) for one in wrong]
    level = "error" if any(look.level == "error" for look in looks) else "warning"
    if len(wrong) == 1:
        return ProviderLook(level, f"{wrong[0].provider} {looks[0].text}", lines)
    return ProviderLook(level, f"{len(wrong)} of {len(health)} providers abnormal", lines)


def _line(health: ProviderHealth, now: datetime) -> str:
    look = provider_look(health, now)
    return f"{health.provider}: {look.text}" + (f". {look.detail}" if look.detail else "")
