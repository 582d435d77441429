"""What a control plane says of itself: how its record does, and what else is wrong, each by its own name."""

from __future__ import annotations

from typing import Any

from mission_control_desktop.domain.mission_control import Health
from mission_control_desktop.ui.health_words import degraded, record_words

WELL: dict[str, Any] = {
    "providers": {"internal": {"state": "ok", "detail": None}},
    "record": {"state": "ok", "detail": None},
    "audit": {"waitingRows": 0},
    "secrets": {"keyId": "k", "unopenable": []},
    "limits": {"state": "ok", "detail": None},
}


def health(status: str = "degraded", **detail: Any) -> Health:
    return Health(status=status, version="1", detail={**WELL, **detail})


def test_a_provider_that_is_away_is_not_a_broken_record() -> None:
    away = health(providers={"lab": {"state": "unreachable", "detail": "gone"}})
    assert record_words(away) == "record: ok"
    assert degraded(away) is None
    assert degraded(health("ok")) is None


def test_what_is_wrong_is_named() -> None:
    full = health(record={"state": "degraded", "detail": "the disk is full"})
    assert record_words(full) == "record degraded: the disk is full"
    assert degraded(full) == "record degraded: the disk is full"
    assert "3 audit rows" in str(degraded(health(audit={"waitingRows": 3})))
    assert "no master key" in str(degraded(health(secrets={"keyId": None})))
    assert "cannot be opened" in str(degraded(health(secrets={"keyId": "k", "unopenable": ["x"]})))
    assert degraded(health(limits={"state": "degraded", "detail": "Valkey is away"})) == "Valkey is away"


def test_without_details_it_is_still_said() -> None:
    bare = Health(status="degraded", version="1")
    assert degraded(bare) == "see the log of the control plane"
    assert record_words(bare) == "record: ok"
