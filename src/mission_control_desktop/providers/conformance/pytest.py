"""The checks as tests of pytest, for a package that has its adapter checked with its other tests.

    from mission_control_desktop.providers.conformance.pytest import ConformanceTests

    class TestMyAdapter(ConformanceTests):
        kind = "my-kind"
        peer = MyPeer

Each check is a test of its own (`-k NAME` chooses); what does not apply is skipped with the reason, and the table of
all is printed at the end of the class.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from mission_control_desktop.providers.conformance.bench import Bench
from mission_control_desktop.providers.conformance.checks import CHECKS
from mission_control_desktop.providers.conformance.peer import BuiltIn, Peer
from mission_control_desktop.providers.conformance.running import run_check, table
from mission_control_desktop.providers.conformance.verdict import Check, Outcome, Verdict


class _Suite:
    """One peer, one bench and one event loop for all tests of a class."""

    def __init__(self, kind: str | BuiltIn, peer: Peer) -> None:
        self.outcomes: list[Outcome] = []
        self._runner = asyncio.Runner()
        self._bench = Bench(kind, peer)

    def start(self) -> None:
        self._runner.run(self._bench.start())

    def run(self, check: Check) -> Outcome:
        outcome = self._runner.run(run_check(self._bench, check))
        self.outcomes.append(outcome)
        return outcome

    def close(self) -> None:
        try:
            self._runner.run(self._bench.close())
        finally:
            self._runner.close()


class ConformanceTests:
    """Subclass it and name the adapter's kind and what makes its peer."""

    kind: ClassVar[str | BuiltIn]
    peer: ClassVar[Callable[[], Peer]]

    @pytest.fixture(scope="class")
    @classmethod
    def conformance(cls, request: pytest.FixtureRequest) -> Iterator[_Suite]:
        suite = _Suite(cls.kind, cls.peer())
        try:
            suite.start()
            yield suite
        finally:
            suite.close()
            reporter = request.config.pluginmanager.get_plugin("terminalreporter")
            if reporter is not None and suite.outcomes:
                reporter.write_line("")
                reporter.write_line(table(suite.outcomes, title=f"conformance of {cls.__name__}"))

    @pytest.mark.parametrize("check", CHECKS, ids=[one.name for one in CHECKS])
    def test_promise(self, conformance: _Suite, check: Check) -> None:
        outcome = conformance.run(check)
        if outcome.verdict is Verdict.SKIPPED:
            pytest.skip(outcome.detail)
        if outcome.verdict is Verdict.BROKEN:
            pytest.fail(f"{check.promise}\n\n{outcome.detail}", pytrace=False)
