"""A stand-in for `mission-control serve` that misbehaves on demand: what discovery must survive.

    stand_in_plane.py BEHAVIOUR VERSION [serve ...] --data-dir DIR

Behaviours: good, fails (exit at once), garbage (no ready line), hangs (never ready), deaf (does not end on SIGTERM).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


def main() -> int:
    behaviour, version = sys.argv[1], sys.argv[2]
    data_dir = Path(sys.argv[sys.argv.index("--data-dir") + 1])
    with (data_dir / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if behaviour == "fails":
        sys.stderr.write("the database is damaged\n")
        return 3
    if behaviour == "garbage":
        sys.stdout.write("hello\n")
        sys.stdout.flush()
    if behaviour in ("hangs", "garbage"):
        signal.pause()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps({"status": "ok", "version": version}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            with (data_dir / "seen").open("a") as seen:
                seen.write(f"{self.headers.get('Authorization')}\n")

        def log_message(self, *args: object) -> None:
            return None

    server = HTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    (data_dir / "local-token").write_text("local-secret\n")
    plane = {"url": url, "pid": os.getpid(), "version": version}
    (data_dir / "control-plane.json").write_text(json.dumps(plane))
    if behaviour != "deaf":
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.stdout.write(f"ready {url}\n")
    sys.stdout.flush()
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
