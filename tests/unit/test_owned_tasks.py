"""Tasks with an owner: none is left behind when it closes."""

from __future__ import annotations

import asyncio

import pytest

from mission_control_desktop.domain.tasks import Tasks


async def test_a_task_that_another_one_began_at_its_end_is_waited_for_too() -> None:
    tasks = Tasks(lambda name, error: pytest.fail(f"{name}: {error}"))
    ended: list[str] = []

    async def last() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.append("last")

    async def first() -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            ended.append("first")
            tasks.start(last(), name="last")
            await asyncio.sleep(0)

    tasks.start(first(), name="first")
    await asyncio.sleep(0)
    await tasks.close()
    assert ended == ["first", "last"]
    assert asyncio.all_tasks() == {asyncio.current_task()}
