"""Make the pictures of `docs/screenshots/` again: the real window on a control plane of its own, with the demo mission,
the settings with providers in each of their states, and every room in light, dark and high contrast (those stay in
`build/screenshots/rooms/`).

    python scripts/screenshots.py [--seconds 45] [--quick] [--size 1200x700]

Each picture is kept below 400 KiB, so that the repository stays small.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 400 * 1024
ROOMS = ("window-four-1280x800-contrast", "attention-5-1280x800-dark", "settings-appearance-1280x800-light",
         "settings-notifications-1280x800-contrast")  # fmt: skip
"""Of all rooms that are taken into `build/screenshots/rooms/`, those that go into `docs/`."""
TAKEN = ("first-run", "kill-all", "audit", "window-1280x800-light", "window-1280x800-dark", "providers-well-light",
         "providers-unpaired-dark")  # fmt: skip
"""Large ones stay out: whole transcripts name the place where the program lies on a computer."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=45.0, help="how long the mission is watched")
    parser.add_argument("--quick", action="store_true", help="take the rooms at 1280x800 alone")
    parser.add_argument("--size", action="append", default=[], metavar="WxH",
                        help="of the window in the pictures of the rooms; those of docs/ stay as they are")  # fmt: skip
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mission-control-pictures-"))
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment.pop("QT_QPA_PLATFORM", None)  # without a display and without a platform the program takes pictures
    environment |= {
        "MISSION_CONTROL_DATA_DIR": str(folder),
        "MISSION_CONTROL_HEADLESS_SECONDS": f"{arguments.seconds:g}",
        "LOGNAME": "operator",  # the person in the pictures: whose account this is concerns no reader
    }
    command = [str(Path(sys.executable).with_name("mission-control-desktop")), "--demo"]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    place = folder / "control-plane.json"
    if place.exists():  # it would stay for a while, for the next window
        os.kill(json.loads(place.read_text())["pid"], signal.SIGTERM)
    shutil.rmtree(folder, ignore_errors=True)
    if done.returncode != 0:
        return done.returncode
    rooms = [sys.executable, str(ROOT / "scripts" / "screenshots_providers.py")]
    done = subprocess.run(rooms, cwd=ROOT, env=environment | {"QT_QPA_PLATFORM": "offscreen"}, check=False)
    if done.returncode != 0:
        return done.returncode
    rooms = [sys.executable, str(ROOT / "scripts" / "screenshots_rooms.py"), *(["--quick"] if arguments.quick else []),
             *(f"--size={size}" for size in arguments.size)]  # fmt: skip
    done = subprocess.run(rooms, cwd=ROOT, env=environment | {"QT_QPA_PLATFORM": "offscreen"}, check=False)
    if done.returncode != 0:
        return done.returncode
    if arguments.size:
        return 0
    target = ROOT / "docs" / "screenshots"
    target.mkdir(parents=True, exist_ok=True)
    made = ROOT / "build" / "screenshots"
    for source in [*(made / f"{name}.png" for name in TAKEN), *(made / "rooms" / f"{name}.png" for name in ROOMS)]:
        picture = target / source.name
        shutil.copyfile(source, picture)
        if (size := picture.stat().st_size // 1024) > LIMIT // 1024:
            print(f"{picture.name} has {size} KiB, more than {LIMIT // 1024}", file=sys.stderr)
            return 1
        print(f"docs/screenshots/{source.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
