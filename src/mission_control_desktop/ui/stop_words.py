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

FIRST_TEST = timedelta(seconds=40)
"""How long it may take until a provider was tested for the first time: no test is due before."""

_WORST_FIRST = (StopState.DEGRADED, StopState.UNTESTED, StopState.ARMED)


@dataclass(frozen=True)
class LampView:
    """What the lamp says: the worst of all providers, and each of them in words."""

    state: StopState
    text: str
    detail: str
    abnormal: bool = True
    """Whether somebody has to look: armed is as it should be, and so is untested as long as no test is due."""


def lamp_view(
    health: Mapping[str, ProviderHealth],
    now: datetime,
    *,
    connected: bool,
    missing: Sequence[str] = (),
    due: datetime | None = None,
) -> LampView:
    """Without a connection nothing is known of what a stop would reach. `missing`: control planes, besides those that
    `health` is of, that there is no connection to. `due`: until then it is no wonder that nothing is known."""
    soon = due is not None and now < due
    if not connected:
        text = "Not connected: a stop from here reaches nothing now."
        return LampView(StopState.UNTESTED, "Stop untested", text, abnormal=not soon)
    if not health and not missing:
        return LampView(StopState.UNTESTED, "Stop untested", "No provider was heard of yet.", abnormal=not soon)
    states: list[StopState] = []
    abnormal = bool(missing)
    lines: list[str] = []
    for name, one in sorted(health.items()):
        if one.state == DISABLED:
            lines.append(f"{name}: switched off. A stop does not reach what runs there")
            continue
        state, said = one.stop.state, one.stop.detail or ""
        age = None if one.stop.tested_at is None else now - one.stop.tested_at
        if age is not None and age > LATELY:
            state = StopState.UNTESTED
        young = one.since is not None and abs(now - one.since) < FIRST_TEST
        expected = one.stop.tested_at is None and not said and (soon or young)
        abnormal = abnormal or (state is not StopState.ARMED and not (state is StopState.UNTESTED and expected))
        states.append(state)
        when = "" if age is None else f", tested {words.duration(age.total_seconds())} ago"
        lines.append(f"{name}: {state.value}{when}" + (f". {said}" if said else ""))
    for title in missing:
        states.append(StopState.UNTESTED)
        lines.append(f"{title}: not connected: a stop from here does not reach it now")
    worst = next((state for state in _WORST_FIRST if state in states), StopState.UNTESTED)
    return LampView(worst, f"Stop {worst.value}", "\n".join(lines), abnormal=abnormal)
