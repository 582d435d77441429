"""`doctor`: is everything in place on this computer, and if not, what to do."""

from __future__ import annotations

import os
import platform
import stat
import sys
from collections.abc import Mapping
from ctypes.util import find_library
from enum import StrEnum
from pathlib import Path

from mission_control_desktop import __version__
from mission_control_desktop.cli.output import Output
from mission_control_desktop.client import paths
from mission_control_desktop.client.discovery import Discovery
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.client.tokens import in_thread
from mission_control_desktop.domain.base import Record
from mission_control_desktop.domain.errors import MissionControlError, Unreachable

PRIVATE_FILES = (
    paths.LOCAL_TOKEN_FILE,
    paths.CONTROL_PLANE_FILE,
    paths.CONTROL_PLANE_LOG,
    paths.TOKENS_FILE,
)
_QT_LIBRARIES = ("EGL", "GL", "xkbcommon", "fontconfig", "dbus-1", "glib-2.0")
_XCB_LIBRARIES = ("xcb-cursor", "xcb-icccm", "xcb-keysyms", "xcb-image", "xcb-render-util", "xkbcommon-x11")


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"
    BAD = "bad"


class Finding(Record, frozen=True, kw_only=True):
    what: str
    verdict: Verdict
    detail: str


async def examine(discovery: Discovery, environ: Mapping[str, str], url: str | None = None) -> list[Finding]:
    """All findings, in an order worth reading. Starts and changes nothing."""
    findings = [
        Finding(what="program", verdict=Verdict.OK, detail=f"{__version__}, Python {platform.python_version()}")
    ]
    findings += await in_thread(lambda: check_files(discovery.data_dir))
    findings += await _control_plane(discovery, url)
    ring = await discovery.tokens.describe()
    verdict = Verdict.OK if ring.startswith("keyring") else Verdict.NOTE
    findings.append(Finding(what="secrets", verdict=verdict, detail=ring))
    findings += await in_thread(lambda: check_display(environ))
    return findings


def check_files(data_dir: Path) -> list[Finding]:
    if not data_dir.exists():
        return [Finding(what="data directory", verdict=Verdict.NOTE, detail=f"{data_dir} does not exist yet")]
    findings = []
    wrong = [path for path in (data_dir, *(data_dir / name for name in PRIVATE_FILES)) if _open_to_others(path)]
    wrong += [path for path in sorted(data_dir.glob("*.db*")) if _open_to_others(path)]
    for path in wrong:
        mode = stat.S_IMODE(path.stat().st_mode)
        mend = f"chmod go= {path}"
        findings.append(
            Finding(what="data directory", verdict=Verdict.BAD, detail=f"{path} has mode {mode:04o}; mend it: {mend}")
        )
    if not os.access(data_dir, os.W_OK | os.X_OK):
        findings.append(Finding(what="data directory", verdict=Verdict.BAD, detail=f"{data_dir} cannot be written"))
    return findings or [Finding(what="data directory", verdict=Verdict.OK, detail=str(data_dir))]


def _open_to_others(path: Path) -> bool:
    return path.exists() and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


async def _control_plane(discovery: Discovery, url: str | None) -> list[Finding]:
    what = "control plane"
    try:
        endpoint = await discovery.find(url)
    except Unreachable as error:
        return [Finding(what=what, verdict=Verdict.NOTE, detail=error.message)]
    except MissionControlError as error:
        return [Finding(what=what, verdict=Verdict.BAD, detail=error.message)]
    detail = f"{endpoint.version} at {endpoint.url}" + (f"; {endpoint.note}" if endpoint.note else "")
    findings = [Finding(what=what, verdict=Verdict.NOTE if endpoint.note else Verdict.OK, detail=detail)]
    client = endpoint.open()
    try:
        findings += await _inside(client)
    except MissionControlError as error:
        findings.append(Finding(what="access", verdict=Verdict.BAD, detail=error.message))
    finally:
        await client.close()
    return findings


async def _inside(client: HttpMissionControl) -> list[Finding]:
    me = await client.me()
    findings = [
        Finding(what="access", verdict=Verdict.OK, detail=f"{me.user_id}, {me.role.value} in {me.workspace_id}")
    ]
    health = await client.health()
    record = health.detail.get("record")
    state, detail = health.status, None
    if isinstance(record, dict):
        state, detail = str(record.get("state", state)), record.get("detail")
    findings.append(
        Finding(
            what="record",
            verdict=Verdict.OK if state == "ok" else Verdict.BAD,
            detail=f"{state}: {detail}" if detail else state,
        )
    )
    for provider in await client.providers():
        state = provider.health.state
        findings.append(
            Finding(
                what=f"provider {provider.name}",
                verdict=Verdict.OK if state == "ok" else Verdict.BAD,
                detail=state + (f": {provider.health.detail}" if provider.health.detail else ""),
            )
        )
    names = [
        profile.name + (f" {profile.version}" if profile.version else "")
        for profile in await client.profiles()
        if profile.detected
    ]
    findings.append(
        Finding(
            what="agents",
            verdict=Verdict.OK if names else Verdict.NOTE,
            detail=", ".join(names) or "none found on this computer; the demo works without",
        )
    )
    return findings


def check_display(environ: Mapping[str, str]) -> list[Finding]:
    if not sys.platform.startswith("linux"):
        return []
    missing = [name for name in _QT_LIBRARIES if find_library(name) is None]
    display = environ.get("WAYLAND_DISPLAY") or environ.get("DISPLAY")
    if display:
        missing += [name for name in _XCB_LIBRARIES if find_library(name) is None]
    findings = []
    if missing:
        detail = (
            f"missing for the window: {', '.join(f'lib{name}' for name in missing)} (make setup installs or names them)"
        )
        findings.append(Finding(what="libraries", verdict=Verdict.BAD, detail=detail))
    findings.append(
        Finding(
            what="display",
            verdict=Verdict.OK if display else Verdict.NOTE,
            detail=display or "none: the window renders off-screen only",
        )
    )
    return findings


def report(findings: list[Finding], output: Output) -> int:
    if output.json:
        output.document({"items": findings})
    else:
        output.table(
            ("", "WHAT", "DETAIL"),
            [(finding.verdict.value, finding.what, finding.detail) for finding in findings],
            empty="Nothing was examined.",
        )
    return 1 if any(finding.verdict is Verdict.BAD for finding in findings) else 0
