"""Tokens: who calls. Only a hash of each is stored; a token is 256 random bits, so a plain hash cannot be undone."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
import structlog

from mission_control_desktop.control.ports import AgentAccess, MemberStore, TokenStore
from mission_control_desktop.domain import limits
from mission_control_desktop.domain.clock import Clock, IdSource
from mission_control_desktop.domain.errors import BadInput, Conflict, NotAuthenticated, NotFound
from mission_control_desktop.domain.people import (
    DEFAULT_WORKSPACE,
    ActorKind,
    Member,
    NewToken,
    Principal,
    Role,
    TokenInfo,
)
from mission_control_desktop.domain.profiles import NAME_PATTERN
from mission_control_desktop.domain.tasks import Tasks

log = structlog.get_logger(__name__)

PREFIX = "mc_"
AGENT_PREFIX = "agent:"
MAX_USER_CHARS = 200
USED_STEP = timedelta(seconds=60)
"""`lastUsedAt` is written at most once in this time per token."""
CACHE_SECONDS = 1.0
"""How long a token's validity is believed before the store is asked again (another process may have revoked it)."""
MAX_LIFE = timedelta(days=3650)
_DURATION = re.compile(r"^(\d{1,9})\s*([smhdw]?)$")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def parse_duration(text: str | int | float) -> timedelta:
    """`30d`, `12h`, `90m`, `45s`, `2w`, or seconds as a number. Raises BadInput for `expiresIn`."""
    if isinstance(text, (int, float)):
        seconds = float(text)
    else:
        match = _DURATION.match(text.strip())
        if match is None:
            raise BadInput("expiresIn", "Give a time like 30d, 12h or 90m.")
        seconds = int(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= MAX_LIFE.total_seconds():
        raise BadInput("expiresIn", "A token lives for more than nothing and at most ten years.")
    return timedelta(seconds=seconds)


def user_name(user: str) -> str:
    """A person's name as it stands in the audit log. Raises BadInput for `user`."""
    if not user or user != user.strip():
        raise BadInput("user", "Give the user's name, without blanks around it.")
    if len(user) > MAX_USER_CHARS:
        raise BadInput("user", f"A user's name has at most {MAX_USER_CHARS} characters.")
    if not user.isprintable():
        raise BadInput("user", "A user's name has no control characters, line ends or invisible marks.")
    if user.startswith(AGENT_PREFIX):
        raise BadInput("user", f"Names that begin with {AGENT_PREFIX!r} are those of agents.")
    return user


def workspace_name(workspace: str) -> str:
    """Raises BadInput for `workspace`."""
    if re.fullmatch(NAME_PATTERN, workspace) is None:
        raise BadInput("workspace", f"A workspace's name must match {NAME_PATTERN}: {workspace[:80]!r} does not.")
    return workspace


@dataclass(slots=True)
class _Cached:
    info: TokenInfo
    until: datetime


class Tokens:
    """Creates, checks, lists and revokes tokens, alone and with their members; tells who follows (`on_end`) which
    ones ended or have a lower role than before."""

    def __init__(
        self, store: TokenStore, members: MemberStore, agents: AgentAccess | None, clock: Clock, ids: IdSource
    ) -> None:
        self._store = store
        self._members = members
        self._agents = agents
        self._clock = clock
        self._ids = ids
        self._cache: dict[str, _Cached] = {}
        self._seen: dict[str, _Cached] = {}
        self._used: dict[str, datetime] = {}
        self._tasks = Tasks(lambda name, error: log.error("token task failed", task=name, error=repr(error)))
        self.on_end: list[Callable[[str], None]] = []

    async def close(self) -> None:
        await self._tasks.close()

    async def authenticate(self, token: str | None) -> Principal:
        """Who a token stands for. Raises NotAuthenticated if it is missing, unknown, revoked or expired."""
        if not token:
            raise NotAuthenticated("A token is needed: send `Authorization: Bearer TOKEN`.")
        info = await self._lookup(token_hash(token))
        if info is None:
            native = self._agents.authenticate_agent(token) if self._agents is not None else None
            if native is None:
                raise NotAuthenticated("This token is not known here.")
            return Principal(
                user_id=f"{AGENT_PREFIX}{native}",
                role=Role.OPERATOR,
                actor_kind=ActorKind.AGENT,
                agent_session_id=native,
            )
        self._require_valid(info)
        self._note_use(info)
        return Principal(user_id=info.user_id, role=info.role, workspace_id=info.workspace_id, token_id=info.id)

    async def still_valid(self, who: Principal) -> bool:
        """Whether a caller who authenticated earlier still may, and with the same role: for streams, which live long.
        Raises Unavailable if that cannot be found out; what is known of the token's end counts all the same."""
        if who.token_id is None:
            # An agent's token ends with its session, which is not looked at here: so agents have no streams.
            return who.agent_session_id is None
        now = self._clock.now()
        seen = self._seen.get(who.token_id)
        if seen is not None and (seen.info.revoked_at is not None or self._expired(seen.info)):
            return False  # neither is ever taken back
        if seen is None or now >= seen.until:
            info = await self._store.get(who.token_id)
            if info is None:
                return False
            # Hundreds of streams may hang on one token: they share one look.
            seen = self._seen[who.token_id] = _Cached(info, now + timedelta(seconds=CACHE_SECONDS))
        return seen.info.revoked_at is None and not self._expired(seen.info) and seen.info.role is who.role

    async def by_hash(self, hashed: str) -> TokenInfo | None:
        """What is known of a token, valid or not."""
        return await self._store.by_hash(hashed)

    async def create(
        self,
        *,
        user_id: str,
        role: Role,
        workspace_id: str = DEFAULT_WORKSPACE,
        expires_in: timedelta | None = None,
        created_by: str | None = None,
    ) -> NewToken:
        """A new token; the only moment at which it can be seen. Its user is then a member with at least its role."""
        made, _ = await self.issue(
            self._ids.new(),
            user_id=user_id,
            role=role,
            workspace_id=workspace_id,
            expires_in=expires_in,
            created_by=created_by,
        )
        return made

    async def issue(
        self,
        token_id: str,
        *,
        user_id: str,
        role: Role,
        workspace_id: str,
        expires_in: timedelta | None,
        created_by: str | None,
    ) -> tuple[NewToken, Role | None]:
        """The same under a given id; also the user's role before, None if the token made them a member."""
        now = self._clock.now()
        token = PREFIX + secrets.token_urlsafe(32)
        info = TokenInfo(
            id=token_id,
            user_id=user_id,
            role=role,
            workspace_id=workspace_id,
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in,
            created_by=created_by,
        )
        before = await self._store.add(info, token_hash=token_hash(token))
        return NewToken(**msgspec.structs.asdict(info), token=token), before

    async def require_room(self, workspace_id: str) -> None:
        """Raises Conflict if the workspace has as many tokens that are good as it may have."""
        now = self._clock.now()
        good = [
            one
            for one in await self._store.page(workspace_id)
            if one.revoked_at is None and (one.expires_at is None or one.expires_at > now)
        ]
        if len(good) >= limits.MAX_TOKENS:
            raise Conflict(
                f"A workspace has at most {limits.MAX_TOKENS} tokens; revoke some first.", limit=limits.MAX_TOKENS
            )

    async def list(self, workspace_id: str) -> tuple[TokenInfo, ...]:
        return tuple(await self._store.page(workspace_id))

    async def get(self, workspace_id: str, token_id: str) -> TokenInfo:
        """Raises NotFound."""
        info = await self._store.get(token_id)
        if info is None or info.workspace_id != workspace_id:
            raise NotFound("There is no such token.")
        return info

    async def revoke(self, workspace_id: str, token_id: str) -> TokenInfo:
        """End a token now; the same again changes nothing. Raises NotFound."""
        info = await self.get(workspace_id, token_id)
        if info.revoked_at is None:
            await self._store.revoke(token_id, at=self._clock.now())
            info = await self.get(workspace_id, token_id)
        self._changed([token_id])
        return info

    async def members(self, workspace_id: str) -> tuple[Member, ...]:
        return tuple(await self._members.page(workspace_id, now=self._clock.now()))

    async def set_member(
        self, workspace_id: str, user_id: str, role: Role
    ) -> tuple[Member, Role | None, tuple[str, ...]]:
        """As `MemberStore.put`. The streams of the tokens that were lowered end: who reads them comes again with what
        is left of their rights."""
        member, before, lowered = await self._members.put(workspace_id, user_id, role, at=self._clock.now())
        self._changed(lowered)
        return member, before, lowered

    async def remove_member(self, workspace_id: str, user_id: str) -> tuple[str, ...]:
        """As `MemberStore.remove`."""
        revoked = await self._members.remove(workspace_id, user_id, at=self._clock.now())
        self._changed(revoked)
        return revoked

    def _changed(self, token_ids: Sequence[str]) -> None:
        self._cache.clear()
        self._seen.clear()
        for token_id in token_ids:
            for told in self.on_end:
                told(token_id)

    async def _lookup(self, hashed: str) -> TokenInfo | None:
        now = self._clock.now()
        cached = self._cache.get(hashed)
        if cached is not None and now < cached.until:
            return cached.info
        info = await self._store.by_hash(hashed)
        if info is None:
            self._cache.pop(hashed, None)
        else:
            self._cache[hashed] = _Cached(info, now + timedelta(seconds=CACHE_SECONDS))
        return info

    def _expired(self, info: TokenInfo) -> bool:
        return info.expires_at is not None and self._clock.now() >= info.expires_at

    def _require_valid(self, info: TokenInfo) -> None:
        if info.revoked_at is not None:
            raise NotAuthenticated("This token was revoked.")
        if self._expired(info):
            raise NotAuthenticated("This token has expired.")

    def _note_use(self, info: TokenInfo) -> None:
        now = self._clock.now()
        last = self._used.get(info.id)
        if last is not None and now - last < USED_STEP:
            return
        self._used[info.id] = now
        # Not awaited: whoever stops an agent must not wait for a disk that is full or locked.
        self._tasks.start(self._write_use(info.id, now), name="token use")

    async def _write_use(self, token_id: str, now: datetime) -> None:
        try:
            await self._store.used(token_id, at=now)
        except Exception as error:  # noqa: BLE001 - logged
            log.warning("use of a token could not be noted", error=repr(error))
