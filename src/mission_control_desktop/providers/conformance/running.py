"""Running the checks, one after the other, and telling how it went."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Iterable, Sequence

from mission_control_desktop.domain.errors import MissionControlError
from mission_control_desktop.providers.conformance.bench import Bench
from mission_control_desktop.providers.conformance.checks import CHECKS
from mission_control_desktop.providers.conformance.peer import BuiltIn, Cannot, Peer
from mission_control_desktop.providers.conformance.verdict import Broken, Check, Outcome, Skipped, Verdict

LIMIT = 12
"""A check takes at most so many times the peer's patience."""
_TOLD = 160


async def run_check(bench: Bench, check: Check) -> Outcome:
    """The outcome of one check. After a broken one, the next begins with a new record and a new provider."""
    began = time.monotonic()
    verdict, detail = Verdict.KEPT, ""
    try:
        async with bench.hearing_logs(), asyncio.timeout(LIMIT * bench.patience):
            await bench.prepare()
            await check.run(bench)
    except (Skipped, Cannot) as skipped:
        verdict, detail = Verdict.SKIPPED, str(skipped)
    except Broken as broken:
        verdict, detail = Verdict.BROKEN, str(broken)
    except MissionControlError as error:
        verdict, detail = Verdict.BROKEN, f"{type(error).__name__}: {error.message}"
    except TimeoutError:
        verdict, detail = Verdict.BROKEN, f"it did not come to an end within {LIMIT * bench.patience:g} s"
    except Exception:  # noqa: BLE001 - told, with where it comes from: the adapter's own calls are caught before
        verdict, detail = Verdict.BROKEN, f"the check could not be made: {traceback.format_exc(limit=-3)}"
    await bench.tidy()
    faults = bench.faults()
    if faults and verdict is not Verdict.BROKEN:
        verdict, detail = Verdict.BROKEN, "; ".join(faults[:3])
    if verdict is Verdict.BROKEN:
        await bench.scrap()
    return Outcome(check=check, verdict=verdict, detail=detail, seconds=time.monotonic() - began)


async def run_checks(
    kind: str | BuiltIn,
    peer: Peer,
    *,
    only: Iterable[str] | None = None,
    told: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """Run all checks, or those of these names, against an adapter; `told` hears of each outcome at once.

    `kind` is the name of the entry point. Raises ValueError for a name that no check has, and whatever the peer raises
    when it cannot be started.
    """
    chosen = chosen_checks(only)
    bench = Bench(kind, peer)
    outcomes: list[Outcome] = []
    try:
        await bench.start()
        for check in chosen:
            outcomes.append(await run_check(bench, check))
            told(outcomes[-1])
    finally:
        await bench.close()
    return outcomes


def chosen_checks(only: Iterable[str] | None) -> tuple[Check, ...]:
    """All, or those of these names. Raises ValueError for a name that none has."""
    if only is None:
        return CHECKS
    names = set(only)
    unknown = names - {one.name for one in CHECKS}
    if unknown:
        raise ValueError(f"there is no check {', '.join(sorted(unknown))}")
    return tuple(one for one in CHECKS if one.name in names)


def table(outcomes: Sequence[Outcome], *, title: str) -> str:
    """What was checked, what was skipped and why, and what is broken, as lines of text."""
    width = max((len(one.check.name) for one in outcomes), default=0)
    lines = [title]
    part = ""
    for one in outcomes:
        if one.check.part != part:
            part = one.check.part
            lines.append(f"  {part}")
        detail = " ".join(one.detail.split())
        if one.verdict is Verdict.SKIPPED and len(detail) > _TOLD:
            detail = detail[: _TOLD - 1] + "…"
        lines.append(f"    {one.verdict.value:<8} {one.check.name:<{width}}  {detail}".rstrip())
    count = {verdict: sum(one.verdict is verdict for one in outcomes) for verdict in Verdict}
    lines.append(
        f"  {count[Verdict.KEPT]} kept, {count[Verdict.BROKEN]} broken, {count[Verdict.SKIPPED]} skipped, "
        f"{sum(one.seconds for one in outcomes):.1f} s"
    )
    return "\n".join(lines)


def all_kept(outcomes: Iterable[Outcome]) -> bool:
    """Whether nothing is broken, and something was checked at all."""
    verdicts = [one.verdict for one in outcomes]
    return Verdict.BROKEN not in verdicts and Verdict.KEPT in verdicts
