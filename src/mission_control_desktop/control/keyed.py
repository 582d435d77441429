"""Idempotency keys of callers in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from mission_control_desktop.control.idempotency import KeyedAnswer
from mission_control_desktop.control.reading import Reader
from mission_control_desktop.domain.errors import BadInput, MissionControlError, by_code

T = TypeVar("T")


class KeyedCaller(Reader):
    """A caller that can send the same request twice."""

    async def _keyed(
        self,
        key: str | None,
        request: tuple[Any, ...],
        kind: type[T],
        act: Callable[[str | None], Awaitable[T]],
        *,
        repeatable: bool,
        insist: bool = False,
    ) -> T:
        """In process, the same rules for keys as over HTTP."""
        if key is None:
            return await act(None)

        async def answered(seed: str | None) -> KeyedAnswer:
            try:
                return KeyedAnswer(200, msgspec.json.encode(await act(seed)))
            except MissionControlError as error:
                body = {"code": error.code, "message": error.message, "details": error.details}
                return KeyedAnswer(error.status, msgspec.json.encode(body))

        answer = await self._plane.idempotency.run(
            self._who, key, msgspec.json.encode(request), answered, repeatable=repeatable, insist=insist
        )
        if answer.status < 400:
            return msgspec.json.decode(answer.body, type=kind)
        raise _error_again(answer.body)


def _error_again(body: bytes) -> MissionControlError:
    told = msgspec.json.decode(body)
    error = MissionControlError.__new__(by_code().get(told["code"], MissionControlError))
    MissionControlError.__init__(error, told["message"], **told["details"])
    if isinstance(error, BadInput):
        error.field = str(told["details"].get("field", ""))
    return error
