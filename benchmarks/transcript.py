"""Panels under load: event to paint, how long input would wait, and opening a long transcript.

    python -m benchmarks.transcript [--panels 16] [--rate 20] [--seconds 10] [--messages 2000] [--long 100000]

Writes `build/bench/transcript.json`. Runs on whatever QT_QPA_PLATFORM says (offscreen if it says nothing).

- event to paint: from the moment a word is due to the end of the paint event that shows it
- busy: CPU time of the GUI thread between two beats of a 1 ms timer, that is what an input event would have waited
  because of this program (wall also counts what else the machine did)
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import resource
import sys
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import PySide6
from PySide6.QtCore import QEventLoop, QObject, Qt, QTimer
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QApplication, QGridLayout, QWidget

from mission_control_desktop.domain.events import Delta, EventType, StreamEvent
from mission_control_desktop.domain.messages import AgentMessage, MessageRole
from mission_control_desktop.domain.sessions import AgentSession, Capabilities, Delivery, Evidence, SessionStatus
from mission_control_desktop.ui import theme
from mission_control_desktop.ui.panel.panel import OrchestratorPanel
from mission_control_desktop.ui.panel.port import MemoryDrafts
from mission_control_desktop.ui.transcript.layout import TranscriptLayout
from mission_control_desktop.ui.transcript.model import TranscriptModel
from mission_control_desktop.ui.transcript.pane import TranscriptPane

WORDS = [
    "the", "agent", "reads", "a", "file", "and", "finds", "that", "its", "tests", "expect", "another", "key", "so",
    "it", "keeps", "both", "until", "dashboards", "change", "which", "`parse()`", "calls", "**must**", "be",
    "replaced", "before", "the", "release",
]  # fmt: skip
CODE = """```python
def consume(batch):
    for item in batch:
        log.info("item", id=item.id)
        handle(item)
```"""


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies, rounded to a tenth."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1) if ordered else 0.0


def summary(values: list[float]) -> dict[str, float]:
    """Milliseconds."""
    return {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "max": percentile(values, 1.0)}


def message(session: str, number: int, rng: random.Random, *, content: str | None = None) -> AgentMessage:
    """One of a plausible mixture of entries."""
    kinds: dict[str, Any] = {"kind": "text", "complete": content is None}
    role = MessageRole.OPERATOR if number % 23 == 0 else MessageRole.AGENT
    if content is None:
        content = " ".join(rng.choices(WORDS, k=rng.randint(5, 80)))
        if number % 5 == 0:
            kinds |= {
                "kind": "tool_call",
                "title": f"rg -n word{number} src/",
                "toolKind": "search",
                "status": "completed",
            }
        elif number % 7 == 0:
            content = f"{content}\n\n- {content[:60]}\n- {content[:40]}\n\n{CODE}"
    return AgentMessage(
        message_id=f"m{number}",
        session_id=session,
        role=role,
        content=content,
        timestamp=datetime(2026, 11, 22, 12, 0, tzinfo=UTC) + timedelta(seconds=number),
        seq=number,
        metadata=kinds,
    )


class Probe(QObject):
    """Beats every millisecond and keeps what passed between two beats."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: list[float] = []
        self.wall: list[float] = []
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(1)
        self._timer.timeout.connect(self._on_beat)
        self._last = (time.thread_time(), time.perf_counter())

    def start(self) -> None:
        self._last = (time.thread_time(), time.perf_counter())
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _on_beat(self) -> None:
        now = (time.thread_time(), time.perf_counter())
        for kept, passed in (
            (self.busy, (now[0] - self._last[0]) * 1_000),
            (self.wall, (now[1] - self._last[1]) * 1_000),
        ):
            # A long gap stands for all the beats that it swallowed, each of which waited for the rest of it.
            kept.append(max(0.0, passed - 1.0))
            missing = passed - 2.0
            while missing > 0:
                kept.append(missing)
                missing -= 1.0
        self._last = now


class Watch:
    """From a word's due time to the end of the paint event that shows it."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self._waiting: dict[int, list[float]] = defaultdict(list)
        self._flushed: dict[int, list[float]] = defaultdict(list)
        watch, flush, paint = self, TranscriptLayout.flush, TranscriptLayout.paintEvent

        def timed_flush(view: TranscriptLayout) -> None:
            watch._flushed[id(view)] += watch._waiting.pop(id(view), [])
            flush(view)

        def timed_paint(view: TranscriptLayout, event: QPaintEvent) -> None:
            paint(view, event)
            now = time.perf_counter()
            watch.latencies += [(now - due) * 1_000 for due in watch._flushed.pop(id(view), [])]

        TranscriptLayout.flush = timed_flush  # type: ignore[method-assign,assignment]
        TranscriptLayout.paintEvent = timed_paint  # type: ignore[method-assign,assignment]

    def due(self, view: TranscriptLayout, moment: float) -> None:
        self._waiting[id(view)].append(moment)


class Feeder(QObject):
    """Gives each panel its words when they are due."""

    def __init__(self, panels: list[OrchestratorPanel], rate: float, watch: Watch, messages: int) -> None:
        super().__init__()
        self._panels, self._period, self._watch = panels, 1.0 / rate, watch
        self._rng = random.Random(7)
        self._next = [0.0] * len(panels)
        self._number = [messages] * len(panels)
        self._length = [-1] * len(panels)
        self.words = 0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._on_timer)

    def start(self) -> None:
        now = time.perf_counter()
        self._next = [now + self._rng.random() * self._period for _ in self._panels]
        self._timer.start()

    def stop(self) -> None:
        self._timer.stop()

    def _on_timer(self) -> None:
        now = time.perf_counter()
        for place, panel in enumerate(self._panels):
            events: list[StreamEvent] = []
            while self._next[place] <= now:
                events.append(self._event(place, panel.session_id))
                self._watch.due(panel.pane.view, self._next[place])
                self._next[place] += self._period
            if events:
                panel.apply(events)

    def _event(self, place: int, session: str) -> StreamEvent:
        self.words += 1
        if self._length[place] < 0 or self._length[place] > 1_500:
            self._number[place] += 1
            self._length[place] = 0
            opened = message(session, self._number[place], self._rng, content="")
            return StreamEvent(event_id=None, type=EventType.MESSAGE, data=opened)
        word = self._rng.choice(WORDS) + (" " if self._rng.random() > 0.04 else "\n\n")
        if self._rng.random() < 0.01:
            word = f"\n\n{CODE}\n\n"
        delta = Delta(message_id=f"m{self._number[place]}", offset=self._length[place], text=word)
        self._length[place] += len(word)
        return StreamEvent(event_id=None, type=EventType.DELTA, data=delta)


def session(number: int) -> AgentSession:
    now = datetime.now(UTC)
    return AgentSession(
        session_id=f"internal:{number:032x}",
        provider="internal",
        status=SessionStatus.RUNNING,
        spawned_at=now,
        capabilities=Capabilities(inject=(Delivery.QUEUE,), terminate=True, kill=True),
        evidence=Evidence(last_event_at=now, source="benchmark"),
        title=f"Benchmark session {number}",
    )


def run_for(seconds: float) -> None:
    loop = QEventLoop()
    QTimer.singleShot(int(seconds * 1_000), loop.quit)
    loop.exec()


def streaming(options: argparse.Namespace, watch: Watch) -> dict[str, Any]:
    """All panels stream at once."""
    rng = random.Random(1)
    window = QWidget()
    grid = QGridLayout(window)
    grid.setContentsMargins(0, 0, 0, 0)
    columns = max(1, round(options.panels**0.5))
    panels: list[OrchestratorPanel] = []
    for number in range(options.panels):
        # Nothing in this run acts: the port is never asked.
        panel = OrchestratorPanel(session(number), None, MemoryDrafts())  # type: ignore[arg-type]
        panel.load([message(panel.session_id, n, rng) for n in range(1, options.messages + 1)], has_older=False)
        panels.append(panel)
        grid.addWidget(panel, number // columns, number % columns)
    window.resize(2560, 1400)
    window.show()
    run_for(1.5)
    gc.collect()
    gc.freeze()
    probe, feeder = Probe(), Feeder(panels, options.rate, watch, options.messages)
    before = [panel.pane.view.paints for panel in panels]
    feeder.start()
    probe.start()
    start, cpu = time.perf_counter(), time.process_time()
    run_for(options.seconds)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    probe.stop()
    feeder.stop()
    run_for(0.3)
    paints = sum(panel.pane.view.paints for panel in panels) - sum(before)
    result = {
        "panels": options.panels,
        "words_per_second": round(feeder.words / wall, 1),
        "seconds": round(wall, 2),
        "event_to_paint_ms": summary(watch.latencies),
        "measured_words": len(watch.latencies),
        "busy_ms": summary(probe.busy),
        "wall_ms": summary(probe.wall),
        "cpu_percent": round(100 * cpu / wall, 1),
        "paints_per_panel_per_second": round(paints / wall / options.panels, 1),
        "all_follow_the_end": all(panel.pane.view.following for panel in panels),
    }
    window.close()
    return result


def first_page() -> dict[str, float]:
    """What opening a panel costs the GUI thread: the newest 200 messages, up to the first paint."""
    rng, taken = random.Random(3), []
    for number in range(12):
        page = [message(session(number).session_id, place, rng) for place in range(1, 201)]
        begun = time.perf_counter()
        panel = OrchestratorPanel(session(number), None, MemoryDrafts())  # type: ignore[arg-type]
        panel.load(page, has_older=False)
        panel.resize(640, 700)
        panel.show()
        while not panel.pane.view.paints:
            QApplication.processEvents()
        taken.append((time.perf_counter() - begun) * 1_000)
        panel.close()
        panel.deleteLater()
    return summary(taken)


def opening(options: argparse.Namespace) -> dict[str, Any]:
    """One transcript of many messages, all of them loaded."""
    rng = random.Random(2)
    messages = [message("internal:long", number, rng) for number in range(1, options.long + 1)]
    gc.collect()
    rss = _rss_mb()
    start = time.perf_counter()
    model = TranscriptModel(window=options.long)
    model.load(messages, has_older=False)
    loaded = time.perf_counter()
    pane = TranscriptPane(model)
    pane.resize(700, 1000)
    pane.show()
    while not pane.view.paints:
        QApplication.processEvents()
    shown = time.perf_counter()
    grown = _rss_mb() - rss
    jumps: list[float] = []
    bar = pane.view.verticalScrollBar()
    for _ in range(40):
        begun, paints = time.perf_counter(), pane.view.paints
        bar.setValue(rng.randint(0, bar.maximum()))
        while pane.view.paints == paints:
            QApplication.processEvents()
        jumps.append((time.perf_counter() - begun) * 1_000)
    pane.view.follow()
    QApplication.processEvents()
    appends: list[float] = []
    length = 0
    number = options.long + 1
    model.apply([_event(EventType.MESSAGE, message("internal:long", number, rng, content=""))])
    for _ in range(300):
        word = rng.choice(WORDS) + " "
        begun, paints = time.perf_counter(), pane.view.paints
        model.apply([_event(EventType.DELTA, Delta(message_id=f"m{number}", offset=length, text=word))])
        pane.view.flush()
        while pane.view.paints == paints:
            QApplication.processEvents()
        length += len(word)
        appends.append((time.perf_counter() - begun) * 1_000)
    pane.close()
    return {
        "messages": options.long,
        "load_ms": round((loaded - start) * 1_000, 1),
        "to_first_paint_ms": round((shown - start) * 1_000, 1),
        "rss_mb": round(grown, 1),
        "jump_ms": summary(jumps),
        "delta_drawn_ms": summary(appends),
    }


def _event(kind: EventType, data: Any) -> StreamEvent:
    return StreamEvent(event_id=None, type=kind, data=data)


def _rss_mb() -> float:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", type=int, default=16)
    parser.add_argument("--rate", type=float, default=20.0, help="words a second and panel")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--messages", type=int, default=2_000, help="in each panel before it starts")
    parser.add_argument("--long", type=int, default=100_000, help="messages of the long transcript")
    parser.add_argument("--output", type=Path, default=Path("build/bench/transcript.json"))
    options = parser.parse_args()
    app = QApplication(sys.argv[:1])
    theme.set_scheme("light")
    watch = Watch()
    result = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "platform": app.platformName(),
        "python": platform.python_version(),
        "pyside": PySide6.__version__,
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "streaming": streaming(options, watch),
        "open_panel_with_200_messages_ms": first_page(),
        "opening": opening(options),
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
