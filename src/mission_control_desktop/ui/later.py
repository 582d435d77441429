"""What the window imports and makes while it idles, after it is usable: the first press must not wait for it either,
and Kill All must open where the disk answers no more."""

from __future__ import annotations

import asyncio
import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mission_control_desktop.ui.application import Desktop

_UI = "mission_control_desktop.ui."
MODULES = (
    "dialogs.kill_scopes", "dialogs.kill_all", "dialogs.kill_flow", "dialogs.stop_by_file", "dialogs.reason",
    "audit.model", "audit.filters", "audit.drawer", "audit.presenter",
    "palette.entries", "palette.palette", "attention.pane", "dialogs.keys", "desk.dialogs", "panel.panel",
    "several.targets", "several.broadcast", "several.flow", "launch.profile_form", "launch.spawn_dialog",
    "settings.connections", "settings.keys", "settings.provider_form", "settings.providers",
    "settings.providers_presenter", "settings.retention", "settings.flow", "approvals.dialog",
)  # fmt: skip
"""One at a time, so that none holds up an event for long: what is urgent first."""
PAUSE = 0.02
"""Seconds between two, for events."""


async def prepare(desktop: Desktop) -> None:
    """Import the rest, and keep the audit log's rows as they come. Ends by itself."""
    for name in MODULES:
        await asyncio.sleep(PAUSE)
        importlib.import_module(_UI + name)
        if name == "audit.presenter":
            await asyncio.sleep(PAUSE)
            _ = desktop.audit
