"""The journal: the total order of everything that happens to one agent process.

The keeper numbers and writes every entry: what the agent said, what was sent to it, what the control plane decided and
what the keeper itself did. The state of a session is a fold over its journal and nothing else; so replay after a crash,
recovery and the live path are the same code.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

EntryKind = Literal["start", "in", "out", "err", "cmd", "did", "oversize", "exit", "lost", "stop", "void"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal.

    kind and payload:

    - start     data {pid, startTime, keeperPid, keeperStartTime, heldBy, noCgroup?}: the agent runs; its tree is held
                by a `cgroup` or by the `sub-reaper` alone, and why. Or {error}: it could not start.
                A second one follows a `lost`: the session goes on in a new process
    - in        line: one line of the agent's standard output, without the line break
    - out       line, key: one line that was written to its standard input; a key is written once, ever
    - err       line: one line of standard error (cut to 8 KiB). `data {dropped: n}`: n lines were not kept (flood)
    - cmd       data {command, id, ...}: a decision of the control plane (see `core.commands`)
    - did       data {what, key, ok, pids, left, ms, by, error?}: the keeper carried out freeze, thaw, eof, term or
                kill; `by` as in `heldBy`; `pids` were signalled, `left` were still alive (or, after a freeze,
                still running) when it looked again; after term and kill, `escaped` of them had left the agent's
                process group or lost their parent
    - oversize  data {stream, bytes, head}: a line longer than the limit was skipped
    - exit      data {code, signal, left}: the agent's first process ended; `left` are descendants still alive.
                `keeperEnding: true`: the keeper itself was told to end (SIGTERM), and ended the agent
    - lost      data {cause, killed, left, by, denied?}: the keeper is gone without a word, and the control plane has
                ended what it left: so many were `killed`, `left` are pids that would not die. `cause` is killed (the
                keeper was) or restart (the computer was); `denied` says why the session must not be resumed now
    - stop      data {id, scope, reason, actor, owner, at, key}: the keeper found a stop file and kills everything; what
                came of it is the `did` with this key
    - void      nothing: it stands for an entry that the record knows of and a power cut took from the journal. The last
                of them has data {receipts: {id: state}, status?, endedBy?}: what the record has of this session
    """

    n: int
    t: float
    """Seconds since the epoch, UTC."""
    kind: EntryKind
    line: str | None = None
    key: str | None = None
    data: dict[str, Any] | None = None
