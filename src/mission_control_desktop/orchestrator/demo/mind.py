"""How the demo agent goes through a mission: steps with a plan, helpers, and what an operator's words change."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from mission_control_desktop.orchestrator.demo.mcp import McpServer, ToolFailed
from mission_control_desktop.orchestrator.demo.voice import NORMAL_PACE, Cancelled, Control, Usage, Voice
from mission_control_desktop.orchestrator.demo.wire import Wire

NOTES = "operator-notes.md"
_THOUGHTS = (
    "{it}: what would have to be true for this to be wrong? I look at the lines, not at what they are called.",
    "I take {it} next. The easy reading is that nothing is wrong here; the easy reading is where mistakes live.",
    "{it} again. Someone will ask why it was done this way, so I want the reason in a sentence, or leave it out.",
    "About {it}: small, but it is the kind of small thing that is found by the first person who uses it.",
    "Before I say anything about {it}, I count. Numbers first, words after.",
    "{it}. I have seen two like it already; if the third looks the same, it is a pattern and belongs into the result.",
    "Is {it} my business at all? It is named in the task, so yes. I keep to what can be checked.",
    "For {it} there are two readings. The file decides which one is right, so I open it instead of guessing.",
    "{it} could wait, but the others build on it. Better now, and better once.",
    "What do I know about {it}, and what do I only believe? The difference is one command.",
)
_AGENT_ID = re.compile(r"\b[0-9a-f]{32}\b")
_MURMUR_SECONDS = 18.0
"""How long the agent waits in silence, at the normal pace."""
_WAIT_SECONDS = 1.5
"""How long one call of wait_for_subagent may take: nothing else is heard meanwhile."""


class SkipStep(Exception):
    """An operator does not want the step that is running."""


class Finish(Exception):
    """An operator wants the mission to come to its end now."""


class Helper:
    """One piece of work that can be given to a sub-agent, or be done by a sub-session of one's own.

    `task` is the sub-agent's whole prompt; its first line names the helper, which is how the sub-agent finds `work`.
    """

    def __init__(self, name: str, title: str, details: str, work: Callable[[Mind], str]) -> None:
        self.name = name
        self.title = title
        self.details = details
        self.work = work

    @property
    def task(self) -> str:
        return f"Demo task: {self.name}.\n\n{self.details}"


class Step:
    def __init__(self, title: str, work: Callable[[Mind], None]) -> None:
        self.title = title
        self.work = work


class Mission:
    """`prepare` puts the input files into the folder if they are not there."""

    def __init__(
        self,
        name: str,
        words: tuple[str, ...],
        prepare: Callable[[Path, Random], None],
        steps: list[Step],
        helpers: list[Helper],
    ) -> None:
        self.name = name
        self.words = words
        self.prepare = prepare
        self.steps = steps
        self.helpers = helpers


class Mind(Voice):
    """A voice that follows a script, delegates, and listens."""

    def __init__(
        self,
        wire: Wire,
        session_id: str,
        folder: Path,
        control: Control,
        rng: Random,
        pace: float,
        usage: Usage,
        *,
        servers: list[McpServer],
        reports_children: bool,
    ) -> None:
        super().__init__(wire, session_id, folder, control, rng, pace, usage)
        self.servers = servers
        self.reports_children = reports_children
        self.mission: Mission | None = None
        self.at = 0
        self.done: list[str] = []
        self.skipped: list[str] = []
        self.notes: list[str] = []
        self.working = False
        """Whether a helper's work is being done here (not a mission of one's own)."""
        self.delegated: set[str] = set()
        self.agents: dict[str, str] = {}
        """Sub-agents by id, with their titles."""
        self.reports: dict[str, str] = {}
        self.children: dict[str, Mind] = {}
        self._threads: list[threading.Thread] = []
        self.on_told = self.react

    # -- missions

    def begin(self, mission: Mission) -> None:
        mission.prepare(self.folder, Random(mission.name))  # noqa: S311 - a script's data, not a secret
        self.mission, self.at = mission, 0
        self.done, self.skipped = [], []
        self.delegated, self.agents, self.reports = set(), {}, {}
        self.go_on()

    def go_on(self) -> None:
        """The mission from where it stands; also after a cancelled turn."""
        mission = self.mission
        if mission is None:
            return
        while self.at < len(mission.steps):
            step = mission.steps[self.at]
            self.show_plan()
            try:
                step.work(self)
            except SkipStep:
                self.skipped.append(step.title)
            except Finish:
                self.skipped += [later.title for later in mission.steps[self.at : -1]]
                self.at = len(mission.steps) - 1
                continue
            else:
                self.done.append(step.title)
            self.at += 1
            self.report_usage()
        self.show_plan()
        self.mission = None

    def show_plan(self) -> None:
        if self.mission is None:
            return
        entries: list[tuple[str, str]] = []
        for index, step in enumerate(self.mission.steps):
            title = f"{step.title} (skipped)" if step.title in self.skipped else step.title
            state = "completed" if index < self.at else "in_progress" if index == self.at else "pending"
            entries.append((title, state))
        entries += [(f"Operator: {note}", "completed") for note in self.notes]
        self.plan(entries)

    @property
    def unfinished(self) -> bool:
        return self.mission is not None

    # -- what an operator says

    def reply(self, text: str) -> None:
        """Say something in full, however short the rest is to be."""
        brief, self.brief = self.brief, False
        try:
            self.say(text)
        finally:
            self.brief = brief

    def react(self, text: str) -> None:
        """Say what was understood, and change course: raises SkipStep or Finish, or changes what comes next."""
        low = text.lower()
        quoted = text.strip().splitlines()[0][:200] if text.strip() else "(nothing)"
        heard = f"**The operator tells me:** “{quoted}”\n\n"
        if _has(low, "status", "progress", "how far", "where are you"):
            self.reply(heard + self.status())
        elif (self.unfinished or self.working) and _has(low, "stop", "abort", "enough", "wrap up", "finish now"):
            self.reply(heard + "I leave out what is still open and write down what there is.")
            raise Finish
        elif self.mission is not None and _has(low, "skip", "leave that", "not that"):
            title = self.mission.steps[self.at].title
            self.reply(heard + f"I leave “{title}” and go on with the next step.")
            raise SkipStep
        elif _has(low, "brief", "short", "less talk", "too long"):
            self.reply(heard + "I keep it short from here.")
            self.brief = True
        elif _has(low, "more detail", "explain", "verbose"):
            self.brief = False
            self.reply(heard + "I explain each step in full from here.")
        elif self.agents and _has(low, "tell ", "workers", "sub-agents", "subagents", "everyone"):
            self.reply(heard + "I pass this on to my sub-agents.")
            self.pass_on(text)
        else:
            self.notes.append(quoted)
            self.reply(
                heard + "I take that into account from here on: it goes into my notes and into the final report."
            )
            known = self.folder / NOTES
            before = known.read_text(encoding="utf-8") if known.is_file() else "# Notes from the operator\n\n"
            self.write(NOTES, f"{before}- {quoted}\n")
            self.show_plan()

    def status(self) -> str:
        if self.mission is None:
            return "I am idle; nothing of a mission is open."
        total = len(self.mission.steps)
        lines = [f"Step {min(self.at + 1, total)} of {total}: {self.mission.steps[min(self.at, total - 1)].title}."]
        if self.agents:
            waiting = [title for agent, title in self.agents.items() if agent not in self.reports]
            lines.append(f"{len(self.reports)} of {len(self.agents)} sub-agents have reported.")
            lines += [f"- still at work: {title}" for title in waiting]
        return "\n".join(lines)

    def pass_on(self, text: str) -> None:
        server = self._server("message_subagent")
        for agent in [agent for agent in self.agents if agent not in self.reports]:
            if server is None:
                return
            try:
                self._call(server, "message_subagent", {"id": agent, "message": text}, f"Tell {self.agents[agent]}")
            except ToolFailed as error:
                self.say(f"That did not reach “{self.agents[agent]}”: {error}")

    def consider(self, subject: str, command: str) -> str:
        """Think about one thing, look it up, and take a moment; what was found."""
        self.think(self.rng.choice(_THOUGHTS).format(it=subject))
        found = self.run(command, f"Look up {subject}")
        self.rest(self.rng.uniform(2.5, 5.5))
        return found

    # -- helpers: sub-agents of their own, or sub-sessions on this connection

    def _server(self, tool: str) -> McpServer | None:
        """The first server that has this tool."""
        for server in self.servers:
            try:
                server.start()
            except ToolFailed:
                continue
            if tool in server.tools:
                return server
        return None

    def _call(self, server: McpServer, tool: str, arguments: dict[str, Any], title: str) -> str:
        def work(show: Callable[[str], None]) -> str:
            return server.call(tool, arguments)

        raw = {"server": server.name, "tool": tool, "arguments": arguments}
        return self.tool(title, "other", work, rawInput=raw)

    def delegate(self, helpers: list[Helper]) -> None:
        """Start a sub-agent for each; where that is not possible, do the work in sub-sessions."""
        server = self._server("spawn_subagent")
        for helper in helpers:
            if helper.name in self.delegated:  # before the turn was interrupted
                continue
            self.delegated.add(helper.name)
            title = f"Demo: {helper.title}"
            if server is not None:
                arguments = {
                    "task": helper.task,
                    "title": title,
                    "cwd": str(self.folder),
                    "agent_type": "demo worker",
                }
                try:
                    said = self._call(server, "spawn_subagent", arguments, f"Start sub-agent “{helper.title}”")
                except ToolFailed as error:
                    self.say(f"No sub-agent for “{helper.title}”: {error} I do it in a session of my own.")
                else:
                    found = _AGENT_ID.search(said)
                    if found:
                        self.agents[found.group()] = helper.title
                        continue
            self.sub_session(helper)

    def gather(self) -> None:
        """Wait until all sub-agents and sub-sessions are done, and say what they found as they report."""
        server = self._server("wait_for_subagent") if self.agents else None
        while server is not None and (open_ := [agent for agent in self.agents if agent not in self.reports]):
            agent, report = self._wait(server, open_)
            if agent is None:
                self._murmur(open_)
                continue
            self.reports[agent] = report
            first = report.strip().split("\n\n", 1)[-1].strip().splitlines() or ["(nothing)"]
            self.say(f"**{self.agents[agent]}** is done: {first[0]}")
        while any(thread.is_alive() for thread in self._threads):
            self.rest(1.0, until=lambda: not any(thread.is_alive() for thread in self._threads))
        self._threads.clear()

    def _murmur(self, agents: list[str]) -> None:
        """Something true to say while others work."""
        files = [path for path in self.folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        newest = max(files, key=lambda path: path.stat().st_mtime).name if files else "nothing"
        names = " and ".join(self.agents[agent] for agent in agents)
        verb = "is" if len(agents) == 1 else "are"
        self.say(f"{names} {verb} still at work. There are {len(files)} files now; the newest is `{newest}`.")

    def _wait(self, server: McpServer, agents: list[str]) -> tuple[str | None, str]:
        """The next report, or None after a while. Calls are short, so that an operator's words are heard soon."""
        names = ", ".join(self.agents[agent] for agent in agents)

        def work(show: Callable[[str], None]) -> str:
            turns = 0
            deadline = time.monotonic() + _MURMUR_SECONDS * NORMAL_PACE / self.pace
            while True:
                agent = agents[turns % len(agents)]
                limit = _WAIT_SECONDS / len(agents)
                said = server.call("wait_for_subagent", {"id": agent, "timeout_seconds": limit})
                if not said.startswith("Still running"):
                    found.append(agent)
                    return said
                self.rest(0.0)
                turns += 1
                if turns % len(agents) == 0:
                    listed = server.call("list_subagents", {})
                    if time.monotonic() > deadline:
                        return listed
                    show(listed)

        found: list[str] = []
        try:
            said = self.tool(f"Wait for {names}", "other", work, rawInput={"tool": "wait_for_subagent", "ids": agents})
        except ToolFailed as error:
            return agents[0], f"\n\nlost: {error}"
        return (found[0] if found else None), said

    def sub_session(self, helper: Helper) -> None:
        """Do the work at the same time, in a session that is reported on this connection (if the client wants it)."""
        name = f"{self.session_id}-c{len(self.children) + 1}"
        child = Mind(
            self.wire,
            name if self.reports_children else self.session_id,
            self.folder,
            Control(),
            Random(self.rng.random()),  # noqa: S311 - a script's pauses
            self.pace,
            self.usage,
            servers=[],
            reports_children=self.reports_children,
        )
        self.children[name] = child
        child.auto_allow = self.auto_allow
        child.prefix = name
        if not self.reports_children:
            child.control = self.control
            self.say(helper.work(child))
            return
        title = f"Demo: {helper.title}"
        self.update(
            "subagent_update",
            sessionId=name,
            title=title,
            description=helper.details,
            cwd=str(self.folder),
            capabilities={"cancel": {}},
            state={"state": "running"},
        )

        def run() -> None:
            reason = "end_turn"
            try:
                child.say(helper.work(child))
            except Cancelled:
                child.cancel_children()
                reason = "cancelled"
            except OSError as error:
                child.update("agent_message_chunk", content={"type": "text", "text": f"I cannot go on: {error}"})
                reason = "refusal"
            idle = {"state": "idle", "stopReason": reason}
            self.update("subagent_update", sessionId=name, title=title, state=idle)

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def cancel_children(self, name: str | None = None) -> bool:
        """Cancel one sub-session, or all; whether there was one."""
        found = False
        for child, mind in self.children.items():
            if name in (None, child):
                mind.control.cancel()
                found = True
            elif mind.cancel_children(name):
                return True
        return found


def _has(text: str, *words: str) -> bool:
    return any(word in text for word in words)
