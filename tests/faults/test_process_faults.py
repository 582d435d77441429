"""Agents, keepers and control planes killed at drawn moments: no survivor, no lost or doubled message, no lost row.

The seed of each run is printed where it fails. MISSION_CONTROL_FAULT_SEED repeats one, MISSION_CONTROL_FAULT_SECONDS
makes the whole longer.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from support.fault_run import Run, survivors
from support.served import served

SEED = int(os.environ.get("MISSION_CONTROL_FAULT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
SECONDS = float(os.environ.get("MISSION_CONTROL_FAULT_SECONDS", "30"))
pytestmark = pytest.mark.timeout(SECONDS + 400)
STEPS = 40


def test_no_blow_loses_or_doubles_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = time.monotonic() + SECONDS
    did: Counter[str] = Counter()
    runs = orders = sessions = 0
    while runs == 0 or time.monotonic() < end:
        seed = SEED + runs
        try:
            done = one_run(tmp_path / str(runs), seed)
        except BaseException:
            with capsys.disabled():
                print(f"\nprocess faults: MISSION_CONTROL_FAULT_SEED={seed} failed after {runs} good runs")
            raise
        did += done.did
        orders += len(done.orders)
        sessions += len(done.sessions)
        runs += 1
    counts = f"{runs} runs, {sessions} sessions, {orders} acknowledged orders"
    with capsys.disabled():
        print(f"\nprocess faults: seed {SEED}, {counts}, {dict(did)}")


def one_run(place: Path, seed: int) -> Run:
    scratch = place / "scratch"
    scratch.mkdir(parents=True)
    with served(place / "data") as plane:
        run = Run(plane, random.Random(seed), scratch)
        run.prepare()
        for _ in range(3):
            run.spawn()
        for _ in range(STEPS):
            run.step()
        run.look()
        run.check_kill_alls()
        run.settle()
        run.check_transcripts()
        run.check_orders()
        run.check_audit()
        run.stop_everything()
        run.check_audit()
    assert survivors(run.mark) == []
    return run
