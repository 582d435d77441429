"""The OpenClaw adapter keeps the provider contract: a scripted gateway on a real socket."""

from mission_control_desktop.providers.conformance.pytest import ConformanceTests
from support.gateway_peer import GatewayPeer


class TestOpenClaw(ConformanceTests):
    kind = "openclaw"
    peer = GatewayPeer
