"""Arguments, exit codes, and what works without any control plane."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mission_control_desktop.cli.commands import option_for
from mission_control_desktop.cli.main import Program, main
from mission_control_desktop.domain.approvals import Approval, ApprovalOption
from mission_control_desktop.domain.audit import GENESIS_HASH, AuditAction, AuditEntry, AuditOutcome, chained
from mission_control_desktop.domain.base import to_json
from mission_control_desktop.domain.errors import NotFound
from mission_control_desktop.domain.people import ActorKind

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _own_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISSION_CONTROL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("MISSION_CONTROL_URL", raising=False)
    monkeypatch.delenv("MISSION_CONTROL_TOKEN", raising=False)


def log(path: Path, rows: int = 3) -> list[str]:
    previous, lines = GENESIS_HASH, []
    for seq in range(1, rows + 1):
        entry = chained(
            AuditEntry(
                id=f"a{seq}",
                seq=seq,
                created_at=NOW,
                user_id="me",
                actor_kind=ActorKind.PERSON,
                action=AuditAction.INJECT,
                outcome=AuditOutcome.DONE,
                content=f"words {seq}",
            ),
            previous,
        )
        previous = entry.hash
        lines.append(to_json(entry).decode())
    path.write_text("\n".join(lines) + "\n")
    return lines


@pytest.mark.parametrize(
    "words",
    [
        "",
        "fly",
        "kill internal:a",
        "kill-all --scope all",
        "kill-all --scope all --reason x",
        "inject a",
        "tail",
        "tail a --lines 501",
        "sessions --limit 0",
        "sessions --status dead",
        "approvals allow",
        "token create --user me",
        "token revoke",
        "token",
        "profiles put x",
        "profiles put x --",
        "profiles put x --env NOWHERE_TO_BE_FOUND -- agent",
        "audit export --file x",
        "pause a --level hard",
    ],
)
def test_wrong_usage_is_2_and_says_how(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: mission-control" in captured.err


def recorder(got: list[list[str]], code: int) -> Callable[[list[str]], int]:
    def run(rest: list[str]) -> int:
        got.append(rest)
        return code

    return run


@pytest.mark.parametrize("words", ["--help", "--version", "audit --help", "audit verify --help", "serve --help"])
def test_help_is_0(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    got: list[list[str]] = []
    assert main(words.split(), programs={"serve": Program("run a control plane", recorder(got, 0))}) == 0
    assert capsys.readouterr().out or got == [["--help"]]


@pytest.mark.parametrize(
    "words",
    [
        "sessions",
        "tree --json",
        "tail abcd",
        "inject abcd hello",
        "kill abcd --reason x",
        "kill-all --scope all --confirm no --reason x",
        "approvals",
        "profiles list",
        "processes abcd",
        "token list",
        "audit verify",
    ],
)
def test_without_a_control_plane_it_is_1_and_nothing_is_started(
    words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(words.split()) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "mission-control serve" in captured.err
    assert "window" in captured.err
    assert not (tmp_path / "data").exists()


def test_another_program_gets_the_rest_of_the_line() -> None:
    got: list[list[str]] = []
    assert main(["serve", "--port", "0"], programs={"serve": Program("", recorder(got, 7))}) == 7
    assert got == [["--port", "0"]]


def test_an_exported_log_is_checked_offline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "audit log.jsonl"
    lines = log(path)
    assert main(["audit", "verify", "--file", str(path)]) == 0
    assert "valid: 3 rows" in capsys.readouterr().out
    for changed, problem in (
        ([lines[0], lines[1].replace("words 2", "words 9"), lines[2]], "line 2, row 2 (a2): changed"),
        ([lines[0], lines[1].replace('"content"', '"content":"words 9","content"'), lines[2]], "line 2, row 2: unread"),
        (
            [lines[0], lines[1].replace('"content"', '"contents":"words 9","content"'), lines[2]],
            "line 2, row 2: unread",
        ),
        ([lines[0], "", lines[2]], "line 3, row 2: removed"),
        ([lines[1], lines[0], lines[2]], "line 1, row 1 (a1): reordered"),
        ([lines[0], lines[0], lines[1], lines[2]], "line 2, row 1 (a1): inserted"),
        ([*lines[:2], lines[2][:-40]], "line 3, row 3: unreadable"),
    ):
        path.write_text("\n".join(changed))
        assert main(["audit", "verify", "--file", str(path)]) == 1
        assert problem in capsys.readouterr().out
        assert main(["audit", "verify", "--json", "--file", str(path)]) == 1
        assert json.loads(capsys.readouterr().out)["valid"] is False
    # The same rows in another form are the same rows.
    path.write_text("\n".join(json.dumps(json.loads(line), indent=None, sort_keys=True) for line in lines))
    assert main(["audit", "verify", "--file", str(path)]) == 0


def test_a_file_that_was_cut_off_is_told_by_its_head(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    lines = log(path)
    heads = [f"{n}:{json.loads(line)['hash']}" for n, line in enumerate(lines, start=1)]
    path.write_text("\n".join(lines[:2]))
    assert main(["audit", "verify", "--file", str(path)]) == 0
    assert heads[1] in capsys.readouterr().out
    assert main(["audit", "verify", "--file", str(path), "--head", heads[0]]) == 0
    assert main(["audit", "verify", "--file", str(path), "--head", heads[2]]) == 1
    assert "endMissing: row 3 is missing at the end" in capsys.readouterr().out
    assert main(["audit", "verify", "--file", str(path), "--head", f"2:{'0' * 64}"]) == 1
    assert "endForged" in capsys.readouterr().out
    assert main(["audit", "verify", "--file", str(path), "--head", "2"]) == 1
    assert "SEQ:HASH" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", path.open())
    assert main(["audit", "verify", "--file", "-"]) == 0
    assert "standard input" in capsys.readouterr().out
    sys.stdin.close()


def test_what_is_no_log_is_said_to_be_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    assert main(["audit", "verify", "--file", str(path)]) == 1
    assert "cannot be read" in capsys.readouterr().err
    path.write_text(log(path)[0] + "\n{not json\n")
    assert main(["audit", "verify", "--file", str(path)]) == 1
    assert "line 2" in capsys.readouterr().out


def test_doctor_without_a_control_plane(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    main(["doctor", "--json"])
    items = {item["what"]: item for item in json.loads(capsys.readouterr().out)["items"]}
    assert items["data directory"]["verdict"] == "note"
    assert items["control plane"]["verdict"] == "note"
    assert "secrets" in items
    data.mkdir(mode=0o755)
    (data / "local-token").write_text("x")
    (data / "local-token").chmod(0o644)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "mode 0755" in out
    assert "local-token has mode 0644" in out
    assert "chmod go=" in out


def test_options_are_chosen_by_kind() -> None:
    options = (
        ApprovalOption(option_id="1", kind="allow_always", label="Always"),
        ApprovalOption(option_id="2", kind="allow_once", label="Yes"),
        ApprovalOption(option_id="3", kind="reject_once", label="No"),
    )
    approval = Approval(
        approval_id="a", session_id="internal:a", provider="internal", title="?", options=options, created_at=NOW
    )
    assert option_for(approval, "allow", always=False) == "2"
    assert option_for(approval, "allow", always=True) == "1"
    assert option_for(approval, "deny", always=False) == "3"
    with pytest.raises(NotFound, match=r"3 \(No\)"):
        option_for(approval, "deny", always=True)
