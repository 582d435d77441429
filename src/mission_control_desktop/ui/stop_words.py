"""What is known of a stop, in words: whether it would reach everything, by a test of a short while ago."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mission_control_desktop.domain.events import ProviderHealth, StopState
from mission_control_desktop.domain.providers import DISABLED
from mission_control_desktop.ui import words

LATELY = timedelta(seconds=90)
"""A test that is older says nothing any more: the control plane repeats it every 20 seconds."""

_WORST_FIRST = (StopState.DEGRADED, StopState.UNTESTED, StopState.ARMED)


@dataclass(frozen=True)
class LampView:
    """What the lamp says: the worst of all providers, and each of them in words."""

    state: StopState
    text: str
    detail: str


def lamp_view(
    health: Mapping[str, ProviderHealth], now: datetime, *, connected: bool, missing: Sequence[str] = ()
) -> LampView:
    """Without a connection nothing is known of what a stop would reach. `missing`: control planes, besides those that
    `health` is of, that there is no connection to."""
    if not connected:
        return LampView(StopState.UNTESTED, "Stop untested", "Not connected: a stop from here reaches nothing now.")
    if not health and not missing:
        return LampView(StopState.UNTESTED, "Stop untested", "No provider was heard of yet.")
    states: list[StopState] = []
    lines: list[str] = []
    for name, one in sorted(health.items()):
        if one.state == DISABLED:
            lines.append(f"{name}: switched off. A stop does not reach what runs there")
            continue
        state, said = one.stop.state, one.stop.detail or ""
        age = None if one.stop.tested_at is None else now - one.stop.tested_at
        if age is not None and age > LATELY:
            state = StopState.UNTESTED
        states.append(state)
        when = "" if age is None else f", tested {words.duration(age.total_seconds())} ago"
        lines.append(f"{name}: {state.value}{when}" + (f". {said}" if said else ""))
    for title in missing:
        states.append(StopState.UNTESTED)
        lines.append(f"{title}: not connected: a stop from here does not reach it now")
    worst = next((state for state in _WORST_FIRST if state in states), StopState.UNTESTED)
    return LampView(worst, f"Stop {worst.value}", "\n".join(lines))
