"""The roster's tree without Qt: any order of arrival, loops, counts, groups, sorting; and its filter line."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mission_control_desktop.domain.events import ProviderHealth
from mission_control_desktop.domain.sessions import (
    AgentSession,
    Capabilities,
    Evidence,
    Freshness,
    SessionStatus,
    WaitingFor,
)
from mission_control_desktop.ui.roster.filter import SessionFilter, parse_filter
from mission_control_desktop.ui.roster.index import OPEN_UP_TO, Node, RosterIndex
from mission_control_desktop.ui.roster.order import GroupBy, SortBy
from mission_control_desktop.ui.roster.severity import Severity, severity
from mission_control_desktop.ui.roster.usage import short_count, usage_detail, usage_text

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def session(native: str, parent: str | None = None, status: str = "running", **more: Any) -> AgentSession:
    number = int(native) if native.isdigit() else ord(native[0])
    provider = more.pop("provider", "internal")
    evidence = Evidence(
        last_event_at=more.pop("seen", NOW), source="agent", freshness=more.pop("fresh", Freshness.LIVE)
    )
    return AgentSession(
        session_id=f"{provider}:{native}",
        parent_session_id=f"{provider}:{parent}" if parent else None,
        provider=provider,
        status=SessionStatus(status),
        spawned_at=more.pop("spawned_at", NOW + timedelta(seconds=number)),
        capabilities=Capabilities(),
        evidence=evidence,
        **more,
    )


def rows(index: RosterIndex, health: dict[str, ProviderHealth] | None = None) -> list[str]:
    built = index.build(NOW, health or {})
    assert [row.row for row in built] == list(range(len(built)))
    return ["-" * row.level + (row.session.session_id[9:] if isinstance(row, Node) else row.title) for row in built]


def filled(*sessions: AgentSession) -> RosterIndex:
    index = RosterIndex()
    for one in sessions:
        index.put(one)
    return index


def node(index: RosterIndex, native: str) -> Node:
    found = index.node(f"internal:{native}")
    assert found is not None
    return found


def test_an_orphan_moves_below_its_parent_when_it_arrives() -> None:
    index = filled(session("c", "b"), session("b", "a"))
    assert rows(index) == ["b", "-c"]
    index.put(session("a"))
    assert rows(index) == ["a", "-b", "--c"]
    assert node(index, "a").below == 2


def test_a_loop_of_parents_is_broken() -> None:
    index = filled(session("a", "b"), session("b", "a"), session("x", "x"))
    index.open_below(None)
    assert len(rows(index)) == 3
    index.put(session("a"))
    index.put(session("b", "a"))
    index.open_below(None)
    assert rows(index) == ["a", "-b", "x"]


def test_removed_sessions_leave_their_children_behind() -> None:
    index = filled(session("a"), session("b", "a", status="failed"), session("c", "b"))
    index.remove(["internal:b"])
    assert rows(index) == ["a", "c"]
    assert (node(index, "a").below, node(index, "a").worst) == (0, Severity.NORMAL)
    index.put(session("b", "a"))
    assert rows(index) == ["a", "-b", "--c"]


def test_a_chain_of_any_depth() -> None:
    chain = [session(str(n), str(n - 1) if n else None) for n in range(1_500)]
    index = filled(*reversed(chain))
    index.open_below(None)
    found = rows(index)
    assert found[-1] == "-" * 1_499 + "1499"
    assert node(index, "0").below == 1_499


def recounted(index: RosterIndex, one: Node) -> tuple[int, list[int]]:
    below, tally = 0, [0] * len(Severity)
    for child in one.children:
        more, kinds = recounted(index, child)
        below += 1 + more
        tally[severity(child.session)] += 1
        tally = [a + b for a, b in zip(tally, kinds, strict=True)]
    return below, tally


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_counts_and_rows_hold_whatever_happens(seed: int) -> None:
    rng = random.Random(seed)
    index, known = RosterIndex(), dict[str, AgentSession]()
    for _ in range(rng.randint(1, 120)):
        native = str(rng.randrange(30))
        if rng.random() < 0.1:
            index.remove([f"internal:{native}"])
            known.pop(native, None)
            continue
        parent = str(rng.randrange(30)) if rng.random() < 0.7 else None
        waiting = rng.choice([None, *WaitingFor])
        known[native] = session(native, parent, rng.choice([*SessionStatus]).value, waiting_for=waiting)
        index.put(known[native])
        if rng.random() < 0.2:
            index.set_sort(rng.choice([*SortBy]), descending=rng.random() < 0.5)
            index.set_group(rng.choice([*GroupBy]))
    for one in index.nodes():
        assert (one.below, one.tally) == recounted(index, one)
        assert [child.key for child in one.children] == sorted(child.key for child in one.children)
    index.open_below(None)
    seen = [row for row in index.build(NOW, {}) if isinstance(row, Node)]
    assert sorted(row.session.session_id for row in seen) == sorted(f"internal:{native}" for native in known)
    text = rng.choice(["1", "status:failed", "is:live", "needs:me", "-2"])
    index.set_filter(parse_filter(text))
    seen = [row for row in index.build(NOW, {}) if isinstance(row, Node)]
    passing = {s.session_id for s in known.values() if parse_filter(text).matches(s, NOW, {})}
    assert {row.session.session_id for row in seen if row.matched} == passing
    assert index.matches == len(passing)


def test_a_closed_parent_tells_the_worst_of_what_is_below() -> None:
    index = filled(session("a"), session("b", "a"), session("c", "b", status="failed"), session("d", "b"))
    index.set_open(node(index, "a"), False)
    assert rows(index) == ["a"]
    assert (node(index, "a").worst, node(index, "a").tally[Severity.FAILED]) == (Severity.FAILED, 1)
    index.put(session("c", "b", status="waiting", waiting_for=WaitingFor.APPROVAL))
    index.put(session("d", "b", fresh=Freshness.UNREACHABLE))
    assert node(index, "a").worst is Severity.APPROVAL
    index.put(session("c", "b", status="completed"))
    assert node(index, "a").worst is Severity.STALE
    index.put(session("d", "b", status="killed"))
    assert node(index, "a").worst is Severity.NORMAL


def test_a_filter_opens_the_way_and_keeps_what_a_person_opened() -> None:
    index = filled(session("a"), session("b", "a"), session("c", "b", status="failed"), session("z"))
    index.set_open(node(index, "a"), False)
    index.set_filter(parse_filter("status:failed"))
    assert rows(index) == ["a", "-b", "--c"]
    assert not node(index, "b").matched
    index.set_open(node(index, "b"), False)
    assert rows(index) == ["a", "-b"]
    index.set_filter(parse_filter(""))
    assert rows(index) == ["a", "z"]
    assert node(index, "b").matched
    assert index.reveal("internal:c")
    assert rows(index) == ["a", "-b", "--c", "z"]
    index.set_filter(parse_filter("status:failed"))
    rows(index)
    assert not index.reveal("internal:z")
    index.put(session("c", "b"))
    assert index.stale, "it does not pass any more"
    assert rows(index) == []


def test_groups_take_sessions_of_any_depth() -> None:
    index = filled(
        session("a"),
        session("b", "a", status="failed"),
        session("c", "b", status="failed"),
        session("d", "a"),
        session("e", provider="lab"),
    )
    index.set_group(GroupBy.STATUS)
    assert rows(index) == ["Failed", "-b", "--c", "Running", "-a", "--d", "-"]
    index.set_open(index.build(NOW, {})[0], False)
    assert rows(index)[:2] == ["Failed", "Running"]
    assert index.reveal("internal:c")
    assert rows(index)[:3] == ["Failed", "-b", "--c"]
    index.put(session("c", "b"))
    assert rows(index) == ["Failed", "-b", "Running", "-a", "--d", "-c", "-"]
    index.set_group(GroupBy.PROFILE)
    assert rows(index)[0] == "No profile"


def test_groups_by_control_plane_begin_at_home() -> None:
    index = filled(session("a"), session("b", "a"), session("c", provider="zoo/internal"))
    index.put(session("d", provider="ant/lab"))
    index.set_group(GroupBy.PLANE)
    built = index.build(NOW, {})
    assert [one.title for one in built if not isinstance(one, Node)] == ["This computer", "ant", "zoo"]


def test_parents_that_come_after_their_children_cost_no_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[Node] = []
    whole = RosterIndex._move

    def move(self: RosterIndex, one: Node, target: Node | None) -> None:
        moved.append(one)
        whole(self, one, target)

    monkeypatch.setattr(RosterIndex, "_move", move)
    index = RosterIndex()
    index.put_all([session("3", "2"), session("2", "1"), session("1")])
    assert rows(index) == ["1", "-2", "--3"]
    assert not moved


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (SortBy.STARTED, "abc"),
        (SortBy.NAME, "cba"),
        (SortBy.STATUS, "bca"),
        (SortBy.SIGN, "bac"),
        (SortBy.USAGE, "acb"),
    ],
)
def test_siblings_are_sorted_and_stay_so(by: SortBy, expected: str) -> None:
    index = filled(
        session("a", title="z", seen=NOW + timedelta(seconds=1)),
        session("b", title="Y", status="failed", usage={"totalTokens": 9}),
        session("c", title="x", status="paused", seen=NOW + timedelta(seconds=2), usage={"inputTokens": 3}),
    )
    index.set_sort(by)
    assert "".join(rows(index)) == expected
    index.set_sort(by, descending=True)
    assert "".join(rows(index)) == expected[::-1]
    index.put(session("b", spawned_at=NOW + timedelta(days=1), seen=NOW + timedelta(days=1), title="zz",
                      usage={"totalTokens": 99}))  # fmt: skip
    index.set_sort(by)
    assert "".join(rows(index)).endswith("b") or by is SortBy.STATUS


def test_a_large_tree_begins_closed_and_a_small_one_open() -> None:
    small = filled(session("1"), session("2", "1"))
    assert len(rows(small)) == 2
    large = filled(*(session(str(n)) for n in range(OPEN_UP_TO)), session("9999", "1"))
    assert len(rows(large)) == OPEN_UP_TO


# -- the filter line


def test_filter_words() -> None:
    one = session("a", title="Review the parser", task_id="T-7", metadata={"demo": True, "profile": "Fast"})
    for text in ("", "parser", "PARSER review", '"the parser"', "t-7", "status:run", "status:waiting,running",
                 "is:live", "is:demo", "-lexer", "-status:failed", "profile:fast", "task:t-", "provider:int,lab",
                 "is:d", "internal:a", "status:", "-"):  # fmt: skip
        assert parse_filter(text).matches(one, NOW), text
    for text in ("nothing", "status:failed", "is:ended", "provider:openclaw", "needs:me", '"parser the"', "-parser",
                 "-is:demo", "is:abnormal", "10:30"):  # fmt: skip
        assert not parse_filter(text).matches(one, NOW), text
    assert parse_filter("status:").empty
    assert not parse_filter("", live_only=True).matches(session("b", status="killed"), NOW)
    assert not parse_filter("", abnormal_only=True).matches(one, NOW)
    assert parse_filter("", abnormal_only=True).matches(one, NOW + timedelta(minutes=1)), "silent for too long"


def test_a_wrong_value_is_named_and_left_out() -> None:
    found = parse_filter("status:nonsense is:blue needs:you parser")
    assert [term.values for term in found.terms] == [("parser",)]
    assert found.problems == (
        "status:nonsense is not known. Use spawning, running, waiting, paused, completed, failed or killed.",
        "is:blue is not known. Use live, ended, abnormal, stale or demo.",
        "needs:you is not known. Use me.",
    )


def test_what_is_stale_with_its_provider() -> None:
    one = session("a", provider="lab", status="waiting", waiting_for=WaitingFor.CHILDREN)
    away = {"lab": ProviderHealth(provider="lab", state="unreachable")}
    assert parse_filter("is:stale").matches(one, NOW, away)
    assert not parse_filter("is:stale").matches(one, NOW, {})
    assert not parse_filter("is:stale").matches(msgspec.structs.replace(one, status=SessionStatus.KILLED), NOW, away)


_PIECES = st.sampled_from(
    ["status:", "status:run", "status:x", "is:", "is:live", "-", '"', ":", "provider:", "provider:a,b", "needs:me",
     "words", "profile:", ",", "\t", "é:ß", "is:live,ended", "-is:ended"]
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(_PIECES, max_size=8).map(" ".join), st.lists(_PIECES).map("".join)))
def test_any_line_is_a_filter(text: str) -> None:
    found = parse_filter(text)
    assert isinstance(found, SessionFilter)
    one = session("a", title=text)
    assert found.matches(one, NOW) in (True, False)
    assert parse_filter(text) == found
    assert parse_filter(f"  {text}\n").terms == found.terms or '"' in text
    for term in found.terms:
        assert term.values
        # What a positive term refuses, its negation lets through.
        turned = SessionFilter((term._replace(negated=not term.negated),))
        assert turned.matches(one, NOW) is not SessionFilter((term,)).matches(one, NOW)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.from_regex(r"[a-z]{1,8}", fullmatch=True), min_size=1, max_size=4))
def test_all_words_must_be_there(wanted: list[str]) -> None:
    wanted = [word for word in wanted if word not in ("status", "is")]
    assert parse_filter(" ".join(wanted)).matches(session("a", title=" ".join(reversed(wanted))), NOW)
    assert not parse_filter(" ".join([*wanted, "0"])).matches(session("a", title=" ".join(wanted)), NOW)


# -- usage


def test_usage_is_told_in_few_words() -> None:
    one = session("a", usage={"totalTokens": 12_400, "used": 3_000, "size": 200_000, "cost": {"amount": 0.42}})
    assert usage_text(one) == "12.4k · $0.42"
    assert usage_detail(one) == "Used: 12,400 tokens, context 3,000 of 200,000, $0.42"
    assert usage_text(session("a", usage={"used": 900})) == "900"
    assert usage_text(session("a", usage={"inputTokens": 1_000, "outputTokens": 500, "cost": {"amount": 0.001}})) == (
        "1.5k · $<0.01"
    )
    assert [short_count(n) for n in (0, 999, 99_949, 123_456, 3_100_000, 2 * 10**9)] == [
        "0", "999", "99.9k", "123k", "3.1M", "2.0G",
    ]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.sampled_from(["totalTokens", "used", "size", "cost", "tokens"]), st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text()),
    lambda inner: st.dictionaries(st.sampled_from(["amount", "currency"]), inner), max_leaves=4)))  # fmt: skip
def test_whatever_an_agent_reports_can_be_shown(usage: dict[str, Any]) -> None:
    one = session("a", usage=usage)
    assert isinstance(usage_text(one) + usage_detail(one), str)
