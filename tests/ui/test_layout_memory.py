"""What the window remembers: layout, drafts, colours; and what it does when that is damaged."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mission_control_desktop.ui import theme
from mission_control_desktop.ui.control import MAX_DRAFTS, StateDrafts
from mission_control_desktop.ui.desk.book import DESK_PREFIX, INDEX_KEY
from mission_control_desktop.ui.desk.desks import LAYOUT_KEY
from mission_control_desktop.ui.local_state import LocalState
from mission_control_desktop.ui.panel.port import Draft
from support.rig import Rig, until
from support.scripted_plane import ScriptedPlane, session


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


class Problems(list[str]):
    """Collects what the local state complains of."""


def opened(folder: Path) -> tuple[LocalState, Problems]:
    problems = Problems()
    return LocalState(folder, problem=problems.append), problems


def test_values_survive(folder: Path) -> None:
    state, problems = opened(folder)
    state.put("a", {"x": [1, 2, "ü"]})
    state.put("b", 1)
    state.put("b", None)
    state.close()
    state, _ = opened(folder)
    assert state.get("a") == {"x": [1, 2, "ü"]}
    assert state.get("b", "gone") == "gone"
    assert problems == []


def test_a_kill_right_after_a_flush_loses_nothing(folder: Path) -> None:
    script = (
        "import sys, os, signal\nfrom pathlib import Path\n"
        "from mission_control_desktop.ui.local_state import LocalState\n"
        "s = LocalState(Path(sys.argv[1]), problem=print)\n"
        "s.put('layout', {'n': 7}); assert s.flush(30)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    state, problems = opened(folder)
    assert state.get("layout") == {"n": 7}
    assert problems == []
    state.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough" * 100, b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_damaged_file_is_moved_aside(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "desktop.sqlite3").write_bytes(content)
    state, problems = opened(folder)
    assert len(problems) == 1
    assert "damaged" in problems[0]
    assert [p.read_bytes() for p in folder.glob("*.damaged-*")] == [content]
    state.put("a", 1)
    state.close()
    again, problems = opened(folder)
    assert again.get("a") == 1
    assert problems == []


def test_an_unreadable_value_is_ignored(folder: Path) -> None:
    state, _ = opened(folder)
    state.put("a", 1)
    state.close()
    with sqlite3.connect(folder / "desktop.sqlite3") as connection:
        connection.execute("UPDATE preferences SET value = x'ff'")
    connection.close()
    state, _ = opened(folder)
    assert state.get("a", "default") == "default"


def test_a_folder_that_cannot_be_made_is_said_and_survived(folder: Path) -> None:
    folder.write_text("a file stands where the folder should be")
    state, problems = opened(folder)
    assert "cannot be kept" in problems[0]
    state.put("a", 1)
    assert state.get("a") == 1
    state.close()


def test_a_write_that_fails_is_said_once_and_made_good_later(folder: Path) -> None:
    state, problems = opened(folder)
    state.put("a", 1)
    assert state.flush()
    blocker = sqlite3.connect(folder / "desktop.sqlite3", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    said = threading.Event()
    state._problem = lambda text: (problems.append(text), said.set())  # type: ignore[func-returns-value,assignment]
    state.put("a", 2)
    assert said.wait(30)
    assert "cannot be saved now" in problems[0]
    blocker.execute("COMMIT")
    blocker.close()
    state.put("b", 3)
    assert state.flush(30)
    state.close()
    state, _ = opened(folder)
    assert (state.get("a"), state.get("b")) == (2, 3)
    assert len(problems) == 1


def test_the_audit_cache_keeps_sources_apart_and_the_newest_rows(folder: Path) -> None:
    state, _ = opened(folder)
    state.cache_audit("one", [(n, f"row {n}".encode()) for n in range(1, 2101)])
    state.cache_audit("two", [(1, b"other")])
    assert state.flush(30)
    assert state.cached_audit("one", 2).result(30) == [b"row 2100", b"row 2099"]
    assert len(state.cached_audit("one", 5000).result(30)) == 2000
    assert state.cached_audit("two").result(30) == [b"other"]
    state.close()


async def test_drafts_are_kept_per_session_and_bounded(folder: Path) -> None:
    state, _ = opened(folder)
    drafts = StateDrafts(state)
    drafts.save("internal:a", Draft(text="half a thought", sending_key="k"))
    assert await drafts.load("internal:a") == Draft(text="half a thought", sending_key="k")
    drafts.save("internal:a", None)
    assert await drafts.load("internal:a") is None
    for n in range(MAX_DRAFTS + 5):
        drafts.save(f"s{n}", Draft(text="x"))
    assert len(state.keys("draft:")) == MAX_DRAFTS
    assert await drafts.load("s0") is None
    state.put("draft:odd", {"text": 5})
    assert await drafts.load("odd") is None
    state.close()


def test_the_layout_is_there_before_the_window_is_shown(rig: Rig) -> None:
    plane = ScriptedPlane()
    plane.tell(*(session(n, title=n.upper()) for n in "abc"))
    shapes: list[Any] = []

    async def first() -> None:
        desk = await rig.open(plane.open)
        window = desk.window
        await until(lambda: len(window.panels.open_ids()) == 3)
        window.panels.activate("internal:c")
        window.commands["panel.close"].trigger()
        window.panels.activate("internal:b")
        window.commands["panel.down"].trigger()
        window.commands["view.roster"].trigger()
        window.choose_scheme("dark")
        shapes.append(window.panels.open_ids())
        await desk.close()

    async def second() -> None:
        desk = rig.desktop(plane.open)
        assert desk.window.panels.open_ids() == shapes[0]
        assert desk.window.roster.isHidden()
        assert theme.scheme() == "dark"
        await desk.show()
        await desk.reach()
        await until(lambda: desk.panels.get("internal:a"))
        assert desk.window.panels.open_ids() == shapes[0], "a panel that was closed stays closed"
        assert desk.window.notices.texts() == []
        await desk.close()

    rig.run(first)
    rig.run(second)


def test_the_layout_is_saved_as_it_changes(rig: Rig) -> None:
    async def scenario() -> None:
        plane = ScriptedPlane()
        plane.tell(session("a"), session("b"))
        desk = await rig.open(plane.open)
        await until(lambda: len(desk.window.panels.open_ids()) == 2)

        def on_disk() -> bool:
            other = LocalState(rig.folder, problem=rig.failures.append)
            index = other.get(INDEX_KEY)
            saved: Any = other.get(DESK_PREFIX + index["current"]) if index else None
            return bool(saved) and len(saved["panels"]) == 2

        await until(on_disk, "the layout on disk, with the window still open")
        await desk.close()

    rig.run(scenario)


def _stand(desk: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(desk["stands"].values()))
    return found


@pytest.mark.parametrize(
    ("prefix", "damage"),
    [
        (DESK_PREFIX, lambda saved: "nonsense"),
        (DESK_PREFIX, lambda saved: _stand(saved)["window"].update(x="%%%") or saved),
        (DESK_PREFIX, lambda saved: _stand(saved)["arrangement"].update(docked={"type": "spiral"}) or saved),
        (DESK_PREFIX, lambda saved: {**saved, "panels": [{"no": "id"}]}),
        (DESK_PREFIX, lambda saved: _stand(saved).update(splitter=["wide"]) or saved),
        (LAYOUT_KEY, lambda saved: {**saved, "version": 999}),
        (LAYOUT_KEY, lambda saved: "nonsense"),
    ],
    ids=["not a desk", "place", "tree", "panels", "splitter", "version", "not a layout"],
)
def test_a_damaged_layout_gives_the_default_one_and_a_word(rig: Rig, prefix: str, damage: Any) -> None:
    plane = ScriptedPlane()
    plane.tell(session("a", title="Alpha"))

    async def first() -> None:
        desk = await rig.open(plane.open)
        await until(lambda: desk.window.panels.open_ids())
        desk.state.put("draft:internal:z", {"text": "keep me"})
        await desk.close()

    rig.run(first)
    state = LocalState(rig.folder, problem=rig.failures.append)
    (key,) = state.keys(prefix)
    state.put(key, damage(state.get(key)))
    state.close()

    async def second() -> None:
        desk = rig.desktop(plane.open)
        await desk.show()
        assert any("layout was damaged" in text for text in desk.window.notices.texts())
        await desk.reach()
        await until(lambda: desk.window.panels.open_ids() == ["internal:a"])
        assert desk.state.get("draft:internal:z") == {"text": "keep me"}, "nothing else is lost"
        assert desk.state.get(f"{key}.damaged") is not None
        await desk.close()

    rig.run(second)


def test_a_restored_panel_of_a_session_that_is_gone_says_so(rig: Rig) -> None:
    plane = ScriptedPlane()
    plane.tell(session("a"), session("b"))

    async def first() -> None:
        desk = await rig.open(plane.open)
        await until(lambda: len(desk.window.panels.open_ids()) == 2)
        await desk.close()

    async def second() -> None:
        del plane.known["internal:b"]
        desk = await rig.open(plane.open)
        await until(lambda: desk.panels.get("internal:a"))
        dock = desk.window.panels._docks["internal:b"]
        await until(lambda: "no longer on record" in dock.widget().label.text())
        await desk.close()

    rig.run(first)
    rig.run(second)
