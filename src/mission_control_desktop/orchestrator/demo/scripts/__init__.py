"""The missions that the demo agent knows: what it says is fixed, what it does is done."""

from mission_control_desktop.orchestrator.demo.scripts.audit import AUDIT
from mission_control_desktop.orchestrator.demo.scripts.flaky import FLAKY
from mission_control_desktop.orchestrator.demo.scripts.release import RELEASE

MISSIONS = (RELEASE, FLAKY, AUDIT)
