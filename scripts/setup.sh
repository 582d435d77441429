#!/usr/bin/env bash
# Prepare .venv/ from the lock file, and see to it that the system has what Python and Qt need.
# A second run does nothing. Run as root on Debian or Ubuntu it installs what is missing; else it names it and ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PYTHONHOME PYTHONPATH

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; exit 1; }

# --- what the system must have -------------------------------------------------------------------------------------

# Shared libraries by the Debian package that has them. Found with ldd on the platform plugins of the Qt wheels.
needed_always="
libEGL.so.1:libegl1
libGL.so.1:libgl1
libxkbcommon.so.0:libxkbcommon0
libfontconfig.so.1:libfontconfig1
libfreetype.so.6:libfreetype6
libdbus-1.so.3:libdbus-1-3
libglib-2.0.so.0:libglib2.0-0
libX11.so.6:libx11-6
libgssapi_krb5.so.2:libgssapi-krb5-2
"
needed_for_a_window="
libxcb.so.1:libxcb1
libX11-xcb.so.1:libx11-xcb1
libxkbcommon-x11.so.0:libxkbcommon-x11-0
libxcb-cursor.so.0:libxcb-cursor0
libxcb-glx.so.0:libxcb-glx0
libxcb-icccm.so.4:libxcb-icccm4
libxcb-image.so.0:libxcb-image0
libxcb-keysyms.so.1:libxcb-keysyms1
libxcb-randr.so.0:libxcb-randr0
libxcb-render.so.0:libxcb-render0
libxcb-render-util.so.0:libxcb-render-util0
libxcb-shape.so.0:libxcb-shape0
libxcb-shm.so.0:libxcb-shm0
libxcb-sync.so.1:libxcb-sync1
libxcb-xfixes.so.0:libxcb-xfixes0
libxcb-xkb.so.1:libxcb-xkb1
libwayland-client.so.0:libwayland-client0
libwayland-cursor.so.0:libwayland-cursor0
libwayland-egl.so.1:libwayland-egl1
"

libraries=""
list_libraries() { libraries=$({ ldconfig -p || /sbin/ldconfig -p; } 2>/dev/null || true); }

missing_packages() { # of a list library:package
    local entry
    for entry in $1; do
        case "$libraries" in
            *"${entry%%:*}"*) ;;
            *) printf '%s ' "${entry#*:}" ;;
        esac
    done
}

has_fonts() {
    local place
    for place in /usr/share/fonts /usr/local/share/fonts "${HOME:-/nowhere}/.fonts" "${HOME:-/nowhere}/.local/share/fonts"; do
        [ -d "$place" ] && [ -n "$(find "$place" \( -name '*.ttf' -o -name '*.otf' -o -name '*.ttc' \) -print -quit)" ] && return
    done
    return 1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

has_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

needed=""   # without these nothing works
wanted=""   # without these no window can be shown
collect() {
    needed="" wanted=""
    if python=$(find_python); then
        has_venv "$python" || needed+="python3-venv "
    else
        needed+="python3 python3-venv "
    fi
    if [ "$(uname -s)" = Linux ]; then
        list_libraries
        needed+=$(missing_packages "$needed_always")
        wanted=$(missing_packages "$needed_for_a_window")
        has_fonts || needed+="fonts-dejavu-core "
    fi
}

collect
if [ -n "$needed$wanted" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "setup: installing system packages: $needed$wanted"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of words
    { apt-get update -q && apt-get install -q -y --no-install-recommends $needed $wanted; } >&2 ||
        fail "apt-get could not install: $needed$wanted"
    collect
fi
if [ -n "$needed" ]; then
    say "setup: this system lacks what Mission Control Desktop needs. On Debian or Ubuntu, run:"
    say ""
    say "    sudo apt-get install -y --no-install-recommends $needed$wanted"
    say ""
    say "and then the same command again. (Python must be 3.11 to 3.14; PYTHON=/path/to/python names one.)"
    exit 1
fi
if [ -n "$wanted" ]; then
    if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
        say "setup: to show a window, this system lacks some libraries. On Debian or Ubuntu, run:"
        say ""
        say "    sudo apt-get install -y --no-install-recommends $wanted"
        exit 1
    fi
    say "setup: good for rendering off-screen; to show a window, these packages are missing too: $wanted"
fi

# --- .venv ---------------------------------------------------------------------------------------------------------

# What .venv must have been made from. Its place belongs to that: a virtual environment does not survive a move.
base() { printf '%s\n' "$PWD" "$("$python" -c 'import sys; print(sys.executable, sys.version)')"; }
wish() {
    base
    cksum requirements.lock pyproject.toml
}

stamp=.venv/setup-stamp
made() { # from this Python, in this place
    [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(base)" = "$(head -n "$(base | wc -l)" "$stamp")" ]
}
current() { [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(wish)" = "$(cat "$stamp")" ]; }

current && exit 0
if command -v flock >/dev/null; then
    mkdir -p build
    exec 9>build/.setup-lock
    flock 9
    current && exit 0 # somebody else did it meanwhile
fi
if made; then
    say "setup: bringing .venv up to date with requirements.lock"
else
    say "setup: preparing .venv with $("$python" --version) (some minutes the first time)"
    rm -f "$stamp"
    "$python" -m venv --clear .venv
fi
pip=(.venv/bin/python -m pip --disable-pip-version-check install --quiet)
"${pip[@]}" --require-hashes -r requirements.lock || fail "the locked packages could not be installed (see above)"
"${pip[@]}" --no-deps --no-build-isolation --editable . || fail "this checkout could not be installed into .venv"
wish >"$stamp"
say "setup: done"
