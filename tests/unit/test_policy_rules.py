"""The policy as a table: every operation × every role, and how far agents reach."""

from __future__ import annotations

import pytest

from mission_control_desktop.control.policy import RULES, Operation, Reach, check, check_role
from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.errors import Forbidden
from mission_control_desktop.domain.people import ActorKind, Principal, Role

READS = {
    Operation.CONTRACT,
    Operation.ME,
    Operation.HEALTH_DETAIL,
    Operation.SESSIONS,
    Operation.SESSION,
    Operation.TREE,
    Operation.MESSAGES,
    Operation.STREAM,
    Operation.EVENTS,
    Operation.RECEIPTS,
    Operation.PROCESSES,
    Operation.APPROVALS,
    Operation.AUDIT,
    Operation.AUDIT_VERIFY,
    Operation.PROFILES,
    Operation.PROVIDERS,
    Operation.KILL_STATE,
    Operation.WORKSPACE,
}
ADMINISTERS = {
    Operation.PROFILE_PUT,
    Operation.PROFILE_DELETE,
    Operation.WORKSPACE_CHANGE,
    Operation.MEMBERS,
    Operation.MEMBER_PUT,
    Operation.MEMBER_REMOVE,
    Operation.PROVIDER_ADD,
    Operation.PROVIDER_UPDATE,
    Operation.PROVIDER_REMOVE,
    Operation.PROVIDER_CHECK,
    Operation.TOKENS,
    Operation.TOKEN_CREATE,
    Operation.TOKEN_REVOKE,
    Operation.KEYS,
    Operation.KEYS_ROTATE,
}
INTERVENES = set(Operation) - READS - ADMINISTERS

# What product rule 4.6 says, written down a second time on purpose: a slip in the table shows here.
MAY = {
    Role.OBSERVER: READS,
    Role.OPERATOR: READS | INTERVENES,
    Role.ADMIN: READS | INTERVENES | ADMINISTERS,
}
AGENT = Principal(user_id="agent:a", role=Role.OPERATOR, actor_kind=ActorKind.AGENT, agent_session_id="a")


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_exactly_what_the_product_says(role: Role, operation: Operation) -> None:
    who = Principal(user_id="u", role=role)
    if operation in MAY[role]:
        check(who, operation, Reach.NO_TARGET)
    else:
        with pytest.raises(Forbidden) as refused:
            check(who, operation, Reach.NO_TARGET)
        assert role.value in refused.value.message


def test_every_intervention_has_an_action_of_its_own_and_reads_have_none() -> None:
    for operation, rule in RULES.items():
        assert rule.intervention == (
            operation in INTERVENES or operation in ADMINISTERS - {Operation.TOKENS, Operation.MEMBERS, Operation.KEYS}
        )
        assert (rule.action is AuditAction.READ) != rule.intervention


@pytest.mark.parametrize("operation", Operation)
def test_agents_never_reach_outside_their_own_subtree(operation: Operation) -> None:
    with pytest.raises(Forbidden):
        check(AGENT, operation, Reach.OUTSIDE)


def test_agents_do_only_what_their_tools_need() -> None:
    allowed = set()
    for operation in Operation:
        try:
            check_role(AGENT, operation)
        except Forbidden:
            continue
        allowed.add(operation)
    assert allowed == {
        *(Operation.CONTRACT, Operation.ME, Operation.SESSIONS, Operation.SESSION, Operation.TREE),
        *(Operation.MESSAGES, Operation.RECEIPTS, Operation.PROFILES),
        *(Operation.SPAWN, Operation.INJECT, Operation.TERMINATE),
    }
    for operation in (Operation.INJECT, Operation.TERMINATE):
        with pytest.raises(Forbidden):
            check(AGENT, operation, Reach.SELF)
        check(AGENT, operation, Reach.BELOW)
    check(AGENT, Operation.SPAWN, Reach.SELF)
    with pytest.raises(Forbidden):
        check(AGENT, Operation.SPAWN, Reach.NO_TARGET)


def test_an_agents_role_does_not_count() -> None:
    admin = Principal(user_id="agent:a", role=Role.ADMIN, actor_kind=ActorKind.AGENT, agent_session_id="a")
    with pytest.raises(Forbidden):
        check(admin, Operation.KILL, Reach.BELOW)
