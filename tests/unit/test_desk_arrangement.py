"""Arrangements as data: they fit what is open, refuse what makes no sense, and travel as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mission_control_desktop.domain.errors import (
    BadInput,
    Conflict,
    MissionControlError,
    NotFound,
    TooLarge,
    Unavailable,
)
from mission_control_desktop.ui.desk.arrangement import (
    MAX_DEPTH,
    Arrangement,
    FullPanel,
    OwnWindow,
    Place,
    Split,
    Tabs,
    Tree,
    beside_each_other,
    depth_of,
    fitted,
    panels_of,
    problem_of,
)
from mission_control_desktop.ui.desk.book import MAX_DESKS, MAX_STANDS, Desk, DeskBook, PanelRef, Stand
from mission_control_desktop.ui.desk.exchange import MAX_BYTES, load_file, read_desks, save_file, write_desks
from mission_control_desktop.ui.local_state import LocalState

PLACE = Place(monitor="left", x=10, y=20, width=300, height=200)
WHOLE = Arrangement(
    docked=Split(
        across=True,
        parts=(
            Split(across=False, parts=(Tabs(panels=("a",)), Tabs(panels=("b", "c"), front="c")), sizes=(300, 500)),
            Tabs(panels=("d",)),
        ),
        sizes=(400, 600),
    ),
    windows=(OwnWindow(content=Tabs(panels=("e",)), place=PLACE),),
    full=(FullPanel(panel="d", monitor="right"),),
    current="c",
    follower="e",
    by_hand=True,
)


def test_an_arrangement_that_fits_stays_as_it_is() -> None:
    assert fitted(WHOLE, "abcde") == WHOLE
    assert WHOLE.panels() == list("abcde")
    assert problem_of(WHOLE) == ""


def test_panels_that_are_not_wanted_leave_no_hole() -> None:
    left = fitted(WHOLE, "ac")
    assert left.docked == Split(
        across=False, parts=(Tabs(panels=("a",)), Tabs(panels=("c",), front="c")), sizes=(300, 500)
    )
    assert (left.windows, left.full, left.current, left.follower) == ((), (), "c", "")
    assert fitted(WHOLE, "").docked is None


def test_missing_panels_split_the_largest_place() -> None:
    more = fitted(WHOLE, "abcdef")
    assert isinstance(more.docked, Split)
    assert more.docked.parts[1] == Split(across=False, parts=(Tabs(panels=("d",)), Tabs(panels=("f",))))
    assert more.docked.sizes == (400, 600)
    assert list(panels_of(beside_each_other("abcd") or Tabs(panels=("x",)))) == ["a", "c", "b", "d"]
    assert beside_each_other([]) is None


def test_what_makes_no_sense_is_named() -> None:
    double = Arrangement(docked=Tabs(panels=("a", "a")))
    assert "two places" in problem_of(double)
    assert "no place to come back" in problem_of(Arrangement(full=(FullPanel(panel="a", monitor="m"),)))
    deep: Tree = Tabs(panels=("a",))
    for n in range(MAX_DEPTH):
        deep = Split(across=bool(n % 2), parts=(deep, Tabs(panels=(f"p{n}",))))
    assert depth_of(deep) == MAX_DEPTH + 1
    assert "nested" in problem_of(Arrangement(docked=deep))


# -- files

DESK = Desk(
    name="Wall",
    panels=tuple(PanelRef(session_id=i, title=i.upper()) for i in "abcde"),
    stands={"left + right": Stand(arrangement=WHOLE, window=PLACE, splitter=(340, 900), monitors="2 monitors")},
)


def test_a_file_brings_back_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "wall.desks.json"
    save_file(path, write_desks((DESK, Desk(name="Empty"))))
    assert load_file(path) == (DESK, Desk(name="Empty"))
    assert [p.name for p in tmp_path.iterdir()] == [path.name], "no half-written file stays"


def broken(change: Any) -> bytes:
    plain = json.loads(write_desks((DESK,)))
    change(plain)
    return json.dumps(plain).encode()


def _docked(plain: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plain["desks"][0]["stands"]["left + right"]["arrangement"]["docked"]
    return found


@pytest.mark.parametrize(
    ("raw", "field", "says"),
    [
        (b"\xff\xfe not json", "file", "not an export of desks"),
        (b"[1, 2]", "file", "not an export of desks"),
        (b'{"desks": []}', "format", "not an export of desks"),
        (broken(lambda p: p.update(version=2)), "version", "version 2"),
        (broken(lambda p: p.update(desks=[])), "desks", "damaged at desks"),
        (broken(lambda p: p["desks"][0].update(name=7)), "desks[0].name", "Expected `str`, got `int`"),
        (broken(lambda p: p["desks"][0].update(name="   ")), "name", "needs a name"),
        (broken(lambda p: _docked(p).update(type="spiral")), "docked", "Invalid value 'spiral'"),
        (broken(lambda p: _docked(p)["sizes"].append(-4)), "sizes", ">= 0"),
        (broken(lambda p: _docked(p)["parts"][1]["panels"].append("a")), "Wall", "two places"),
    ],
    ids=["bytes", "a list", "format", "version", "no desks", "name type", "no name", "kind of tree", "size", "double"],
)
def test_a_file_that_is_not_sound_says_where(raw: bytes, field: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_desks(raw)
    assert field in caught.value.field
    assert says in caught.value.message


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(TooLarge):
        read_desks(b" " * (MAX_BYTES + 1))
    with pytest.raises(Unavailable, match="cannot be read"):
        load_file(tmp_path / "none.json")
    with pytest.raises(Unavailable, match="cannot be written"):
        save_file(tmp_path / "no folder" / "x.json", b"{}")
    deep = b'{"format":"mission-control-desks","version":1,"desks":' + b"[" * 100_000
    with pytest.raises(MissionControlError):
        read_desks(deep)


# -- the book


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(tmp_path, problem=lambda text: pytest.fail(text))


def test_desks_are_kept_in_their_order_with_the_set_of_monitors_they_were_used_on(state: LocalState) -> None:
    book = DeskBook(state)
    assert [book.desk(i).name for i in book.ids()] == ["Main"]
    main = book.current_id
    book.record("laptop", Stand(arrangement=Arrangement()), {"a": "A"})
    wall = book.add("Wall", copy_of=main)
    book.select(wall)
    book.record("left + right", Stand(arrangement=WHOLE), dict.fromkeys("abcde", "T"))
    again = DeskBook(state)
    assert again.ids() == [main, wall]
    assert again.current.name == "Wall"
    assert again.last_on("laptop") == main
    assert again.last_on("left + right") == wall
    assert again.last_on("never seen") == ""
    stand = again.current.stand("laptop")
    assert stand is not None
    assert stand.arrangement == Arrangement(), "a copy brings what the other one was for other monitors"
    never = again.current.stand("never seen")
    assert never is not None
    assert never.arrangement == WHOLE, "on new monitors it begins as it stood last"
    again.remove(wall)
    assert again.current_id == main
    assert DeskBook(state).ids() == [main]


def test_names_are_unique_and_there_is_always_one_desk(state: LocalState) -> None:
    book = DeskBook(state)
    with pytest.raises(Conflict, match="last desk"):
        book.remove(book.current_id)
    with pytest.raises(Conflict, match="already"):
        book.add("  mAIN ")
    with pytest.raises(BadInput, match="needs a name"):
        book.rename(book.current_id, "  ")
    with pytest.raises(NotFound):
        book.select("none")
    book.rename(book.current_id, "main")
    added = book.take_in((DESK, DESK))
    assert [book.desk(i).name for i in added] == ["Wall", "Wall (2)"]
    with pytest.raises(Conflict, match=f"at most {MAX_DESKS}"):
        book.take_in((DESK,) * MAX_DESKS)
    assert len(book.ids()) == 3, "all or nothing"


def test_a_desk_remembers_the_sets_of_monitors_used_last(state: LocalState) -> None:
    book = DeskBook(state)
    for n in range(MAX_STANDS + 3):
        book.record(f"set {n}", Stand(arrangement=Arrangement()), {})
    book.record("set 5", Stand(arrangement=Arrangement()), {})
    assert list(book.current.stands) == [f"set {n}" for n in range(3, MAX_STANDS + 3) if n != 5] + ["set 5"]


def test_one_damaged_desk_does_not_take_the_others_along(state: LocalState) -> None:
    book = DeskBook(state)
    main = book.current_id
    book.record("m", Stand(arrangement=WHOLE), dict.fromkeys("abcde", ""))
    bad = book.add("Bad")
    plain = json.loads(msgspec.json.encode(DESK))
    plain["stands"]["left + right"]["arrangement"]["docked"]["parts"] = "none"
    state.put(f"desk:{bad}", plain)
    again = DeskBook(state)
    assert again.damaged == 1
    assert again.ids() == [main]
    assert state.get(f"desk:{bad}.damaged") == plain, "kept for whoever wants to look"
    state.put("desks", {"version": 99})
    assert DeskBook(state).ids() == [main], "without its list the desks are still there"
    assert DeskBook(state).damaged == 0
