"""An agent for benchmarks: speaks ACP over stdio and says words at an even pace, each with the time it was said at.

The prompt is `RATE SECONDS [CHARACTERS]`: so many characters are said at once before. A word is the time by
CLOCK_MONOTONIC in nanoseconds, in base 36; so whoever paints it on the same machine can tell how old it is. Now and
then a paragraph ends. Standard library only.

With `--family` it first starts three processes that only sleep: a child, one in a session of its own, and a daemon that
nobody's child list shows any more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
WORDS_A_PARAGRAPH = 60


def base36(number: int) -> str:
    digits = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(DIGITS[digit])
    return "".join(reversed(digits)) or "0"


class Talker:
    def __init__(self) -> None:
        self._out = threading.Lock()
        self._stop = threading.Event()

    def say(self, message: dict[str, Any]) -> None:
        line = json.dumps({"jsonrpc": "2.0", **message}, separators=(",", ":")) + "\n"
        with self._out:
            sys.stdout.write(line)
            sys.stdout.flush()

    def talk(self, request_id: Any, session: str, rate: float, seconds: float, before: int = 0) -> None:
        if before:
            paragraph = "Words that fill a line or two and then some `more()` of it. " * 8 + "\n\n"
            self.chunk(session, (paragraph * (before // len(paragraph) + 1))[: before - 2] + "\n\n")
        start, said = time.monotonic(), 0
        while said < rate * seconds and not self._stop.is_set():
            time.sleep(max(0.0, start + said / rate - time.monotonic()))
            said += 1
            end = "\n\n" if said % WORDS_A_PARAGRAPH == 0 else " "
            self.chunk(session, base36(time.monotonic_ns()) + end)
        reason = "cancelled" if self._stop.is_set() else "end_turn"
        self.say({"id": request_id, "result": {"stopReason": reason}})

    def chunk(self, session: str, text: str) -> None:
        update = {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}
        self.say({"method": "session/update", "params": {"sessionId": session, "update": update}})

    def run(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            method, request_id, params = message.get("method"), message.get("id"), message.get("params") or {}
            if method == "initialize":
                about = {"name": "talker", "title": "Talker", "version": "1"}
                self.say({"id": request_id, "result": {"protocolVersion": 1, "agentInfo": about}})
            elif method == "session/new":
                self.say({"id": request_id, "result": {"sessionId": "s"}})
            elif method == "session/prompt":
                rate, seconds, *before = params["prompt"][0]["text"].split()
                self._stop.clear()
                arguments = (request_id, params["sessionId"], float(rate), float(seconds), *map(int, before))
                threading.Thread(target=self.talk, args=arguments, daemon=True).start()
            elif method == "session/cancel":
                self._stop.set()
            elif request_id is not None and method is not None:
                self.say({"id": request_id, "error": {"code": -32601, "message": f"no method {method}"}})


def start_family() -> None:
    sleep = ["sleep", "100000"]
    quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.Popen(sleep, **quiet)
    subprocess.Popen(sleep, start_new_session=True, **quiet)
    first = os.fork()
    if first == 0:
        subprocess.Popen(sleep, start_new_session=True, **quiet)
        os._exit(0)
    os.waitpid(first, 0)


if __name__ == "__main__":
    if "--family" in sys.argv:
        start_family()
    Talker().run()
