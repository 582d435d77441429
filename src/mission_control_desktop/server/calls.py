"""One request, as a handler sees it: who, which service, and typed input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mission_control_desktop.control.plane import ControlPlane
from mission_control_desktop.control.service import MissionControlService
from mission_control_desktop.domain.people import Principal
from mission_control_desktop.server.bodies import Input

I_ = TypeVar("I_", bound=Input)


@dataclass(frozen=True, slots=True)
class Call:
    """`who` and `service` are there on every route with an operation; `contract` makes the description of the
    whole table; `last_event_id` is the header, on streams; `seed` is the idempotency
    key's."""

    plane: ControlPlane
    who: Principal | None
    bound: MissionControlService | None
    contract: Callable[[], dict[str, Any]]
    path: Mapping[str, str]
    query_: Input
    body_: Input | None
    last_event_id: str | None = None
    idempotency_key: str | None = None
    seed: str | None = None

    @property
    def service(self) -> MissionControlService:
        if self.bound is None:
            raise RuntimeError("a route without an operation has no caller to serve")
        return self.bound

    def query(self, kind: type[I_]) -> I_:
        return _checked(self.query_, kind)

    def body(self, kind: type[I_]) -> I_:
        return _checked(self.body_, kind)


def _checked(value: Input | None, kind: type[I_]) -> I_:
    if not isinstance(value, kind):
        raise TypeError(f"the route table names {type(value).__name__} where the handler wants {kind.__name__}")
    return value
