"""One real gateway for all tests of a worker: it takes longer to start than most tests do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from live.desks import Desk, at
from live.gateway import RealGateway
from live.model import ScriptedModel


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealGateway]:
    model = ScriptedModel().start()
    gateway = RealGateway(tmp_path_factory.mktemp("gateway"), model.url)
    try:
        gateway.start()
        asyncio.run(gateway.pair())
        asyncio.run(gateway.first_turn())
        yield gateway
    finally:
        gateway.kill()
        model.stop()


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[[str, object], None]:
    """Keep a measurement with the test's result; with `-s` it is shown."""

    def kept(name: str, value: object) -> None:
        record_property(name, value)
        sys.stderr.write(f"{name}: {value}\n")

    return kept


@pytest.fixture
async def desk(gateway: RealGateway, tmp_path: Path) -> AsyncIterator[Desk]:
    async with at(gateway, tmp_path) as desk:
        yield desk
