"""The provider contract as checks that anybody can run against an adapter, their own as well as ours.

An adapter is found by its kind (entry point group `mission_control.providers`) and opened on a real record. At the
other end stands a `Peer`, which the adapter's author writes: the runtime itself, or a stand-in, with the hands to make
sessions, have them say words, ask, work, and to cut connections or crash. The checks act on both ends and look at what
the runtime has, what the record has and what a subscriber heard. `docs/adapters.md` is the guide.

- `run_checks(kind, peer)` runs them; `python -m mission_control_desktop.providers.conformance KIND --peer MODULE:NAME`
  does from a command line, and `conformance.pytest.ConformanceTests` makes each a test of pytest, which is needed for
  that alone.
- A promise that a session declares not to make (a capability that is null, with the reason), and what a peer cannot be
  made to do (`Cannot`), is skipped with the reason.
- What may never happen is watched in all checks: illegal changes of status, receipts that climb down, questions that
  open again, text that does not continue what is on record.
"""

from mission_control_desktop.providers.conformance.checks import CHECKS
from mission_control_desktop.providers.conformance.peer import Access, Brings, BuiltIn, Cannot, MemoryKeep, Peer
from mission_control_desktop.providers.conformance.running import all_kept, run_checks, table
from mission_control_desktop.providers.conformance.verdict import Broken, Check, Outcome, Verdict

__all__ = [
    "CHECKS",
    "Access",
    "Brings",
    "Broken",
    "BuiltIn",
    "Cannot",
    "Check",
    "MemoryKeep",
    "Outcome",
    "Peer",
    "Verdict",
    "all_kept",
    "run_checks",
    "table",
]
