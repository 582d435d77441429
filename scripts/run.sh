#!/usr/bin/env bash
# Open the window; where there is no display, run the demo mission off-screen and leave pictures of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] && [ -z "${QT_QPA_PLATFORM:-}" ]; then
    echo "There is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)." >&2
    echo "The demo mission runs off-screen for a minute; pictures of it go to build/screenshots/." >&2
    exec .venv/bin/mission-control-desktop --demo "$@"
fi
exec .venv/bin/mission-control-desktop "$@"
