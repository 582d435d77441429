"""`mission-control keys`: which master keys secrets are sealed with, and a new one."""

from __future__ import annotations

from argparse import Namespace

from mission_control_desktop.cli.output import Output
from mission_control_desktop.domain.keys import KeyRotation, KeyStatus
from mission_control_desktop.domain.mission_control import MissionControl


async def run(mission_control: MissionControl, args: Namespace, output: Output) -> int:
    """0; 1 if something sealed cannot be opened."""
    if args.what == "rotate":
        return _rotated(await mission_control.rotate_keys(), output)
    return _status(await mission_control.key_status(), output)


def _rotated(done: KeyRotation, output: Output) -> int:
    if output.json:
        output.document(done)
    else:
        output.line(f"current key: {done.key_id} (kept in: {done.source})")
        output.line(f"sealed anew: {done.resealed}, renewed: {done.refreshed}")
        output.line(f"forgotten: {', '.join(done.forgotten) or '-'}")
        for place in done.left:
            output.line(f"cannot be opened and stays as it is: {place}")
    if done.source == "environment" and done.previous_key_id == done.key_id:
        output.note(
            "The key of the environment stays. To change it, put the old one into MISSION_CONTROL_MASTER_KEY_PREVIOUS "
            "and a new one into MISSION_CONTROL_MASTER_KEY, start again, and rotate; then remove the old one."
        )
    return 1 if done.left else 0


def _status(found: KeyStatus, output: Output) -> int:
    if output.json:
        output.document(found)
    else:
        output.line(f"current key: {found.key_id or 'none'} (kept in: {found.source or 'nowhere'})")
        ids = sorted({*found.known, *found.rows}, key=lambda key_id: (key_id != found.key_id, key_id))
        rows = []
        for key_id in ids:
            state = "current" if key_id == found.key_id else "known" if key_id in found.known else "not known"
            counted = found.rows.get(key_id, {})
            said = ", ".join(f"{number} {column}" for column, number in sorted(counted.items()))
            rows.append((key_id, state, str(sum(counted.values())), said or "-"))
        output.table(("KEY", "STATE", "VALUES", "OF"), rows, empty="Nothing is sealed.")
        for one in found.unopenable:
            output.line(f"cannot be opened: {one.place}: {one.problem}")
    return 1 if found.unopenable else 0
