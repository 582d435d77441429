"""The built-in orchestrator keeps the provider contract: real keepers and processes, scripted agents."""

from mission_control_desktop.providers.conformance import BuiltIn
from mission_control_desktop.providers.conformance.pytest import ConformanceTests
from support.peers import InternalPeer


class TestInternal(ConformanceTests):
    kind = BuiltIn("internal")
    peer = InternalPeer
