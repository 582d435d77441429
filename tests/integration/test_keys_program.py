"""A key of the environment reaches no agent, and `mission-control keys` works with and without a control plane."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mission_control_desktop.storage.master_keys import ENV_KEY, ENV_PREVIOUS, KEYS_FILE
from mission_control_desktop.storage.sealing import MasterKey
from support.orchestration import DOUBLE
from support.served import Served, environment_without_ours, served, wait_for

OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
CANARY = "canary-77aa01"


def text(key: MasterKey) -> str:
    return base64.b64encode(key.reveal()).decode()


def keys(data_dir: Path, verb: str, **environment: str) -> Any:
    command = [sys.executable, "-m", "mission_control_desktop", "keys", verb, "--json", "--data-dir", str(data_dir)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, env={**environment_without_ours(), **environment}
    )
    assert done.returncode == 0, done.stderr
    for key in (OLD, NEW):
        assert text(key) not in done.stdout + done.stderr
    return json.loads(done.stdout)


def below(pid: int) -> list[int]:
    """The process and everything that it, or a keeper of its data directory, started."""
    found = [pid]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            ppid = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if ppid == pid:
            found += below(int(path.parent.name))
    return found


def agents_of(plane: Served, session_id: str) -> list[int]:
    native = session_id.partition(":")[2]
    keeper = json.loads((plane.data_dir / "agents" / native / "keeper.json").read_text())["pid"]
    found = below(keeper)
    assert len(found) >= 2
    return found


def test_keys_of_the_environment_reach_nobody_else_and_can_be_changed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with served(data_dir, **{ENV_KEY: text(OLD)}) as plane:
        profile = {"command": [sys.executable, str(DOUBLE)], "cwd": str(data_dir), "env": {"FLAVOUR": CANARY}}
        assert plane.admin.put("/agents/profiles/double", json=profile).status_code == 200
        session_id = plane.spawn(f"[env {ENV_KEY}][env FLAVOUR]")
        plane.until(session_id, waitingFor="operator")
        for pid in agents_of(plane, session_id):
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert ENV_KEY.encode() not in environ
            assert text(OLD).encode() not in environ
            assert CANARY.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        said = json.dumps(plane.admin.get(f"/api/mission-control/sessions/{session_id}/messages").json())
        assert "(not set)" in said
        assert CANARY in said
        native = session_id.partition(":")[2]
        kept = data_dir / "agents" / native / "launch.json"
        assert kept.stat().st_mode & 0o777 == 0o600
        assert plane.admin.post(f"/api/mission-control/sessions/{session_id}/kill", json={"reason": "x"}).is_success
        wait_for(lambda: not kept.exists(), "launch.json to be removed")
        found = keys(data_dir, "status")
        assert (found["source"], found["keyId"]) == ("environment", OLD.id)
        assert found["rows"][OLD.id]["launch_profiles.sealed_env"] == 1
        assert text(OLD) not in plane.log
    assert not (data_dir / KEYS_FILE).exists()
    # No control plane runs now: the record itself is worked on.
    changed = {ENV_KEY: text(NEW), ENV_PREVIOUS: text(OLD)}
    done = keys(data_dir, "rotate", **changed)
    assert (done["keyId"], done["resealed"], done["left"]) == (NEW.id, 1, [])
    local = keys(data_dir, "rotate", **{ENV_PREVIOUS: text(NEW)})
    assert (local["source"], local["resealed"]) == ("file", 1)
    assert os.stat(data_dir / KEYS_FILE).st_mode & 0o777 == 0o600
    assert keys(data_dir, "status")["known"] == [local["keyId"]]
