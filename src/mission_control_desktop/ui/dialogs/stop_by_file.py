"""Kill All where the control plane does not answer: the keepers are told by a file, and what is left is looked at."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from mission_control_desktop.client.fleet import HOME, plane_of
from mission_control_desktop.client.stop_file import local_user, write_stop_file
from mission_control_desktop.client.tokens import in_thread
from mission_control_desktop.domain.errors import Unsupported
from mission_control_desktop.domain.kill import SCOPE_ALL, KillAll, KillState, KillTarget, TargetState
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, global_id
from mission_control_desktop.ui import words
from mission_control_desktop.ui.sessions import SessionStore

DEAD_SECONDS = 20.0
LOOK_SECONDS = 0.2

Living = Callable[[Path], Mapping[str, int]]
"""The sessions of a data directory whose processes live, by native id, and how many; blocking."""
Sweep = Callable[[Path], None]
"""Ends what keepers that are gone have left in a data directory; blocking."""


class StopByFile:
    """Carries out a `KillAllFlow`'s order for the agents of one data directory; how it goes is put into the store."""

    def __init__(self, folder: Path, store: SessionStore, living: Living, sweep: Sweep | None = None) -> None:
        self._folder, self._store, self._living, self._sweep = folder, store, living, sweep

    async def __call__(self, scope: str, reason: str, why: str, begun: Callable[[KillAll], None]) -> None:
        """Returns when nothing lives any more, or after `DEAD_SECONDS`; `begun` hears once that the order was given.
        Raises Unsupported for a scope that no keeper here obeys, Unavailable if the file cannot be written."""
        if scope not in (SCOPE_ALL, INTERNAL_PROVIDER):
            raise Unsupported(f"The control plane does not answer ({why}). Without it only agents here are stopped.")
        start = words.utc_now()
        before = await in_thread(lambda: self._living(self._folder))
        actor = local_user()
        await in_thread(lambda: write_stop_file(self._folder, scope=scope, reason=reason, actor=actor))
        if (sweep := self._sweep) is not None:
            await in_thread(lambda: sweep(self._folder))
        order = KillAll(
            kill_id=f"stop-file-{uuid.uuid4().hex}",
            state=KillState.KILLING,
            scope=scope,
            started_at=start,
            by=actor,
            reason=reason,
            detail="Done by the stop file, for the control plane does not answer. Nothing starts on this computer "
            "until: mission-control kill-all --clear-stop",
        )
        elsewhere = self._elsewhere() if scope == SCOPE_ALL else []
        targets = {native: _target(native, TargetState.ASKED) for native in sorted(before)}
        loop = asyncio.get_running_loop()
        end = loop.time() + DEAD_SECONDS
        first = True
        while True:
            left = await in_thread(lambda: self._living(self._folder))
            for native, target in targets.items():
                if native not in left and target.state is not TargetState.DEAD:
                    targets[native] = _target(native, TargetState.DEAD)
            over = not left or loop.time() > end
            for native in left if over else ():
                count = words.plural(left[native], "process is", "processes are")
                targets[native] = _target(native, TargetState.UNREACHABLE, f"{count} still there")
            now = _as_it_is(order, [*targets.values(), *elsewhere], over=over)
            self._store.put([now])
            if first:
                first = False
                begun(now)
            if over:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _elsewhere(self) -> list[KillTarget]:
        """What the control plane would have had to ask other providers for: no file reaches it."""
        return [
            KillTarget(
                session_id=session.session_id,
                provider=session.provider,
                state=TargetState.UNREACHABLE,
                at=words.utc_now(),
                detail=f"Only the control plane reaches {session.provider}, and it does not answer",
            )
            for session in self._store.live()
            if plane_of(session.session_id) == HOME and session.provider != INTERNAL_PROVIDER
        ]


def _as_it_is(order: KillAll, targets: Sequence[KillTarget], *, over: bool) -> KillAll:
    return msgspec.structs.replace(
        order,
        targets=tuple(targets),
        state=KillState.DONE if over else KillState.KILLING,
        finished_at=words.utc_now() if over else None,
    )


def _target(native: str, state: TargetState, detail: str | None = None) -> KillTarget:
    return KillTarget(
        session_id=global_id(INTERNAL_PROVIDER, native),
        provider=INTERNAL_PROVIDER,
        state=state,
        at=words.utc_now(),
        detail=detail,
    )
