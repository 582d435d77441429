"""Another Mission Control over HTTP keeps the provider contract: a process of its own, behind a proxy that is cut."""

from mission_control_desktop.providers.conformance.pytest import ConformanceTests
from support.peers import FarPeer


class TestOrchestrator(ConformanceTests):
    kind = "orchestrator"
    peer = FarPeer
