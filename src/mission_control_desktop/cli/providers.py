"""`mission-control providers`: register, change, check and remove providers.

Credentials are never taken from the command line, where every program of the computer can read them: they come from an
environment variable named there, a file, or standard input (asked for without echo if that is a terminal).
"""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from argparse import Namespace
from pathlib import Path

import msgspec

from mission_control_desktop.cli.output import Output, one_line
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.credentials import MAX_TOTAL_CHARS, Credentials
from mission_control_desktop.domain.errors import BadInput, NotFound
from mission_control_desktop.domain.providers import (
    CheckReport,
    ProviderChange,
    ProviderDraft,
    ProviderView,
    StageState,
)

MAX_FILE_BYTES = 4 * MAX_TOTAL_CHARS + 1_024


async def providers(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    match args.what:
        case "add":
            return await _add(mc, args, output)
        case "update":
            return await _update(mc, args, output)
        case "check":
            found = await _named(mc, args.name)
            return _report(await mc.check_provider(found.id), output)
        case "remove":
            found = await _named(mc, args.name)
            await mc.delete_provider(found.id)
            output.note(f"{found.name} is removed; its sessions stay on record")
            return 0
        case "kinds":
            return await _kinds(mc, output)
        case _:
            return await _list(mc, output)


async def _list(mc: HttpMissionControl, output: Output) -> int:
    found = await mc.providers()
    if output.json:
        output.document({"items": found})
        return 0
    rows = [
        (p.name, p.provider, "yes" if p.is_active else "no", p.health.state, p.health.detail or p.gateway_url or "-")
        for p in found
    ]
    output.table(("NAME", "KIND", "ACTIVE", "HEALTH", "DETAIL"), rows, empty="There are no providers.")
    return 0


async def _kinds(mc: HttpMissionControl, output: Output) -> int:
    found = await mc.provider_kinds()
    if output.json:
        output.document({"items": found})
        return 0
    rows = [
        (
            one.kind,
            ", ".join(one.schemes),
            ", ".join(field.name + ("" if field.required else " (optional)") for field in one.credentials) or "-",
            one.title,
        )
        for one in found
    ]
    output.table(("KIND", "ADDRESSES", "CREDENTIALS", "WHAT"), rows, empty="No adapters are installed there.")
    return 0


async def _add(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    made = await mc.create_provider(
        ProviderDraft(
            name=args.name,
            provider=args.kind,
            gateway_url=args.gateway,
            credentials=await _credentials(args, output) or Credentials(),
            is_active=not args.disabled,
            allow_insecure=args.allow_insecure,
        )
    )
    return _shown(made, output)


async def _update(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    found = await _named(mc, args.name)
    credentials = Credentials() if args.no_credentials else await _credentials(args, output)
    change = ProviderChange(
        name=args.rename,
        gateway_url=args.gateway,
        credentials=credentials,
        is_active=args.active,
        allow_insecure=args.allow_insecure,
    )
    return _shown(await mc.update_provider(found.id, change), output)


def _shown(view: ProviderView, output: Output) -> int:
    if output.json:
        output.document(view)
        return 0
    state = view.health.state if view.is_active else "switched off"
    output.line(f"{view.name}: {view.provider} at {one_line(view.gateway_url)}, {state}")
    if view.is_active:
        output.note(f"Try it: mission-control providers check {view.name}")
    return 0


def _report(report: CheckReport, output: Output) -> int:
    if output.json:
        output.document(report)
    else:
        marks = {StageState.OK: "ok", StageState.FAILED: "FAILED", StageState.SKIPPED: "-"}
        rows = [(one.stage.value, marks[one.state], one.detail) for one in report.stages]
        output.table(("STAGE", "", "FOUND"), rows, empty="")
    return 0 if report.ok else 1


async def _named(mc: HttpMissionControl, name: str) -> ProviderView:
    for one in await mc.providers():
        if name in (one.name, one.id):
            return one
    raise NotFound(f"There is no provider named {name!r}; `mission-control providers` lists them.")


async def _credentials(args: Namespace, output: Output) -> Credentials | None:
    """From where the arguments say; None if they say nothing. BadInput for what is no credential."""
    if args.credentials_env is not None:
        value = os.environ.get(args.credentials_env)
        if not value:
            raise BadInput("--credentials-env", f"There is no variable {args.credentials_env} in this environment.")
        return _read(value)
    if args.credentials_file is not None:
        return _read(await asyncio.to_thread(_file, args.credentials_file))
    if args.credentials:
        return _read(await asyncio.to_thread(_asked))
    return None


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise BadInput("--credentials-file", f"{path} cannot be read: {error.strerror}.") from error
    if len(raw) > MAX_FILE_BYTES:
        raise BadInput("--credentials-file", f"{path} is too large for credentials.")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadInput("--credentials-file", f"{path} is not text.") from error


def _asked() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Token (it is not shown): ")
    return sys.stdin.read(MAX_FILE_BYTES + 1)


def _read(text: str) -> Credentials:
    """A token, or a JSON object of named strings."""
    text = text.strip()
    if text.startswith("{"):
        try:
            return Credentials.of(msgspec.json.decode(text, type=dict[str, str]))
        except msgspec.MsgspecError:
            raise BadInput("credentials", "This begins like a JSON object of named strings, and is none.") from None
    return Credentials.of(text)
