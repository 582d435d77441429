"""The demo mission: three orchestrating agents. Each is a real child process of the profile `demo`."""

from __future__ import annotations

from mission_control_desktop.domain.profiles import DEMO_PROFILE, SpawnRequest

MISSION_ID = "demo"

_ORCHESTRATORS = (
    ("Release 2.4", "Prepare release 2.4: changelog, version bump, packages. Split the work among sub-agents."),
    ("Search is slow", "Find out why search got slow last week, fix it, and prove it with a benchmark."),
    ("Audit dependencies", "Review all dependencies for licences and known problems; propose updates."),
)


def demo_requests() -> tuple[SpawnRequest, ...]:
    """What to start, in order."""
    return tuple(
        SpawnRequest(
            profile=DEMO_PROFILE,
            title=title,
            prompt=prompt,
            mission_id=MISSION_ID,
            task_id=f"demo-{number}",
            agent_type="orchestrator",
        )
        for number, (title, prompt) in enumerate(_ORCHESTRATORS, 1)
    )
