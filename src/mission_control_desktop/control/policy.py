"""Who may do what: the one table, and the one place that decides by it.

Every operation of the control plane has a rule here; the service asks before it does anything, the server's route
table names the operation of each route, and the permission matrix in the tests is generated from both.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from mission_control_desktop.domain.audit import AuditAction
from mission_control_desktop.domain.errors import Forbidden
from mission_control_desktop.domain.people import ActorKind, Principal, Role


class Operation(StrEnum):
    """Everything that can be asked of the control plane by someone who is known to it."""

    CONTRACT = "contract"
    ME = "me"
    WORKSPACE = "workspace"
    WORKSPACE_CHANGE = "workspace-change"
    HEALTH_DETAIL = "health-detail"
    SESSIONS = "sessions"
    SESSION = "session"
    TREE = "tree"
    MESSAGES = "messages"
    STREAM = "stream"
    EVENTS = "events"
    RECEIPTS = "receipts"
    PROCESSES = "processes"
    APPROVALS = "approvals"
    AUDIT = "audit"
    AUDIT_VERIFY = "audit-verify"
    PROFILES = "profiles"
    PROVIDERS = "providers"
    PROVIDER_ADD = "provider-add"
    PROVIDER_UPDATE = "provider-update"
    PROVIDER_REMOVE = "provider-remove"
    PROVIDER_CHECK = "provider-check"
    KILL_STATE = "kill-state"
    SPAWN = "spawn"
    INJECT = "inject"
    WITHDRAW = "withdraw"
    EDIT_MESSAGE = "edit-message"
    MOVE_MESSAGE = "move-message"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    HOLD_COMMANDS = "hold-commands"
    RELEASE_COMMANDS = "release-commands"
    TERMINATE = "terminate"
    KILL = "kill"
    KILL_ALL = "kill-all"
    KILL_ALL_UNDO = "kill-all-undo"
    KILL_ALL_CLOSE = "kill-all-close"
    ANSWER = "answer"
    PROFILE_PUT = "profile-put"
    PROFILE_DELETE = "profile-delete"
    MEMBERS = "members"
    MEMBER_PUT = "member-put"
    MEMBER_REMOVE = "member-remove"
    TOKENS = "tokens"
    TOKEN_CREATE = "token-create"  # noqa: S105 - a verb, not a secret
    TOKEN_REVOKE = "token-revoke"  # noqa: S105 - a verb, not a secret
    KEYS = "keys"
    KEYS_ROTATE = "keys-rotate"


class Reach(Enum):
    """Where the target of an operation lies, seen from an agent that asks."""

    NO_TARGET = "no target"
    SELF = "self"
    BELOW = "below"
    OUTSIDE = "outside"


@dataclass(frozen=True, slots=True)
class Rule:
    """`role` is the lowest role that may; `agents` is how far an agent may reach with it, empty for not at all.

    `action` is the audit action of an attempt: of every attempt where `intervention`, else only of refused ones.
    """

    role: Role
    action: AuditAction = AuditAction.READ
    agents: frozenset[Reach] = frozenset()

    @property
    def intervention(self) -> bool:
        return self.action is not AuditAction.READ


_READS_OWN = frozenset({Reach.SELF, Reach.BELOW})
_ANY_OWN = frozenset({Reach.NO_TARGET, Reach.SELF, Reach.BELOW})
_BELOW = frozenset({Reach.BELOW})

RULES: dict[Operation, Rule] = {
    Operation.CONTRACT: Rule(Role.OBSERVER, agents=_ANY_OWN),
    Operation.ME: Rule(Role.OBSERVER, agents=_ANY_OWN),
    Operation.HEALTH_DETAIL: Rule(Role.OBSERVER),
    Operation.SESSIONS: Rule(Role.OBSERVER, agents=_ANY_OWN),
    Operation.SESSION: Rule(Role.OBSERVER, agents=_READS_OWN),
    Operation.TREE: Rule(Role.OBSERVER, agents=_ANY_OWN),
    Operation.MESSAGES: Rule(Role.OBSERVER, agents=_READS_OWN),
    # Agents ask instead: their tokens end with their sessions, and an open stream would outlive them.
    Operation.STREAM: Rule(Role.OBSERVER),
    Operation.EVENTS: Rule(Role.OBSERVER),
    Operation.RECEIPTS: Rule(Role.OBSERVER, agents=_READS_OWN),
    Operation.PROCESSES: Rule(Role.OBSERVER),
    Operation.APPROVALS: Rule(Role.OBSERVER),
    Operation.AUDIT: Rule(Role.OBSERVER),
    Operation.AUDIT_VERIFY: Rule(Role.OBSERVER),
    Operation.PROFILES: Rule(Role.OBSERVER, agents=_ANY_OWN),
    Operation.PROVIDERS: Rule(Role.OBSERVER),
    Operation.PROVIDER_ADD: Rule(Role.ADMIN, AuditAction.PROVIDER_CHANGE),
    Operation.PROVIDER_UPDATE: Rule(Role.ADMIN, AuditAction.PROVIDER_CHANGE),
    Operation.PROVIDER_REMOVE: Rule(Role.ADMIN, AuditAction.PROVIDER_REMOVE),
    Operation.PROVIDER_CHECK: Rule(Role.ADMIN, AuditAction.PROVIDER_CHECK),
    Operation.KILL_STATE: Rule(Role.OBSERVER),
    # An agent's sub-agent starts below the agent itself or below one of its own.
    Operation.SPAWN: Rule(Role.OPERATOR, AuditAction.SPAWN, agents=_READS_OWN),
    Operation.INJECT: Rule(Role.OPERATOR, AuditAction.INJECT, agents=_BELOW),
    Operation.WITHDRAW: Rule(Role.OPERATOR, AuditAction.WITHDRAW),
    Operation.EDIT_MESSAGE: Rule(Role.OPERATOR, AuditAction.EDIT_MESSAGE),
    Operation.MOVE_MESSAGE: Rule(Role.OPERATOR, AuditAction.MOVE_MESSAGE),
    Operation.PAUSE: Rule(Role.OPERATOR, AuditAction.PAUSE),
    Operation.RESUME: Rule(Role.OPERATOR, AuditAction.RESUME),
    Operation.CANCEL: Rule(Role.OPERATOR, AuditAction.CANCEL),
    Operation.HOLD_COMMANDS: Rule(Role.OPERATOR, AuditAction.HOLD_COMMANDS),
    Operation.RELEASE_COMMANDS: Rule(Role.OPERATOR, AuditAction.RELEASE_COMMANDS),
    Operation.TERMINATE: Rule(Role.OPERATOR, AuditAction.TERMINATE, agents=_BELOW),
    Operation.KILL: Rule(Role.OPERATOR, AuditAction.KILL),
    Operation.KILL_ALL: Rule(Role.OPERATOR, AuditAction.KILL_ALL),
    Operation.KILL_ALL_UNDO: Rule(Role.OPERATOR, AuditAction.KILL_ALL_UNDO),
    Operation.KILL_ALL_CLOSE: Rule(Role.OPERATOR, AuditAction.KILL_ALL_CLOSE),
    Operation.ANSWER: Rule(Role.OPERATOR, AuditAction.APPROVE),
    Operation.PROFILE_PUT: Rule(Role.ADMIN, AuditAction.PROFILE_CHANGE),
    Operation.PROFILE_DELETE: Rule(Role.ADMIN, AuditAction.PROFILE_REMOVE),
    Operation.WORKSPACE: Rule(Role.OBSERVER),
    Operation.WORKSPACE_CHANGE: Rule(Role.ADMIN, AuditAction.WORKSPACE_CHANGE),
    Operation.MEMBERS: Rule(Role.ADMIN),
    Operation.MEMBER_PUT: Rule(Role.ADMIN, AuditAction.MEMBER_CHANGE),
    Operation.MEMBER_REMOVE: Rule(Role.ADMIN, AuditAction.MEMBER_REMOVE),
    Operation.TOKENS: Rule(Role.ADMIN),
    Operation.TOKEN_CREATE: Rule(Role.ADMIN, AuditAction.TOKEN_CREATE),
    Operation.TOKEN_REVOKE: Rule(Role.ADMIN, AuditAction.TOKEN_REVOKE),
    Operation.KEYS: Rule(Role.ADMIN),
    Operation.KEYS_ROTATE: Rule(Role.ADMIN, AuditAction.KEYS_ROTATE),
}

if missing := set(Operation) - set(RULES):
    raise RuntimeError(f"operations without a rule: {sorted(missing)}")


def check_role(who: Principal, operation: Operation) -> None:
    """Refuse what the caller may not do whatever the target. Raises Forbidden."""
    rule = RULES[operation]
    if who.actor_kind is ActorKind.AGENT:
        if not rule.agents:
            raise Forbidden(f"Agents may not do this ({operation.value}).", operation=operation.value)
        return
    if who.role.rank < rule.role.rank:
        raise Forbidden(
            f"This needs the role {rule.role.value}; you are {who.role.value}.",
            operation=operation.value,
            needs=rule.role.value,
        )


def check(who: Principal, operation: Operation, reach: Reach) -> None:
    """Decide about one operation on one target. `reach` counts for agents only. Raises Forbidden."""
    check_role(who, operation)
    if who.actor_kind is ActorKind.AGENT and reach not in RULES[operation].agents:
        raise Forbidden("An agent can act only on agents that it started.", operation=operation.value)
