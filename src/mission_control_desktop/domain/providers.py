"""Providers as they are listed."""

from __future__ import annotations

from datetime import datetime

from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.events import ProviderHealth


class ProviderView(Record, frozen=True, kw_only=True):
    """One provider, never with its credentials. `provider` is the adapter's kind; the built-in one has no gateway."""

    id: str
    workspace_id: str
    name: str
    provider: str
    gateway_url: str
    is_active: bool
    has_credentials: bool
    created_at: datetime
    updated_at: datetime
    health: ProviderHealth
