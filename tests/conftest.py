"""No test, and no program that a test starts, touches the keyring of whoever runs it."""

from __future__ import annotations

import os

os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
for name in ("MISSION_CONTROL_MASTER_KEY", "MISSION_CONTROL_MASTER_KEY_PREVIOUS"):
    os.environ.pop(name, None)
