"""What belongs into the journal of a session that has no keeper (any more), so that the fold can go on from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mission_control_desktop.orchestrator.core.effects import Do
from mission_control_desktop.orchestrator.sweep import Swept

MAX_PIDS = 1000


def last_words(
    swept: Swept, *, entries: int, exited: bool, asked: Sequence[Do], unstarted: str | None, denied: str | None
) -> list[dict[str, Any]]:
    """The next entries ({kind, ...}) to add; none when nothing more can be said.

    `entries` are in the journal so far; `exited`: the end of the process is among them. `asked` are the actions that
    the fold wants of the keeper and that nobody will carry out any more, but the sweep has seen to what they were for.
    `unstarted` says why an agent without any entry was not started; None: because it was killed before. `denied` says
    why it must not be started again.
    """
    if entries == 0 and unstarted is None:
        return [{"kind": "cmd", "data": {"command": "kill", "id": "killed-before-the-start"}}]
    if entries == 0:
        return [{"kind": "start", "data": {"error": unstarted}}]
    left = [process.pid for process in swept.left]
    pids = [process.pid for process in swept.killed]
    if asked:
        return [
            {
                "kind": "did",
                "key": effect.key,
                "data": {"what": effect.what, "key": effect.key, "ok": not left, "pids": pids[:MAX_PIDS], "left": left}
                | {"by": swept.held_by},
            }
            for effect in asked
        ]
    if exited:
        return []
    cause = "restart" if swept.rebooted else "killed"
    data: dict[str, Any] = {"cause": cause, "killed": len(pids), "left": left, "by": swept.held_by}
    if denied is not None:
        data["denied"] = denied
    return [{"kind": "lost", "data": data}]
