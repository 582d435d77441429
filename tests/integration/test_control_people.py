"""Members and tokens: what one change does to the other, on a real record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.tokens import MAX_USER_CHARS
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.errors import BadInput, Conflict, Forbidden, NotAuthenticated, NotFound
from mission_control_desktop.domain.mission_control import AuditFilter
from mission_control_desktop.domain.people import Principal, Role
from support.planes import EVE, ROOT, plane


@pytest.fixture
async def built(tmp_path: Path) -> AsyncIterator[ControlPlane]:
    async with plane(tmp_path) as made:
        yield made


def roles(members: object) -> dict[str, tuple[str, int]]:
    return {one.user_id: (one.role.value, one.live_tokens) for one in members}  # type: ignore[attr-defined]


async def test_a_token_makes_a_member_and_raises_one(built: ControlPlane) -> None:
    admin = built.bind(ROOT)
    first = await admin.create_token(user="ann", role=Role.OPERATOR, expires_in="2h")
    assert (first.created_by, first.last_used_at) == ("root", None)
    assert first.expires_at is not None
    await admin.create_token(user="ann", role=Role.OBSERVER)
    assert roles(await admin.members()) == {"ann": ("operator", 2)}
    await admin.create_token(user="ann", role=Role.ADMIN)
    assert roles(await admin.members()) == {"ann": ("admin", 3)}
    rows = (await admin.audit(AuditFilter(action=AuditAction.TOKEN_CREATE, outcome="done"))).items
    told = [row.metadata.get("member") for row in reversed(rows)]
    assert told == [{"before": None, "now": "operator"}, None, {"before": "operator", "now": "admin"}]
    listed = await admin.tokens()
    assert {one.created_by for one in listed} == {"root"}
    assert not any(hasattr(one, "token") for one in listed)
    with pytest.raises(Forbidden):
        await built.bind(EVE).members()


async def test_a_lower_role_lowers_every_token_and_a_higher_one_none(built: ControlPlane) -> None:
    admin = built.bind(ROOT)
    ended: list[str] = []
    built.tokens.on_end.append(ended.append)
    boss = await admin.create_token(user="boss", role=Role.ADMIN)
    high = await admin.create_token(user="ann", role=Role.ADMIN)
    middle = await admin.create_token(user="ann", role=Role.OPERATOR)
    low = await admin.create_token(user="ann", role=Role.OBSERVER)
    elsewhere = await admin.create_token(user="ann", role=Role.ADMIN, workspace="elsewhere")
    before = await built.tokens.authenticate(high.token)
    member = await admin.set_member("ann", Role.OPERATOR)
    assert (member.role, member.live_tokens) == (Role.OPERATOR, 3)
    assert ended == [high.id]
    assert (await built.tokens.authenticate(high.token)).role is Role.OPERATOR
    assert not await built.tokens.still_valid(before), "a stream opened as admin ends"
    await admin.set_member("ann", Role.OBSERVER)
    assert set(ended) == {high.id, middle.id}
    await admin.set_member("ann", Role.ADMIN)
    for token in (high, middle, low):
        assert (await built.tokens.authenticate(token.token)).role is Role.OBSERVER
    assert (await built.tokens.authenticate(elsewhere.token)).role is Role.ADMIN
    assert (await built.tokens.authenticate(boss.token)).role is Role.ADMIN
    (row, *_) = (await admin.audit(AuditFilter(action=AuditAction.MEMBER_CHANGE, outcome="done"))).items
    assert (row.metadata["before"], row.metadata["loweredTokens"]) == ("observer", [])


async def test_a_member_who_is_removed_can_do_nothing_more(built: ControlPlane) -> None:
    admin = built.bind(ROOT)
    ended: list[str] = []
    built.tokens.on_end.append(ended.append)
    gone = [await admin.create_token(user="ann", role=Role.OPERATOR) for _ in range(2)]
    elsewhere = await admin.create_token(user="ann", role=Role.OPERATOR, workspace="elsewhere")
    for token in gone:
        await built.tokens.authenticate(token.token)
    await admin.remove_member("ann")
    assert set(ended) == {token.id for token in gone}
    for token in gone:
        with pytest.raises(NotAuthenticated, match="revoked"):
            await built.tokens.authenticate(token.token)
    assert (await built.tokens.authenticate(elsewhere.token)).workspace_id == "elsewhere"
    assert await admin.members() == ()
    with pytest.raises(NotFound):
        await admin.remove_member("ann")


async def test_the_last_admin_who_can_come_in_stays(built: ControlPlane) -> None:
    admin = built.bind(ROOT)
    await admin.create_token(user="one", role=Role.ADMIN)
    for attempt in (admin.set_member("one", Role.OPERATOR), admin.remove_member("one")):
        with pytest.raises(Conflict, match=r"last admin of the workspace default.*token create --user NAME"):
            await attempt
    # An admin without a good token of that role could not make things right again.
    await admin.set_member("two", Role.ADMIN)
    spent = await admin.create_token(user="two", role=Role.ADMIN)
    await admin.revoke_token(spent.id)
    await admin.create_token(user="two", role=Role.OBSERVER)
    await admin.create_token(user="three", role=Role.ADMIN, workspace="elsewhere")
    with pytest.raises(Conflict):
        await admin.set_member("one", Role.OBSERVER)
    await admin.create_token(user="two", role=Role.ADMIN)
    await admin.set_member("one", Role.OBSERVER)
    with pytest.raises(Conflict):
        await admin.remove_member("two")
    assert roles(await admin.members()) == {"one": ("observer", 1), "two": ("admin", 2)}
    assert (await admin.set_member("two", Role.ADMIN)).role is Role.ADMIN, "the same again is no change"
    assert (await admin.audit_verify()).valid


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("user", {"user": ""}),
        ("user", {"user": "   "}),
        ("user", {"user": " ann"}),
        ("user", {"user": "ann\n"}),
        ("user", {"user": "a\x1b[31mnn"}),
        ("user", {"user": "a\u202enn"}),
        ("user", {"user": "x" * (MAX_USER_CHARS + 1)}),
        ("user", {"user": "agent:0123"}),
        ("workspace", {"workspace": ""}),
        ("workspace", {"workspace": "Not A Name"}),
        ("workspace", {"workspace": "ok\n"}),
        ("expiresIn", {"expires_in": "soon"}),
        ("expiresIn", {"expires_in": 0}),
        ("expiresIn", {"expires_in": "9999w"}),
    ],
)
async def test_nonsense_is_refused_by_field_and_on_record(
    built: ControlPlane, field: str, more: dict[str, str | int]
) -> None:
    admin = built.bind(ROOT)
    with pytest.raises(BadInput) as error:
        await admin.create_token(**{"user": "ann", "role": Role.OBSERVER, **more})  # type: ignore[arg-type]
    assert error.value.field == field
    assert await admin.tokens() == ()
    assert await admin.members() == ()
    assert [row.outcome for row in (await admin.audit()).items] == ["refused"]


async def test_who_is_admin_elsewhere_makes_tokens_there_alone(built: ControlPlane) -> None:
    there = built.bind(Principal(user_id="sam", role=Role.ADMIN, workspace_id="elsewhere"))
    made = await there.create_token(user="kim", role=Role.ADMIN)
    assert made.workspace_id == "elsewhere"
    with pytest.raises(Forbidden):
        await there.create_token(user="kim", role=Role.ADMIN, workspace="default")
    here = built.bind(ROOT)
    with pytest.raises(NotFound):
        await here.revoke_token(made.id)
    with pytest.raises(NotFound):
        await here.remove_member("kim")
    assert await here.members() == ()
    assert roles(await there.members()) == {"kim": ("admin", 1)}
