"""A real control plane for tests: the program itself, on a free port of 127.0.0.1, with a data directory of its own."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

READY_SECONDS = 110
STOP_SECONDS = 60


class ControlPlaneProcess:
    """Starts `mission-control serve`; `url` and `token` are what a client needs. `log` is its standard error."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir = data_dir
        self.log = data_dir.parent / f"{data_dir.name}.log"
        self._environment = {**os.environ, "MISSION_CONTROL_DATA_DIR": str(data_dir), **environment}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def token(self) -> str:
        return (self.data_dir / "local-token").read_text().strip()

    def start(self, *arguments: str) -> ControlPlaneProcess:
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mission_control_desktop", "serve", "--port", "0", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                text=True,
            )
        lines: queue.Queue[str] = queue.Queue()
        stdout = self._process.stdout
        assert stdout is not None

        def read() -> None:
            for line in stdout:
                lines.put(line)

        threading.Thread(target=read, daemon=True).start()
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            try:
                line = lines.get(timeout=0.2)
            except queue.Empty:
                if self._process.poll() is not None:
                    break
                continue
            if line.startswith("ready "):
                self.url = line.split()[1]
                return self
        raise AssertionError(f"the control plane did not become ready:\n{self.log.read_text()[-4000:]}")

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(f"did not stop within {STOP_SECONDS} s of {number.name}") from None
        finally:
            if self._process.stdout is not None:
                self._process.stdout.close()
