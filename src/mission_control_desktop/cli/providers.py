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

from mission_control_desktop.cli.output import Output, one_line, when
from mission_control_desktop.client.http import HttpMissionControl
from mission_control_desktop.domain.credentials import MAX_TOTAL_CHARS, Credentials
from mission_control_desktop.domain.errors import BadInput, MissionControlError, NotFound
from mission_control_desktop.domain.providers import (
    DISABLED,
    CheckReport,
    ProviderChange,
    ProviderDraft,
    ProviderView,
    StageName,
    StageState,
)
from mission_control_desktop.domain.tasks import Tasks

MAX_FILE_BYTES = 4 * MAX_TOTAL_CHARS + 1_024
FOLLOW_SECONDS = 0.25
_MARKS = {StageState.OK: "ok", StageState.FAILED: "FAILED", StageState.SKIPPED: "-"}


async def providers(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    match args.what:
        case "add":
            return await _add(mc, args, output)
        case "update":
            return await _update(mc, args, output)
        case "enable" | "disable":
            return await _change(mc, args.name, ProviderChange(is_active=args.what == "enable"), output)
        case "rename":
            return await _change(mc, args.name, ProviderChange(name=args.new_name), output)
        case "check":
            return await _check(mc, args, output)
        case "remove":
            found = await _named(mc, args.name)
            await mc.delete_provider(found.id)
            if output.json:
                output.document({"removed": found.name})
            else:
                output.note(
                    f"{found.name} is removed with its credentials; its sessions and the audit log stay on record, and "
                    "its agents go on"
                )
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
        (
            p.name,
            p.provider,
            "yes" if p.is_active else "no",
            p.health.state if p.health.state in ("ok", DISABLED) else f"{p.health.state} since {when(p.health.since)}",
            _checked(p.last_check),
            p.gateway_url or "-",
            p.health.detail or "-",
        )
        for p in found
    ]
    headers = ("NAME", "KIND", "ENABLED", "CONNECTION", "CHECKED", "ADDRESS", "DETAIL")
    output.table(headers, rows, empty="There are no providers.")
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
    credentials = Credentials() if args.no_credentials else await _credentials(args, output)
    change = ProviderChange(gateway_url=args.gateway, credentials=credentials, allow_insecure=args.allow_insecure)
    return await _change(mc, args.name, change, output)


async def _change(mc: HttpMissionControl, name: str, change: ProviderChange, output: Output) -> int:
    found = await _named(mc, name)
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


async def _check(mc: HttpMissionControl, args: Namespace, output: Output) -> int:
    """Each stage is printed as it comes about."""
    found = await _named(mc, args.name)
    if output.json:
        report = await mc.check_provider(found.id)
        output.document(report)
        return 0 if report.ok else 1
    shown: set[StageName] = set()
    failures: list[BaseException] = []
    following = Tasks(lambda _name, error: failures.append(error))
    following.start(_follow(mc, found.id, shown, output), name="follow the check")
    try:
        report = await mc.check_provider(found.id)
    finally:
        await following.close()
    if failures:
        raise failures[0]
    _stages(report, shown, output)
    return 0 if report.ok else 1


async def _follow(mc: HttpMissionControl, provider_id: str, shown: set[StageName], output: Output) -> None:
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        try:
            found = await mc.providers()
        except MissionControlError:
            return  # the check itself ends with what is wrong
        for one in found:
            if one.id == provider_id and one.last_check is not None and one.last_check.under_way:
                _stages(one.last_check, shown, output)


def _stages(report: CheckReport, shown: set[StageName], output: Output) -> None:
    for one in report.stages:
        # What was told may still turn out wrong: then it is told again.
        if one.stage not in shown or (one.state is StageState.FAILED and not report.under_way):
            shown.add(one.stage)
            output.line(f"{one.stage.value:<14} {_MARKS[one.state]:<7} {one_line(one.detail)}")


def _checked(report: CheckReport | None) -> str:
    if report is None:
        return "-"
    if report.under_way:
        return "under way"
    return f"{'ok' if report.ok else 'FAILED'} {when(report.checked_at)}"


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
