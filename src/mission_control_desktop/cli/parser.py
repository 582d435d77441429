"""The verbs of `mission-control` and what they take."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from mission_control_desktop import __version__
from mission_control_desktop.domain.approvals import ApprovalState
from mission_control_desktop.domain.audit import AuditAction, AuditOutcome
from mission_control_desktop.domain.limits import RETENTION_DAYS_MAX
from mission_control_desktop.domain.people import Role
from mission_control_desktop.domain.sessions import Delivery, SessionStatus, TaskSource

_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

_ID = "a session's id; any beginning or end that only one session has will do"


def build_parser(programs: Mapping[str, str]) -> argparse.ArgumentParser:
    """`programs` (name and what it does) are verbs that run elsewhere, named here for the help."""
    parser = argparse.ArgumentParser(
        prog="mission-control",
        description="Watch, steer and stop AI agents from the command line.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage. "
        "MISSION_CONTROL_URL, MISSION_CONTROL_TOKEN and MISSION_CONTROL_DATA_DIR say where and as whom.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, what in programs.items():
        verbs.add_parser(name, help=what, add_help=False)

    def read(name: str, what: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=what, description=what, parents=[_shared("print JSON")])

    def record(name: str, what: str) -> argparse.ArgumentParser:
        """What works on the record itself where no control plane runs."""
        shared = _shared("print JSON", record=True)
        return verbs.add_parser(name, help=what, description=what, parents=[shared])

    def act(name: str, what: str) -> argparse.ArgumentParser:
        return verbs.add_parser(name, help=what, description=what, parents=[_shared("print the answer as JSON")])

    sessions = read("sessions", "list sessions, newest first")
    sessions.add_argument("--provider", help="only this provider's")
    sessions.add_argument("--status", choices=[status.value for status in SessionStatus])
    sessions.add_argument("-q", "--query", help="only those with these words")
    sessions.add_argument("-n", "--limit", type=_positive, default=100, help="how many (default: 100)")

    read("tree", "show who is whose child")

    tail = read("tail", "print a session's transcript and follow it (--json: one event per line)")
    tail.add_argument("id", help=_ID)
    tail.add_argument("-n", "--lines", type=_count, default=50, help="begin with so many messages (default: 50)")
    tail.add_argument("--no-follow", action="store_true", help="stop at the end of what is there")

    spawn = act("spawn", "start an agent from a launch profile")
    spawn.add_argument("profile", help="the launch profile ('mission-control profiles' lists them)")
    spawn.add_argument("prompt", nargs="?", help="the first message; '-' reads it from standard input")
    spawn.add_argument("--cwd", type=Path, help="the agent's working directory")
    spawn.add_argument("--parent", metavar="ID", help="the session that it is a child of")
    spawn.add_argument("--title")
    spawn.add_argument("--mission", metavar="ID")
    spawn.add_argument("--task", metavar="ID")
    spawn.add_argument("--task-source", choices=[source.value for source in TaskSource])
    spawn.add_argument("--type", dest="agent_type", help="what kind of agent it is, in your words")
    spawn.add_argument("--end-when-idle", action="store_true", help="end it when its first task is done")

    inject = act("inject", "send a message into a session")
    inject.add_argument("id", help=_ID)
    inject.add_argument("text", help="the message; '-' reads it from standard input")
    inject.add_argument("--delivery", choices=[way.value for way in Delivery], help="default: what the agent does best")
    inject.add_argument("--pause-before-send", action="store_true", help="pause first; the message goes with 'resume'")

    receipts = read("receipts", "what became of the messages sent into a session")
    receipts.add_argument("id", help=_ID)

    withdraw = act("withdraw", "take back a message that is still queued")
    withdraw.add_argument("id", help=_ID)
    withdraw.add_argument("injection", help="the message's id, as 'receipts' shows it")

    edit = act("edit-message", "give a message that is still queued other words")
    edit.add_argument("id", help=_ID)
    edit.add_argument("injection", help="the message's id, as 'receipts' shows it")
    edit.add_argument("text", help="the new words; '-' reads them from standard input")

    move = act("move-message", "put a message that is still queued at another place")
    move.add_argument("id", help=_ID)
    move.add_argument("injection", help="the message's id, as 'receipts' shows it")
    move.add_argument("position", type=int, help="from 1, as 'receipts' shows it")

    pause = act("pause", "pause a session")
    pause.add_argument("id", help=_ID)
    pause.add_argument("--level", choices=["hold", "freeze"], help="default: the strongest that the session knows")
    for verb, what in (
        ("resume", "let a paused session go on"),
        ("cancel", "cancel what a session does now; it takes the next message"),
        ("hold-commands", "let each further command of a session wait for approval"),
        ("release-commands", "let a session's commands run again as before"),
        ("terminate", "end a session gracefully"),
    ):
        act(verb, what).add_argument("id", help=_ID)
    for verb in ("pause", "resume", "cancel", "hold-commands", "release-commands", "terminate"):
        verbs.choices[verb].add_argument("--reason")
    kill = act("kill", "end a session and its sub-agents now, and verify it")
    kill.add_argument("id", help=_ID)
    kill.add_argument("--reason", required=True)

    kill_all = act("kill-all", "end every session in a scope, and wait until it is verified")
    kill_all.add_argument("--scope", metavar="internal|all|PROVIDER")
    kill_all.add_argument("--confirm", metavar='"KILL ALL"', help="the words KILL ALL")
    kill_all.add_argument("--reason")
    kill_all.add_argument(
        "--clear-stop", action="store_true", help="remove the stop file, so that agents can be started again"
    )

    approvals = read("approvals", "list open permission questions, or answer one")
    approvals.add_argument(
        "--state", choices=[*(state.value for state in ApprovalState), "all"], default="open", help="default: open"
    )
    answers = _nest(approvals, "answer")
    for verb, what in (("allow", "let the agent do it"), ("deny", "keep the agent from it")):
        add = _within(answers, verb, what)
        add.add_argument("id", help="the question's id; any beginning or end that only one has will do")
        add.add_argument("--always", action="store_true", help="this kind of question, from now on")
        add.add_argument("--option", metavar="OPTION_ID", help="answer with this very option")

    audit = record("audit", "read the audit log, check that nobody changed it, or write it out")
    audit.add_argument("-n", "--limit", type=_positive, default=50, help="how many, newest first (default: 50)")
    _audit_filters(audit)
    audits = _nest(audit, "what")
    verify = _within_record(audits, "verify", "check that no row was changed, removed, inserted or moved")
    verify.add_argument(
        "--file", type=Path, help="check an exported log instead ('-': standard input), without a control plane"
    )
    verify.add_argument("--head", metavar="SEQ:HASH", help="it must still hold this row, as an export printed it")
    export = _within_record(audits, "export", "write rows as JSON Lines, oldest first")
    export.add_argument("-o", "--output", type=Path, help="the file to write (default: standard output)")
    _audit_filters(export, suppress=True)

    profiles = read("profiles", "list, store or remove launch profiles")
    within_profiles = _nest(profiles, "what")
    _within(within_profiles, "list", "list them")
    _within(within_profiles, "remove", "remove a stored one").add_argument("name")
    put = _within(within_profiles, "put", "store one: profiles put NAME [OPTION...] -- COMMAND [ARGUMENT...]")
    put.add_argument("name")
    put.add_argument("--cwd", type=Path)
    put.add_argument("--mode", help="the agent's mode to begin with")
    put.add_argument("--title")
    put.add_argument("--runtime", default="acp")
    put.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="a variable for the agent; without a value it is taken from this environment (and from no command line)",
    )

    _providers(read("providers", "list, register, change, check or remove providers"))

    workspace = record("workspace", "show the workspace's settings, or set how long messages are kept")
    settings = _nest(workspace, "what")
    _within_record(settings, "show", "show them")
    setting = _within_record(settings, "set", "set how long messages are kept; what is older goes within an hour")
    setting.add_argument("--message-days", required=True, type=_days, metavar="N|default", help="1 to 3650 days")

    token = record("token", "make, list and revoke access tokens")
    tokens = _nest(token, "what", required=True)
    create = _within_record(tokens, "create", "make one; it is shown once")
    create.add_argument("--user", required=True, help="whose it is")
    create.add_argument("--role", required=True, choices=[role.value for role in Role], help="what it may do")
    create.add_argument("--workspace")
    create.add_argument("--expires", metavar="30d", help="how long it is good for (default: until revoked)")
    _within_record(tokens, "list", "list them, without the tokens themselves")
    _within_record(tokens, "revoke", "end one and its streams").add_argument("id")

    member = record("members", "list who is in the workspace, change a role, take someone out")
    members = _nest(member, "what")
    _within_record(members, "list", "list them, with how many tokens each can come in with")
    set_role = _within_record(members, "set", "add someone or change their role; a lower role lowers their tokens")
    set_role.add_argument("user")
    set_role.add_argument("role", choices=[role.value for role in Role])
    _within_record(members, "remove", "take someone out and revoke all their tokens").add_argument("user")

    keys = record("keys", "show and change the master key that secrets are sealed with")
    within_keys = _nest(keys, "what", required=True)
    _within_record(within_keys, "status", "say which keys there are and how much each seals; never a key")
    _within_record(within_keys, "rotate", "make a new key, seal everything with it, and forget the old one")

    processes = read("processes", "list what a stop of a session would hit")
    processes.add_argument("id", help=_ID)

    read("doctor", "check this computer's set-up")
    return parser


def _shared(json_help: str, *, suppress: bool = False, record: bool = False) -> argparse.ArgumentParser:
    """Options of every verb. With `suppress`, for a verb within a verb: what was not given there leaves alone what was
    given before it."""
    shared = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS if suppress else None)
    where = "the control plane to talk to (default: MISSION_CONTROL_URL, else the local one)"
    shared.add_argument("--url", help=where)
    shared.add_argument("--data-dir", type=Path, help="where the local control plane keeps its data")
    if record:
        shared.add_argument(
            "--database-url", help="where the record is, if no control plane runs and not in --data-dir"
        )
    default = argparse.SUPPRESS if suppress else False
    shared.add_argument("--json", action="store_true", default=default, help=json_help)
    return shared


def _nest(parser: argparse.ArgumentParser, dest: str, *, required: bool = False) -> _Verbs:
    """Room for verbs within a verb: `audit verify`."""
    return parser.add_subparsers(dest=dest, metavar=dest.upper(), required=required)


def _within(nested: _Verbs, name: str, what: str) -> argparse.ArgumentParser:
    shared = _shared("print JSON", suppress=True)
    return nested.add_parser(name, help=what, description=what, parents=[shared])


def _providers(parser: argparse.ArgumentParser) -> None:
    within = _nest(parser, "what")
    _within(within, "list", "list them and how they do")
    _within(within, "kinds", "list the kinds that can be registered")
    add = _within(within, "add", "register one")
    add.add_argument("name", help="small letters, digits and dashes; part of the ids of its sessions")
    add.add_argument("--kind", required=True, help="of adapter, as 'providers kinds' lists them")
    add.add_argument("--gateway", required=True, metavar="URL")
    add.add_argument("--disabled", action="store_true", help="store it, switched off")
    add.add_argument("--allow-insecure", action="store_true", help="accept an address that is not encrypted")
    update = _within(within, "update", "change one's address or credentials")
    update.add_argument("name")
    update.add_argument("--gateway", metavar="URL", help="another computer needs the credentials again")
    update.add_argument("--allow-insecure", action=argparse.BooleanOptionalAction, default=None)
    for verb in (add, update):
        where = verb.add_mutually_exclusive_group()
        where.add_argument("--credentials-env", metavar="NAME", help="take them from this environment variable")
        where.add_argument("--credentials-file", type=Path, metavar="FILE", help="take them from this file")
        where.add_argument("--credentials", action="store_true", help="ask for a token, or read it from standard input")
        if verb is update:
            where.add_argument("--no-credentials", action="store_true", help="remove them")
    _within(within, "enable", "switch one on").add_argument("name")
    _within(within, "disable", "switch one off; its agents go on, unseen").add_argument("name")
    rename = _within(within, "rename", "name one anew, as long as no sessions of it are on record")
    rename.add_argument("name")
    rename.add_argument("new_name", metavar="NEW")
    _within(within, "check", "try one's connection, stage by stage").add_argument("name")
    _within(within, "remove", "remove one; its sessions stay on record").add_argument("name")


def _within_record(nested: _Verbs, name: str, what: str) -> argparse.ArgumentParser:
    shared = _shared("print JSON", suppress=True, record=True)
    return nested.add_parser(name, help=what, description=what, parents=[shared])


def _audit_filters(parser: argparse.ArgumentParser, *, suppress: bool = False) -> None:
    group = parser.add_argument_group("which rows", argument_default=argparse.SUPPRESS if suppress else None)
    group.add_argument("--user")
    group.add_argument("--session", metavar="ID")
    group.add_argument("--provider")
    group.add_argument("--action", choices=[a.value for a in AuditAction if a is not AuditAction.UNREADABLE])
    group.add_argument("--outcome", choices=[outcome.value for outcome in AuditOutcome])
    group.add_argument("--from", dest="since", metavar="TIME")
    group.add_argument("--to", dest="until", metavar="TIME")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("give a number from 1 up")
    return value


def _days(text: str) -> int | None:
    if text == "default":
        return None
    value = int(text)
    if not 1 <= value <= RETENTION_DAYS_MAX:
        raise argparse.ArgumentTypeError(f"give a number from 1 to {RETENTION_DAYS_MAX}, or default")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 500:
        raise argparse.ArgumentTypeError("give a number from 0 to 500")
    return value
