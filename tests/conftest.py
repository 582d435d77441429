"""No test, and no program that a test starts, touches the keyring of whoever runs it; none logs as another told to."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
for name in ("MISSION_CONTROL_MASTER_KEY", "MISSION_CONTROL_MASTER_KEY_PREVIOUS"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    """What a test's program sets up for its logs ends with the test."""
    yield
    structlog.reset_defaults()
