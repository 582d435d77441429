"""The parts of one session's state, for those that work on several of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from mission_control_desktop.orchestrator.core.approvals import Approvals
from mission_control_desktop.orchestrator.core.inject import InjectQueue
from mission_control_desktop.orchestrator.core.lifecycle import Cell
from mission_control_desktop.orchestrator.core.pausing import Pausing
from mission_control_desktop.orchestrator.core.reported import SubAgents
from mission_control_desktop.orchestrator.core.runtime import Runtime
from mission_control_desktop.orchestrator.core.spec import SessionSpec
from mission_control_desktop.orchestrator.core.turns import Turns


@dataclass(slots=True)
class Parts:
    spec: SessionSpec
    root: Cell
    runtime: Runtime
    queue: InjectQueue
    approvals: Approvals
    turns: Turns
    pausing: Pausing
    children: SubAgents
    spawned_alive: dict[str, int] = field(default_factory=dict)
    """By native id of the parent: sub-agents at work that were started through Mission Control, in own processes."""

    @property
    def opened(self) -> bool:
        """The agent is ready for prompts."""
        return self.runtime.stage == "ready"

    @property
    def children_alive(self) -> int:
        return self.children.alive + sum(self.spawned_alive.values())

    def cell(self, native: str | None) -> Cell | None:
        if native is None or native == self.root.native:
            return self.root
        return self.children.cell(native)
