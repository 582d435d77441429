"""`python -m mission_control_desktop` is `mission-control`."""

from mission_control_desktop.programs import control

raise SystemExit(control())
