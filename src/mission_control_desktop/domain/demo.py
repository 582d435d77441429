"""The demo mission: three orchestrating agents of the profile `demo`, each a real child process with sub-agents."""

from __future__ import annotations

from mission_control_desktop.domain.profiles import DEMO_PROFILE, SpawnRequest

DEMO_MISSION_ID = "demo"

_ORCHESTRATORS = (
    ("Demo: release notes", "Prepare the release notes of 2.4.0. Split the work among sub-agents and put it together."),
    ("Demo: flaky test hunt", "Hunt the flaky test of the work queue: find out why it fails, mend it, and prove it."),
    ("Demo: dependency audit", "Audit our dependencies: licences, known problems, updates. Say what to do first."),
)

DEMO_MISSION: tuple[SpawnRequest, ...] = tuple(
    SpawnRequest(
        profile=DEMO_PROFILE,
        title=title,
        prompt=prompt,
        mission_id=DEMO_MISSION_ID,
        task_id=f"demo-{number}",
        agent_type="demo",
    )
    for number, (title, prompt) in enumerate(_ORCHESTRATORS, 1)
)
"""What to start, in order."""
