"""The checks, in the order in which they run: what everything rests on first."""

from mission_control_desktop.providers.conformance.checks import (
    asking,
    finding,
    messages,
    pausing,
    secrets,
    sessions,
    steering,
    stopping,
    trouble,
)
from mission_control_desktop.providers.conformance.verdict import Check

CHECKS: tuple[Check, ...] = (
    *finding.PART.checks,
    *sessions.PART.checks,
    *messages.PART.checks,
    *steering.PART.checks,
    *pausing.PART.checks,
    *asking.PART.checks,
    *stopping.PART.checks,
    *trouble.PART.checks,
    *secrets.PART.checks,
)
