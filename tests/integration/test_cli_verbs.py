"""The command line against the real control plane and a real agent process."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from mission_control_desktop.cli.main import main
from mission_control_desktop.domain.providers import StageName
from mission_control_desktop.programs import control
from support.control_plane import ControlPlaneProcess
from support.orchestration import DOUBLE, sweep

T = TypeVar("T")


class Shell:
    """Runs commands in this process, as `mission-control` would."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        self._capsys.readouterr()
        code = main(words)
        out, err = self._capsys.readouterr()
        return code, out, err

    def good(self, *words: str) -> str:
        code, out, err = self(*words)
        assert code == 0, err
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self.good(*words, "--json"))

    def until(self, probe: Callable[[], T | None], what: str) -> T:
        deadline = time.monotonic() + 40
        while time.monotonic() < deadline:
            if found := probe():
                return found
        raise AssertionError(f"did not come about: {what}")

    def session(self, session_id: str) -> dict[str, Any]:
        items = self.json("sessions")["items"]
        return next(item for item in items if item["sessionId"] == session_id)

    def until_waiting(self, session_id: str, what: str = "operator") -> None:
        self.until(lambda: self.session(session_id).get("waitingFor") == what, f"waiting for {what}")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    process = ControlPlaneProcess(tmp_path_factory.mktemp("plane") / "data dir").start()
    yield process
    process.stop()
    sweep(process.data_dir)


@pytest.fixture
def shell(
    plane: ControlPlaneProcess, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shell]:
    monkeypatch.setenv("MISSION_CONTROL_DATA_DIR", str(plane.data_dir))
    monkeypatch.delenv("MISSION_CONTROL_URL", raising=False)
    monkeypatch.delenv("MISSION_CONTROL_TOKEN", raising=False)
    found = Shell(capsys)
    found.good("profiles", "put", "double", "--title", "Scripted", "--", sys.executable, str(DOUBLE), "--steering")
    yield found
    found("kill-all", "--scope", "all", "--confirm", "KILL ALL", "--reason", "the test is over")


def test_a_session_by_hand(shell: Shell) -> None:
    session_id = shell.good("spawn", "double", "[words 3 1] [tool]", "--title", "By hand", "--task", "T-1").strip()
    assert session_id.startswith("internal:")
    shell.until_waiting(session_id)
    short = session_id[-8:]
    table = shell.good("sessions")
    assert table.splitlines()[0].split() == ["ID", "PROVIDER", "STATUS", "TIME", "TYPE", "TITLE"]
    assert any(line.startswith(f"{short}  internal  waiting for operator") for line in table.splitlines())
    assert f"{short}  waiting for operator  By hand" in shell.good("tree")
    assert {node["session"]["sessionId"] for node in shell.json("tree")["items"]} >= {session_id}

    text = shell.good("tail", session_id.removeprefix("internal:"), "--no-follow")
    assert "[USER]\n[words 3 1] [tool]" in text
    assert "[AGENT]\nword0 word1 word2" in text
    assert "tool call: ls completed" in text
    lines = [json.loads(line) for line in shell.good("tail", short, "--no-follow", "--json").splitlines()]
    assert {line["type"] for line in lines} == {"session", "message"}

    receipt = shell.json("inject", short, "[say hello again]")
    assert receipt["sessionId"] == session_id
    shell.until(lambda: "answered" in shell.good("receipts", short), "the answer")
    assert "hello again" in shell.good("tail", short, "--no-follow")
    assert str(DOUBLE) in shell.good("processes", short)

    assert "paused (freeze)" in shell.good("pause", short, "--reason", "look")
    assert "queued at position 1" in shell.good("inject", short, "held")
    held = shell.json("receipts", short)["items"][-1]["injectionId"]
    shell.good("inject", short, "[say wrong]")
    other = shell.json("receipts", short)["items"][-1]["injectionId"]
    assert "queued at position 1" in shell.good("move-message", short, other[:10], "1")
    assert shell.json("edit-message", short, other, "[say right]")["position"] == 1
    assert "[say right]" in shell.good("tail", short, "--no-follow")
    assert shell.good("withdraw", short, held[:10]).strip() == "withdrawn"
    assert session_id in shell.good("resume", short)
    shell.good("terminate", short)
    shell.until(lambda: shell.session(session_id)["status"] == "completed", "the end")
    code, out, err = shell("inject", short, "too late")
    assert (code, out) == (1, "")
    assert "has ended" in err
    assert "-- completed" in shell.good("tail", short)


def test_questions(shell: Shell) -> None:
    session_id = shell.good("spawn", "double", "[permission]").strip()
    shell.until_waiting(session_id, "approval")
    (question,) = shell.json("approvals")["items"]
    assert question["title"] in shell.good("approvals")
    assert question["approvalId"][-6:] in shell.good("approvals")
    assert "answered: reject" in shell.good("approvals", "deny", question["approvalId"][-12:])
    code, _, err = shell("approvals", "allow", question["approvalId"])
    assert code == 1
    assert "no longer open" in err
    assert shell.json("approvals")["items"] == []
    assert question["approvalId"] in {item["approvalId"] for item in shell.json("approvals", "--state", "all")["items"]}


def test_kill_all_tells_what_became_of_each(shell: Shell) -> None:
    root = shell.good("spawn", "double", "[hang]").strip()
    child = shell.good("spawn", "double", "[hang]", "--parent", root[-8:]).strip()
    assert f"└─ {child[-8:]}" in shell.good("tree")
    code, out, err = shell("kill-all", "--scope", "all", "--confirm", "kill all", "--reason", "x")
    assert (code, out) == (1, "")
    assert "KILL ALL" in err
    out = shell.good("kill-all", "--scope", "internal", "--confirm", "KILL ALL", "--reason", "enough")
    assert f"{root}  dead" in out
    assert f"{child}  dead" in out
    assert out.endswith("2 of 2 dead\n")
    assert shell.json("kill-all", "--scope", "all", "--confirm", "KILL ALL", "--reason", "none left")["state"] == "done"


def test_the_log_goes_out_and_verifies_elsewhere(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plane: ControlPlaneProcess
) -> None:
    session_id = shell.good("spawn", "double").strip()
    shell.good("kill", session_id, "--reason", "for the log")
    assert "for the log" in shell.good("audit", "--action", "kill")
    assert "valid" in shell.good("audit", "verify")
    assert shell.json("audit", "verify")["valid"] is True
    path = tmp_path / "log.jsonl"
    code, _, err = shell("audit", "export", "-o", str(path))
    assert code == 0
    head = err.split("head ")[1].strip()
    assert shell.json("audit", "verify", "--head", head)["valid"] is True
    assert shell("audit", "verify", "--head", f"1:{'0' * 64}")[0] == 1
    exported = shell.json("audit", "export", "-o", str(path))
    assert exported["rows"] >= int(head.split(":")[0])
    assert path.stat().st_mode & 0o777 == 0o600
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert shell.good("audit", "export").startswith(path.read_text())
    code, out, err = shell("audit", "export", "--session", session_id)
    assert code == 0
    assert "do not form a chain" in err
    assert {json.loads(line)["sessionId"] for line in out.splitlines()} == {session_id}
    monkeypatch.setenv("MISSION_CONTROL_DATA_DIR", str(tmp_path / "nothing"))
    assert "valid" in shell.good("audit", "verify", "--file", str(path))
    assert shell("audit", "verify", "--file", str(path), "--head", head)[0] == 0
    rows[1]["userId"] = "somebody"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = shell("audit", "verify", "--file", str(path))
    assert code == 1
    assert "row 2" in out


def test_tokens_and_roles(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = shell("token", "create", "--user", "ann", "--role", "observer", "--expires", "1h")
    assert code == 0
    token = out.strip()
    assert token not in err
    listed = shell.json("token", "list")["items"]
    (mine,) = [item for item in listed if item["userId"] == "ann"]
    assert token not in json.dumps(listed)
    with monkeypatch.context() as as_ann:
        as_ann.setenv("MISSION_CONTROL_TOKEN", token)
        shell.good("sessions")
        code, _, err = shell("spawn", "double")
        assert code == 1
        assert "operator" in err
    shell.good("token", "revoke", mine["id"])
    monkeypatch.setenv("MISSION_CONTROL_TOKEN", token)
    code, _, err = shell("sessions")
    assert code == 1
    assert token not in err


def test_how_long_messages_are_kept(shell: Shell) -> None:
    assert shell.good("workspace") == "default: messages are kept 30 days (the default)\n"
    assert "kept 7 days" in shell.good("workspace", "set", "--message-days", "7")
    assert shell.json("workspace", "show")["messageRetentionDays"] == 7
    assert shell.json("workspace", "set", "--message-days", "default")["messageRetentionDays"] is None
    for wrong in ("0", "3651", "many"):
        assert shell("workspace", "set", "--message-days", wrong)[0] == 2


def test_profiles(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "very-secret")
    words = (
        "profiles",
        "put",
        "mine",
        "--env",
        "MY_KEY",
        "--env",
        "A=b",
        "--cwd",
        "/tmp",
        "--",
        "agent",
        "--acp",
        "--json",
    )
    assert "agent --acp --json" in shell.good(*words)
    (mine,) = [item for item in shell.json("profiles")["items"] if item["name"] == "mine"]
    assert sorted(mine["envNames"]) == ["A", "MY_KEY"]
    assert "very-secret" not in json.dumps(mine)
    assert shell("spawn", "mine")[0] in (0, 1)
    shell.good("profiles", "remove", "mine")
    code, _, err = shell("profiles", "remove", "mine")
    assert (code, "mine" in err) == (1, True)


def test_what_is_unknown_or_unclear(shell: Shell) -> None:
    for words in (
        ("tail", "nothing-like-it"),
        ("kill", "0" * 32, "--reason", "x"),
        ("pause", "abc"),
        ("spawn", "no-such-profile"),
        ("inject", "nowhere:x", "y"),
        ("approvals", "allow", "nothing"),
        ("audit", "--from", "yesterday"),
        ("sessions", "--provider", "NO SUCH"),
    ):
        code, out, err = shell(*words)
        assert (code, out) == (1, ""), words
        assert err.startswith("mission-control: ")
        assert "Traceback" not in err


def test_doctor(shell: Shell) -> None:
    findings = {item["what"]: item for item in shell.json("doctor")["items"]}
    assert findings["control plane"]["verdict"] == "ok"
    assert findings["record"]["verdict"] == "ok"
    assert "admin" in findings["access"]["detail"]
    assert "provider internal" in findings


def hear_ctrl_c() -> None:
    """A suite that runs in the background of a shell ignores SIGINT, and so would what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def tailing() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `mission-control tail` as a process of its own; ended with the test, whatever happens."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "mission_control_desktop", "tail", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    text = ""
    while words not in text:
        line = process.stdout.readline()
        assert line, f"ended before {words!r}: {text}"
        text += line
    return text


def test_tail_follows_and_ends_on_ctrl_c(shell: Shell, tailing: Callable[..., subprocess.Popen[str]]) -> None:
    session_id = shell.good("spawn", "double", "[words 2 1]").strip()
    process = tailing(session_id)
    read_until(process, "-- waiting for operator")
    shell.good("inject", session_id, "[say more]")
    read_until(process, "more")
    read_until(process, "-- waiting for operator")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")


def test_tail_ends_when_the_session_does(shell: Shell, tailing: Callable[..., subprocess.Popen[str]]) -> None:
    session_id = shell.good("spawn", "double", "[hang]").strip()
    process = tailing(session_id, "--json")
    read_until(process, '"running"')
    shell.good("kill", session_id, "--reason", "over")
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    last = [json.loads(line) for line in out.splitlines()]
    assert any(line["type"] == "session" and line["data"]["status"] == "killed" for line in last)


def test_a_reader_that_had_enough(shell: Shell, tailing: Callable[..., subprocess.Popen[str]]) -> None:
    session_id = shell.good("spawn", "double", "[words 400 5]").strip()
    process = tailing(session_id, "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_tail_comes_back_when_the_control_plane_does(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tailing: Callable[..., subprocess.Popen[str]],
) -> None:
    plane = ControlPlaneProcess(tmp_path / "data").start()
    monkeypatch.setenv("MISSION_CONTROL_DATA_DIR", str(plane.data_dir))
    shell = Shell(capsys)
    try:
        shell.good("profiles", "put", "double", "--", sys.executable, str(DOUBLE))
        session_id = shell.good("spawn", "double", "[words 30 5] [permission] [say the end]").strip()
        process = tailing(session_id)
        text = read_until(process, "-- waiting for approval")
        plane.kill()
        plane.start("--port", plane.url.rpartition(":")[2])
        (question,) = shell.until(lambda: shell.json("approvals")["items"], "the question")
        shell.until(lambda: shell("approvals", "allow", question["approvalId"])[0] == 0, "the answer")
        text += read_until(process, "-- waiting for operator")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert text.count("word29") == 1
        assert text.count("the end") == 2  # in the question and in the answer
        assert "trying again" in err
        shell.good("kill", session_id, "--reason", "over")
    finally:
        plane.stop()
        sweep(plane.data_dir)


def test_members_by_hand(shell: Shell) -> None:
    made = shell.json("token", "create", "--user", "kim", "--role", "operator", "--workspace", "default")
    shown = {one["userId"]: (one["role"], one["liveTokens"]) for one in shell.json("members", "list")["items"]}
    assert shown["kim"] == ("operator", 1)
    assert shell.json("members", "set", "kim", "observer")["role"] == "observer"
    (token,) = [one for one in shell.json("token", "list")["items"] if one["id"] == made["id"]]
    assert (token["role"], token["createdBy"]) == ("observer", shell.json("token", "list")["items"][-1]["userId"])
    assert "kim" in shell.good("members")
    assert shell.json("token", "revoke", made["id"]) == {"revoked": made["id"]}
    assert shell.json("members", "remove", "kim") == {"removed": "kim"}
    code, _, err = shell("members", "remove", "kim")
    assert (code, "no such member" in err) == (1, True)
    (me,) = [one for one in shell.json("members")["items"] if one["role"] == "admin"]
    code, _, err = shell("members", "set", me["userId"], "observer")
    assert code == 1
    assert "last admin" in err


def test_tokens_are_made_in_the_directory_where_no_control_plane_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first token of a server that nobody has started yet; then the same command through it."""
    for name in ("MISSION_CONTROL_URL", "MISSION_CONTROL_TOKEN", "MISSION_CONTROL_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    where = tmp_path / "fresh"

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = control([*words, "--data-dir", str(where)])
        return code, *capsys.readouterr()

    for verb in ("token list", "members", "workspace", "audit", "keys status"):
        words = verb.split()
        code, out, err = run(*words)
        assert (code, out) == (1, ""), words
        assert "has no record" in err
    assert not where.exists()
    code, out, err = run("token", "create", "--user", "x", "--role", "observer", "--json")
    assert code == 0
    assert "No control plane runs here" in err
    token = json.loads(out)["token"]
    assert (where.stat().st_mode & 0o777, (where / "control-plane.db").stat().st_mode & 0o777) == (0o700, 0o600)
    assert token.encode() not in (where / "control-plane.db").read_bytes()
    for verb, key, value in (
        ("token list", "items", 1),
        ("members", "items", 1),
        ("workspace set --message-days 7", "messageRetentionDays", 7),
        ("audit verify", "rows", 4),
        ("keys status", "unopenable", []),
    ):
        code, out, err = run(*verb.split(), "--json")
        assert (code, "No control plane runs here" in err) == (0, True), verb
        found = json.loads(out)[key]
        assert (len(found) if key == "items" else found) == value, verb
    elsewhere = tmp_path / "elsewhere"
    for words in (["keys", "status"], ["token", "create", "--user", "x", "--role", "admin"]):
        assert control([*words, "--database-url", "postgresql://127.0.0.1:9/x", "--data-dir", str(elsewhere)]) == 1
        assert "master key of this record is not here" in capsys.readouterr().err
    assert not elsewhere.exists(), "another key was made for a record that has one"
    monkeypatch.setenv("MISSION_CONTROL_URL", "http://127.0.0.1:9")
    assert run("token", "list")[0] == 1, "who names a control plane means that one"
    monkeypatch.delenv("MISSION_CONTROL_URL")
    process = ControlPlaneProcess(where).start()
    try:
        me = httpx.get(f"{process.url}/api/me", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
        assert me.json() == {"userId": "x", "role": "observer", "workspaceId": "default"}
        code, out, err = run("token", "list", "--json")
        assert (code, err) == (0, "")
        assert [one["userId"] for one in json.loads(out)["items"]][-1] == "x"
        code, out, _ = run("audit", "--json")
        rows = json.loads(out)["items"]
        assert [(row["action"], row["outcome"]) for row in rows] == [
            (action, outcome) for action in ("workspace-change", "token-create") for outcome in ("done", "intended")
        ]
        assert rows[2]["metadata"]["member"] == {"before": None, "now": "observer"}
    finally:
        process.stop()


def test_providers_from_the_command_line(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plane: ControlPlaneProcess
) -> None:
    assert "orchestrator" in shell.good("providers", "kinds")
    monkeypatch.setenv("FAR_TOKEN", "canary-from-the-environment")
    add = ("providers", "add", "far", "--kind", "orchestrator", "--gateway", "http://127.0.0.1:9", "--disabled")
    assert "switched off" in shell.good(*add, "--credentials-env", "FAR_TOKEN")
    (far,) = [one for one in shell.json("providers")["items"] if one["name"] == "far"]
    assert (far["hasCredentials"], far["isActive"]) == (True, False)
    code, out, _ = shell("providers", "check", "far")
    assert code == 1
    assert "FAILED" in out
    assert "127.0.0.1:9" in out
    assert [line.split()[0] for line in out.splitlines()] == [stage.value for stage in StageName]
    code, out, _ = shell("providers", "check", "far", "--json")
    assert (code, json.loads(out)["stages"][0]["state"]) == (1, "failed")
    assert "FAILED" in shell.good("providers", "list")
    assert not shell.json("providers", "update", "far", "--no-credentials")["hasCredentials"]
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps({"token": "canary-from-a-file"}))
    assert shell("providers", "enable", "far")[0] == 1, "it needs its token first"
    assert shell.json("providers", "update", "far", "--credentials-file", str(secret))["hasCredentials"]
    assert shell.json("providers", "enable", "far")["isActive"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("canary-from-standard-input\n"))
    assert shell.json("providers", "update", "far", "--credentials")["hasCredentials"]
    assert shell.json("providers", "disable", "far")["isActive"] is False
    assert shell.json("providers", "rename", "far", "farther")["name"] == "farther"
    assert "internal" in shell("providers", "rename", "farther", "internal")[2]
    shell.good("providers", "rename", "farther", "far")
    for bad in (
        ("providers", "add", "x", "--kind", "nothing", "--gateway", "https://far.example"),
        ("providers", "add", "x", "--kind", "orchestrator", "--gateway", "http://far.example"),
        ("providers", "update", "far", "--credentials-env", "NO_SUCH_VARIABLE"),
        ("providers", "update", "far", "--credentials-file", str(tmp_path / "none")),
        ("providers", "remove", "nobody"),
        ("providers", "remove", "internal"),
    ):
        code, _, err = shell(*bad)
        assert code == 1, bad
        assert err.startswith("mission-control: ")
    assert shell("providers", "add", "x")[0] == 2
    assert shell(*add, "--credentials", "--credentials-env", "FAR_TOKEN")[0] == 2
    assert "stay on record" in shell("providers", "remove", "far")[2]
    everything = b"".join(path.read_bytes() for path in plane.data_dir.rglob("*") if path.is_file())
    assert b"canary-from" not in everything + plane.log.read_bytes()
