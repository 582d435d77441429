"""`python -m mission_control_desktop.desktop` is `mission-control-desktop`."""

from mission_control_desktop.programs import desktop

raise SystemExit(desktop())
