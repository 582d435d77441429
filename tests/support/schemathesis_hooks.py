"""Loaded by schemathesis itself (`SCHEMATHESIS_HOOKS`): values that only this server can have given.

MISSION_CONTROL_TEST_CURSORS is a JSON list of cursors; the launch profile `double` must exist.
"""

from __future__ import annotations

import json
import os
from typing import Any

import schemathesis
from hypothesis import strategies

schemathesis.openapi.format("cursor", strategies.sampled_from(json.loads(os.environ["MISSION_CONTROL_TEST_CURSORS"])))


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Let a valid start of a session start one, with what the agent takes from a person as it was generated."""
    if isinstance(body, dict) and isinstance(body.get("profile"), str):
        return {key: value for key, value in body.items() if key not in ("cwd", "parentAgentId", "provider")} | {
            "profile": "double"
        }
    return body
