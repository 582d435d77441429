"""What requests carry. Unknown fields are refused by name: a misspelt `expectedRunId` must not mean "any run"."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from mission_control_desktop.control.tokens import MAX_LIFE
from mission_control_desktop.domain.addresses import MAX_URL_CHARS
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.credentials import MAX_FIELD_NAME_CHARS, MAX_FIELDS, MAX_VALUE_CHARS
from mission_control_desktop.domain.events import EVENT_ID_PATTERN
from mission_control_desktop.domain.kill import CONFIRM_WORDS, MAX_UNDO_SECONDS, MAX_WATCH_SECONDS, WATCH_SECONDS
from mission_control_desktop.domain.limits import (
    MAX_COMMAND_PARTS,
    MAX_CURSOR_CHARS,
    MAX_ENVIRONMENT,
    MAX_EVENT_ID_CHARS,
    MAX_INJECT_CHARS,
    MAX_NAME_CHARS,
    MAX_PATH_CHARS,
    MAX_POSITION,
    MAX_REASON_CHARS,
    MAX_SEARCH_CHARS,
    MAX_SEQ,
    PAGE_DEFAULT,
    PAGE_MAX,
    REPLAY_MAX,
    RETENTION_DAYS_MAX,
)
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.profiles import NAME_PATTERN
from mission_control_desktop.domain.sessions import INTERNAL_PROVIDER, Delivery, SessionStatus, TaskSource


def _told(**more: str | int) -> dict[str, str | int]:
    """What the contract says of a value beyond what is checked while it is decoded: the rest is checked where the words
    for it are better than a pattern's."""
    return more


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Text = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]
FilePath = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PATH_CHARS)]
Content = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_INJECT_CHARS)]
Reason = Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARS)]
RequiredReason = Annotated[
    str, msgspec.Meta(min_length=1, max_length=MAX_REASON_CHARS, extra_json_schema=_told(pattern=r"\S"))
]
ProviderName = Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=PAGE_MAX)]
Seq = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQ)]
Time = Annotated[str, msgspec.Meta(extra_json_schema=_told(format="date-time"))]
NewId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
Cursor = Annotated[
    str, msgspec.Meta(min_length=1, max_length=MAX_CURSOR_CHARS, extra_json_schema=_told(format="cursor"))
]
EventId = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=MAX_EVENT_ID_CHARS, extra_json_schema=_told(pattern=EVENT_ID_PATTERN)),
]


class Input(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of everything that a request carries."""


# --- queries


class NoQuery(Input, frozen=True, kw_only=True):
    pass


class SessionsQuery(Input, frozen=True, kw_only=True):
    provider: ProviderName | None = None
    status: SessionStatus | None = None
    q: Annotated[str, msgspec.Meta(max_length=MAX_SEARCH_CHARS)] | None = None
    limit: Limit = PAGE_DEFAULT
    cursor: Cursor | None = None


class AgentsQuery(Input, frozen=True, kw_only=True):
    status: SessionStatus | None = None
    q: Annotated[str, msgspec.Meta(max_length=MAX_SEARCH_CHARS)] | None = None
    limit: Limit = PAGE_DEFAULT
    cursor: Cursor | None = None


class MessagesQuery(Input, frozen=True, kw_only=True):
    limit: Limit = PAGE_DEFAULT
    before: Seq | None = None
    after: Seq | None = None


class StreamQuery(Input, frozen=True, kw_only=True):
    replay: Annotated[int, msgspec.Meta(ge=0, le=REPLAY_MAX)] | None = None
    last_event_id: EventId | None = None


class VerifyQuery(Input, frozen=True, kw_only=True):
    head: Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}:[0-9a-f]{64}$")] | None = None
    """A row's number and hash, as an export printed them: the log must still hold it."""


class EventsQuery(Input, frozen=True, kw_only=True):
    last_event_id: EventId | None = None


class ApprovalsQuery(Input, frozen=True, kw_only=True):
    state: ApprovalState | None = None
    limit: Limit = PAGE_MAX
    cursor: Cursor | None = None
    order: Annotated[str, msgspec.Meta(pattern="^(newest|oldest)$")] = "oldest"
    """What comes first."""


class AuditQuery(Input, frozen=True, kw_only=True):
    user: Text | None = None
    session: Annotated[str, msgspec.Meta(max_length=MAX_SEARCH_CHARS)] | None = None
    provider: ProviderName | None = None
    action: Text | None = None
    outcome: Text | None = None
    from_: Time | None = msgspec.field(default=None, name="from")
    to: Time | None = None
    limit: Limit = PAGE_DEFAULT
    cursor: Cursor | None = None
    order: Annotated[str, msgspec.Meta(pattern="^(newest|oldest)$")] = "newest"
    """What comes first."""


# --- bodies


class NoBody(Input, frozen=True, kw_only=True):
    pass


class AgentSpawnBody(Input, frozen=True, kw_only=True):
    profile: Name
    prompt: Content | None = None
    cwd: FilePath | None = None
    parent_agent_id: Name | None = None
    mission_id: Name | None = None
    task_id: Name | None = None
    task_source: TaskSource | None = None
    agent_type: Text | None = None
    title: Text | None = None
    end_when_idle: bool = False
    session_id: NewId | None = None
    """The id that the session shall have, so that the same request again is the same session."""


class SpawnBody(AgentSpawnBody, frozen=True, kw_only=True):
    provider: ProviderName = INTERNAL_PROVIDER


class InjectBody(Input, frozen=True, kw_only=True):
    content: Content
    delivery: Delivery | None = None
    pause_before_send: bool = False
    expected_run_id: Name | None = None


class AgentInjectBody(InjectBody, frozen=True, kw_only=True):
    injection_id: NewId | None = None
    """The id that the message's receipt shall have, so that the same request again is the same message."""


class ActBody(Input, frozen=True, kw_only=True):
    expected_run_id: Name | None = None
    reason: Reason | None = None


class PauseBody(ActBody, frozen=True, kw_only=True):
    level: Annotated[str, msgspec.Meta(pattern="^(hold|freeze)$")] | None = None


class KillBody(Input, frozen=True, kw_only=True):
    reason: RequiredReason
    expected_run_id: Name | None = None


class KillAllBody(Input, frozen=True, kw_only=True):
    scope: Name
    confirm: Annotated[str, msgspec.Meta(max_length=100, extra_json_schema=_told(const=CONFIRM_WORDS))]
    reason: RequiredReason
    undo_seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_UNDO_SECONDS)] = 0
    watch_seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_WATCH_SECONDS)] = WATCH_SECONDS


class AgentsKillAllBody(Input, frozen=True, kw_only=True):
    reason: RequiredReason


class WithdrawBody(Input, frozen=True, kw_only=True):
    expected_run_id: Name | None = None


class EditMessageBody(Input, frozen=True, kw_only=True):
    content: Content
    was: Content
    """The words that it had for who wrote the new ones."""
    expected_run_id: Name | None = None


class MoveMessageBody(Input, frozen=True, kw_only=True):
    position: Annotated[int, msgspec.Meta(ge=1, le=MAX_POSITION)]
    """From 1, as in receipts."""
    expected_run_id: Name | None = None


class AnswerBody(Input, frozen=True, kw_only=True):
    option_id: Name
    expected_run_id: Name | None = None


class ProfileBody(Input, frozen=True, kw_only=True):
    command: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=MAX_PATH_CHARS)], ...],
        msgspec.Meta(min_length=1, max_length=MAX_COMMAND_PARTS),
    ]
    runtime: Name = "acp"
    cwd: FilePath | None = None
    env: Annotated[dict[str, str], msgspec.Meta(max_length=MAX_ENVIRONMENT)] = msgspec.field(default_factory=dict)
    mode: Text | None = None
    title: Text | None = None

    def __repr__(self) -> str:
        return f"ProfileBody(command={self.command!r}, env={sorted(self.env)!r})"


class WorkspaceBody(Input, frozen=True, kw_only=True):
    message_retention_days: Annotated[int, msgspec.Meta(ge=1, le=RETENTION_DAYS_MAX)] | None
    """None: the default period."""


class MemberBody(Input, frozen=True, kw_only=True):
    role: Role


CredentialValues = Annotated[
    dict[
        Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_-]*$", max_length=MAX_FIELD_NAME_CHARS)],
        Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_VALUE_CHARS)],
    ],
    msgspec.Meta(min_length=1, max_length=MAX_FIELDS),
]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_VALUE_CHARS)]
GatewayUrl = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_URL_CHARS)]


class ProviderBody(Input, frozen=True, kw_only=True):
    name: ProviderName
    provider: Name
    gateway_url: GatewayUrl
    credentials: Token | CredentialValues | None = None
    """Write-only: one token, or the strings that the kind of provider takes by their names."""
    is_active: bool = True
    allow_insecure: bool = False
    """Accept that what is said to another computer is not encrypted."""

    def __repr__(self) -> str:
        return f"ProviderBody(name={self.name!r})"


class ProviderChangeBody(Input, frozen=True, kw_only=True):
    name: ProviderName | UnsetType = UNSET
    provider: Name | UnsetType = UNSET
    gateway_url: GatewayUrl | UnsetType = UNSET
    credentials: Token | CredentialValues | UnsetType | None = UNSET
    """Write-only; null removes them."""
    is_active: bool | UnsetType = UNSET
    allow_insecure: bool | UnsetType = UNSET

    def __repr__(self) -> str:
        return "ProviderChangeBody()"


class TokenBody(Input, frozen=True, kw_only=True):
    user: Name
    role: Role
    workspace: ProviderName | None = None
    expires_in: (
        Annotated[str, msgspec.Meta(extra_json_schema=_told(pattern=r"^[1-9][0-9]{0,2} ?[smhdw]?$"))]
        | Annotated[int, msgspec.Meta(extra_json_schema=_told(minimum=1, maximum=int(MAX_LIFE.total_seconds())))]
        | None
    ) = None
    """Like `30d`, `12h`, `90m`, or seconds. Without it the token does not expire."""
