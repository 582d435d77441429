"""The demo mission on the side of the control plane; the words stand in `domain.demo`, where clients know them too."""

from __future__ import annotations

from mission_control_desktop.domain.demo import DEMO_MISSION

__all__ = ["DEMO_MISSION"]
