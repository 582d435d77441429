"""Where master keys come from: the environment, a keyring, a private file; and what happens if one of them fails."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mission_control_desktop.domain.errors import BadInput, Unavailable
from mission_control_desktop.storage import master_keys as module
from mission_control_desktop.storage.master_keys import (
    ENV_KEY,
    ENV_PREVIOUS,
    KEYS_FILE,
    EnvironmentKeys,
    KeyPlace,
    Keyring,
    MasterKeys,
    open_sealer,
    take_from_environment,
)
from mission_control_desktop.storage.sealing import MasterKey

OURS, OLD = MasterKey(b"o" * 32), MasterKey(b"p" * 32)


def text(key: MasterKey) -> str:
    return base64.b64encode(key.reveal()).decode()


class Ring:
    """A keyring in memory. `broken` is raised by every call; `deaf` keeps nothing; `hanging` never answers."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.broken: Exception | None = None
        self.deaf = False
        self.hanging: threading.Event | None = None

    def _act(self) -> None:
        if self.hanging is not None:
            self.hanging.wait()
        if self.broken is not None:
            raise self.broken

    def get_password(self, service: str, username: str) -> str | None:
        self._act()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._act()
        if not self.deaf:
            self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._act()
        del self.kept[service, username]


def keys_in(directory: Path, ring: Keyring | None = None, **environment: str) -> MasterKeys:
    return MasterKeys(directory, EnvironmentKeys(environment), backend=ring)


# ------------------------------------------------------------------------------------------------ environment


def test_the_environment_comes_first_and_makes_no_file(tmp_path: Path) -> None:
    keys = keys_in(tmp_path, Ring(), **{ENV_KEY: text(OURS), ENV_PREVIOUS: f"{text(OLD)}, "})
    assert keys.ensure() == (OURS, OLD)
    assert keys.place is KeyPlace.ENVIRONMENT
    assert not (tmp_path / KEYS_FILE).exists()


def test_keys_of_the_directory_open_what_they_sealed_beside_the_environments(tmp_path: Path) -> None:
    (local,) = keys_in(tmp_path, Ring()).ensure()
    ring = Ring()
    ring.broken = OSError()
    assert local not in keys_in(tmp_path, ring, **{ENV_KEY: text(OURS)}).ensure()
    ring.broken = None
    kept = keys_in(tmp_path / "file", Failing()).ensure()
    assert keys_in(tmp_path / "file", Failing(), **{ENV_KEY: text(OURS)}).ensure() == (OURS, *kept)


def test_retired_keys_of_the_environment_alone_only_open(tmp_path: Path) -> None:
    found = keys_in(tmp_path, Failing(), **{ENV_PREVIOUS: text(OLD)}).ensure()
    assert found[0] != OLD
    assert found[1:] == (OLD,)


@pytest.mark.parametrize("name", [ENV_KEY, ENV_PREVIOUS])
@pytest.mark.parametrize("value", ["verysecretbutshort", base64.b64encode(b"s" * 31).decode(), "ä" * 32])
def test_what_is_no_key_is_refused_without_being_shown(name: str, value: str) -> None:
    with pytest.raises(BadInput, match="base64") as refused:
        EnvironmentKeys({name: value})
    assert refused.value.field == name
    assert value not in refused.value.message


def test_keys_are_taken_out_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_taken", {})
    monkeypatch.setenv(ENV_KEY, text(OURS))
    monkeypatch.setenv(ENV_PREVIOUS, text(OLD))
    for _ in range(2):  # a control plane may be opened again in the same process
        taken = take_from_environment()
        assert taken.current == OURS
        assert taken.previous == (OLD,)
        assert ENV_KEY not in os.environ
        assert ENV_PREVIOUS not in os.environ
    given = {ENV_KEY: text(OLD), "PATH": "/bin"}
    assert take_from_environment(given).current == OLD
    assert given == {"PATH": "/bin"}
    assert "b3" not in repr(taken)


# ---------------------------------------------------------------------------------------------------- keyring


class Failing(Ring):
    def __init__(self) -> None:
        super().__init__()
        self.broken = RuntimeError("no service; the secret was hunter2")


def deaf() -> Ring:
    ring = Ring()
    ring.deaf = True
    return ring


def hanging() -> Ring:
    ring = Ring()
    ring.hanging = threading.Event()
    return ring


def test_a_keyring_keeps_the_key_and_the_file_only_its_name(tmp_path: Path) -> None:
    ring = Ring()
    with capture_logs() as logs:
        (made,) = keys_in(tmp_path, ring).ensure()
    assert logs == []
    assert ring.kept == {("mission-control-desktop", f"master-key-{made.id}"): text(made)}
    assert keys_in(tmp_path, ring).place is KeyPlace.KEYRING
    assert keys_in(tmp_path, ring).ensure() == (made,)
    assert text(made) not in (tmp_path / KEYS_FILE).read_text()
    (other,) = keys_in(tmp_path / "other", ring).ensure()
    assert other != made


@pytest.mark.parametrize("make", [Failing, deaf, hanging])
def test_a_keyring_that_does_not_work_is_said_and_a_private_file_used(
    tmp_path: Path, make: Callable[[], Ring], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEYRING_SECONDS", 0.1)
    ring = make()
    with capture_logs() as logs:
        (made,) = keys_in(tmp_path, ring).ensure()
    assert [entry["event"] for entry in logs if "kept in a file" in entry["event"]]
    assert text(made) not in str(logs)
    assert "hunter2" not in str(logs)
    assert keys_in(tmp_path, ring).place is KeyPlace.FILE
    assert keys_in(tmp_path, ring).ensure() == (made,)
    assert (tmp_path / KEYS_FILE).stat().st_mode & 0o777 == 0o600
    if ring.hanging is not None:
        ring.hanging.set()


def test_the_systems_backend_that_always_fails_is_known(tmp_path: Path) -> None:
    assert keys_in(tmp_path).ensure()
    assert keys_in(tmp_path).place is KeyPlace.FILE


def test_a_keyring_that_is_locked_today_adds_a_key_and_loses_none(tmp_path: Path) -> None:
    ring = Ring()
    (first,) = keys_in(tmp_path, ring).ensure()
    ring.broken = RuntimeError("locked")
    with capture_logs() as logs:
        (second,) = keys_in(tmp_path, ring).ensure()
    assert second != first
    assert any(entry["log_level"] == "error" and entry["key"] == first.id for entry in logs)
    ring.broken = None
    assert keys_in(tmp_path, ring).ensure() == (second, first)


def test_a_current_key_that_is_not_to_be_had_is_never_taken_for_another(tmp_path: Path) -> None:
    ring = Ring()
    ring.broken = RuntimeError("locked")
    keys_in(tmp_path, ring).ensure()
    ring.broken = None
    keys = keys_in(tmp_path, ring)
    rotated = keys.begin_rotation()
    assert len(rotated) == 2
    ring.kept.clear()
    with pytest.raises(Unavailable):
        keys.load()


# ------------------------------------------------------------------------------------------------------- file


def test_a_key_is_made_once(tmp_path: Path) -> None:
    keys = keys_in(tmp_path, Failing())
    with pytest.raises(Unavailable):
        keys.load()
    assert keys.place is None
    assert keys.ensure() == keys.ensure() == keys.load()
    previous = os.umask(0)
    try:
        keys.begin_rotation()
    finally:
        os.umask(previous)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


ENSURE = """
import sys
from pathlib import Path
from mission_control_desktop.storage.master_keys import EnvironmentKeys, MasterKeys
keys = MasterKeys(Path(sys.argv[1]), EnvironmentKeys({}))
print("here", flush=True)
sys.stdin.readline()
print(keys.ensure()[0].id)
"""


def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ENSURE, str(tmp_path)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate(timeout=60)[0].split()[-1] for process in running]
    assert found == [keys_in(tmp_path).load()[0].id] * 2


def test_a_rotation_keeps_the_old_key_until_it_is_forgotten(tmp_path: Path) -> None:
    for ring in (Ring(), Failing()):
        directory = tmp_path / type(ring).__name__
        keys = keys_in(directory, ring)
        (old,) = keys.ensure()
        new, kept = keys.begin_rotation()
        assert kept == old != new
        assert keys_in(directory, ring).load() == (new, old)
        assert keys.forget([new.id]) == (old.id,)
        assert keys.forget([new.id]) == ()
        assert keys_in(directory, ring).ensure() == (new,)
        assert text(old) not in ((directory / KEYS_FILE).read_text() + str(ring.kept))


def test_another_processs_key_is_seen_without_asking_the_keyring(tmp_path: Path) -> None:
    ring = Ring()
    ours, theirs = keys_in(tmp_path, ring), keys_in(tmp_path, ring)
    (first,) = ours.ensure()
    assert ours.current_id() == first.id
    second = theirs.begin_rotation()[0]
    ring.broken = RuntimeError("must not be asked")
    assert ours.current_id() == second.id
    kept = (tmp_path / KEYS_FILE).read_bytes()
    for spoil in (os.unlink, lambda path: Path(path).write_bytes(b"{")):
        spoil(tmp_path / KEYS_FILE)
        with capture_logs() as logs:
            assert [ours.current_id() for _ in range(3)] == [None] * 3
        assert [one["log_level"] for one in logs] == ["error"]
        (tmp_path / KEYS_FILE).write_bytes(kept)
        assert ours.current_id() == second.id
    assert keys_in(tmp_path, ring, **{ENV_KEY: text(OURS)}).current_id() == OURS.id


def test_the_key_that_another_process_has_just_made_is_not_forgotten(tmp_path: Path) -> None:
    ring = Ring()
    ours, theirs = keys_in(tmp_path, ring), keys_in(tmp_path, ring)
    first = ours.ensure()[0]
    mine = ours.begin_rotation()[0]
    newest = theirs.begin_rotation()[0]
    assert ours.forget([mine.id]) == (first.id,)
    assert ours.current_id() == newest.id


def test_with_the_environments_key_a_rotation_makes_none_and_forgets_the_directorys(tmp_path: Path) -> None:
    (local,) = keys_in(tmp_path, Failing()).ensure()
    keys = keys_in(tmp_path, Failing(), **{ENV_KEY: text(OURS), ENV_PREVIOUS: text(OLD)})
    assert keys.begin_rotation() == (OURS, local, OLD)
    assert keys.forget([OURS.id]) == (local.id,)
    assert keys.load() == (OURS, OLD)


@pytest.mark.parametrize("content", [b"", b"{", b'{"keys":[{"id":1}]}', b"\xff"])
def test_a_damaged_file_is_set_aside_and_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / KEYS_FILE).write_bytes(content)
    keys = keys_in(tmp_path, Failing())
    with pytest.raises(Unavailable, match="backup"):
        keys.begin_rotation()
    with capture_logs() as logs:
        assert len(keys.ensure()) == 1
    (aside,) = tmp_path.glob(f"{KEYS_FILE}.damaged-*")
    assert aside.read_bytes() == content
    assert any(entry.get("file") == str(aside) for entry in logs)


def test_a_key_that_was_changed_in_the_file_is_not_used_and_not_overwritten(tmp_path: Path) -> None:
    (made,) = keys_in(tmp_path, Failing()).ensure()
    file = tmp_path / KEYS_FILE
    file.write_text(file.read_text().replace(text(made), text(OLD)))
    (other,) = keys_in(tmp_path, Failing()).ensure()
    assert other not in (made, OLD)
    assert text(OLD) in file.read_text()


def test_without_a_place_for_a_key_there_is_a_sealer_that_says_so(tmp_path: Path) -> None:
    (tmp_path / KEYS_FILE).mkdir()
    with capture_logs() as logs:
        sealer = open_sealer(keys_in(tmp_path, Failing()))
    assert sealer.key_id is None
    with pytest.raises(Unavailable, match=KEYS_FILE):
        sealer.seal(b"x", place="p")
    assert any(entry["log_level"] == "error" for entry in logs)


def test_the_log_says_which_source_is_used(tmp_path: Path) -> None:
    with capture_logs() as logs:
        sealer = open_sealer(keys_in(tmp_path, Ring(), **{ENV_KEY: text(OURS)}))
    assert logs == [{"event": "master key", "place": "environment", "key": OURS.id, "others": 0, "log_level": "info"}]
    assert sealer.key_ids == (OURS.id,)
