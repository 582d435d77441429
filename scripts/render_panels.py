"""Pictures of the panel, light and dark, at several widths: `python -m scripts.render_panels DIRECTORY`."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import asyncio

from PySide6.QtWidgets import QApplication
from qasync import QEventLoop
from scripts.panel_sample import STALE, WAITING, sample_approval, sample_messages, sample_receipts, sample_session

from mission_control_desktop.domain.approvals import Approval
from mission_control_desktop.domain.messages import AgentMessage
from mission_control_desktop.domain.mission_control import Page
from mission_control_desktop.domain.receipts import Receipt
from mission_control_desktop.domain.sessions import AgentSession, Delivery, SessionStatus
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.panel.port import MemoryDrafts


class SamplePort:
    """Answers with the sample."""

    async def inject(
        self,
        session_id: str,
        content: str,
        *,
        delivery: Delivery | None,
        pause_before_send: bool,
        expected_run_id: str | None,
        idempotency_key: str,
    ) -> Receipt:
        return sample_receipts()[1]

    async def withdraw(self, session_id: str, injection_id: str) -> Receipt:
        return sample_receipts()[1]

    async def edit_message(self, session_id: str, injection_id: str, *, content: str, was: str) -> Receipt:
        return sample_receipts()[1]

    async def move_message(self, session_id: str, injection_id: str, *, position: int) -> Receipt:
        return sample_receipts()[1]

    async def pause(self, session_id: str, *, level: str | None, expected_run_id: str | None) -> AgentSession:
        return sample_session()

    async def resume(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return sample_session()

    async def cancel(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return sample_session()

    async def hold_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return sample_session()

    async def release_commands(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return sample_session()

    async def terminate(self, session_id: str, *, expected_run_id: str | None) -> AgentSession:
        return sample_session()

    async def kill(self, session_id: str, *, reason: str, expected_run_id: str | None) -> AgentSession:
        return sample_session()

    async def answer(self, approval_id: str, option_id: str) -> Approval:
        return sample_approval()

    async def messages(
        self, session_id: str, *, limit: int, before: int | None = None, after: int | None = None
    ) -> Page[AgentMessage]:
        return Page(items=())

    async def receipts(self, session_id: str) -> tuple[Receipt, ...]:
        return tuple(sample_receipts())


async def settle(turns: int = 60) -> None:
    for _ in range(turns):
        await asyncio.sleep(0.01)


async def render(folder: Path) -> None:
    for scheme in ("light", "dark"):
        theme.set_scheme("dark" if scheme == "dark" else "light")
        for name, width, height, changes in (
            ("narrow", 400, 900, {}),
            ("approval", 520, 900, WAITING),
            ("wide", 1200, 1000, {}),
            ("stale", 400, 360, STALE),
            ("paused", 460, 360, {"status": SessionStatus.PAUSED, "metadata": {"pauseLevel": "freeze"}}),
            ("killed", 400, 360, {"status": SessionStatus.KILLED, "completed_at": datetime.now(UTC)}),
            ("empty", 400, 360, {}),
        ):
            session = sample_session(**changes)
            panel = OrchestratorPanel(session, SamplePort(), MemoryDrafts())
            if name != "empty":
                panel.load(sample_messages(), has_older=False)
            panel.set_below([sample_session()] * 3)
            panel.resize(width, height)
            panel.show()
            panel.start()
            if changes is WAITING:
                panel.set_approvals([sample_approval()])
            if name == "paused":
                panel.pane.view.select_row(3)
                panel.presenter.failed.emit("pause", "The provider did not answer in time")
            if name == "wide":
                panel.composer.edit.setPlainText("Please keep both keys for a week,\nthen drop the old one.")
                panel.composer.pause_first.setChecked(scheme == "dark")
            await settle()
            panel.grab().save(str(folder / f"panel-{name}-{scheme}.png"))
            panel.hide()
            await panel.close_panel()


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/screens")
    folder.mkdir(parents=True, exist_ok=True)
    app = QApplication(sys.argv[:1])
    loop = QEventLoop(app)
    with loop:
        loop.run_until_complete(render(folder))


if __name__ == "__main__":
    main()
