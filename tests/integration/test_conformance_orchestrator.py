"""Another Mission Control over HTTP keeps the provider contract: real sockets, a proxy that is cut."""

from mission_control_desktop.providers.conformance.pytest import ConformanceTests
from support.peers import FarPeer


class TestOrchestrator(ConformanceTests):
    kind = "orchestrator"
    peer = FarPeer
