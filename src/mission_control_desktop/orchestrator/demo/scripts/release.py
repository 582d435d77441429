"""Release notes: read a log of changes, have parts of the notes written, put them together."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

from mission_control_desktop.orchestrator.demo.mind import NOTES, Helper, Mind, Mission, Step

OLD, NEW = "2.3.4", "2.4.0"
_PARTS = (("changes.md", "What is new"), ("upgrade.md", "Before you upgrade"), ("packages.md", "Packages"))
_AREAS = ("search", "sync", "editor", "export", "login", "settings", "offline mode", "import")
_FEATURES = (
    "show results while typing",
    "remember the last folder",
    "drag several items at once",
    "export to a single file",
    "dark colours follow the system",
    "keyboard shortcut for everything in the menu",
    "resume an interrupted transfer",
)
_FIXES = (
    "no crash on an empty list",
    "wait for the disk before closing",
    "keep the cursor where it was",
    "count hidden items",
    "time zone of recurring events",
    "leak of one handle per reload",
    "a long name no longer breaks the layout",
)
_BREAKS = {
    17: ("drop the configuration format of 1.x", "app --config old.ini", "app --config new.toml"),
    38: ("rename --fast to --no-verify", "app --fast sync", "app --no-verify sync"),
    51: ("require TLS for remote folders", "app open http://host/folder", "app open https://host/folder"),
}


def prepare(folder: Path, rng: Random) -> None:
    log = folder / "commits.log"
    if log.is_file():
        return
    lines = []
    for number in range(64):
        kind = "break" if number in _BREAKS else rng.choice(("feat", "fix", "fix", "fix", "docs", "chore"))
        text = {"feat": rng.choice(_FEATURES), "fix": rng.choice(_FIXES), "break": _BREAKS.get(number, ("",))[0]}.get(
            kind, "keep things tidy"
        )
        lines.append(f"{rng.getrandbits(28):07x} {kind}({rng.choice(_AREAS)}): {text} (#{1200 + number})")
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "VERSION").write_text(OLD + "\n", encoding="utf-8")
    changelog = f"# Changelog\n\n## {OLD}\n\n- Fix: the window opens on the right screen again\n"
    (folder / "CHANGELOG.md").write_text(changelog, encoding="utf-8")


def _commits(folder: Path, kind: str) -> list[tuple[str, str, str]]:
    """(area, text, number) of the changes of one kind."""
    found = re.findall(rf"^\w+ {kind}\(([^)]*)\): (.*) \(#(\d+)\)$", (folder / "commits.log").read_text(), re.M)
    return [(area, text, number) for area, text, number in found]


# -- the orchestrator's steps


def look(mind: Mind) -> None:
    mind.think(
        "A release has three readers: people who upgrade without reading, people who read only what breaks, and "
        "people who package it. The log is the source; the notes are a selection. First see how much there is."
    )
    mind.say(
        f"*Demo mission: scripted, no model is asked.*\n\nI prepare release **{NEW}**. I look at the log of changes "
        "since the last release, then I split the work."
    )
    mind.run("wc -l commits.log && tail -n 5 commits.log", "Count the changes")
    mind.run("sed -E 's/^[0-9a-f]+ ([a-z]+).*/\\1/' commits.log | sort | uniq -c | sort -rn", "Group them by kind")


def bump(mind: Mind) -> None:
    mind.say(f"There are changes that break something, so this is a minor release with a note: {OLD} becomes {NEW}.")
    if mind.ask_to_write("VERSION", NEW + "\n", f"Change VERSION from {OLD} to {NEW}"):
        mind.say("Thank you. The version is changed.")
    else:
        mind.say("You declined, so the version stays as it is. I go on and mark the notes as a **draft**.")


def share(mind: Mind) -> None:
    mind.say(
        "The notes have three parts that do not depend on each other:\n\n"
        "1. **features and fixes**, one line each, grouped by area\n"
        "2. **upgrade notes** for what breaks\n"
        "3. **packages**: names, sizes, checksums\n\n"
        "I give each to a sub-agent."
    )
    mind.delegate([CHANGES, UPGRADE, PACKAGES])


def review(mind: Mind) -> None:
    mind.say("While they work, a reader of its own checks the wording of the log, in a session below mine.")
    mind.sub_session(WORDING)
    mind.gather()


def assemble(mind: Mind) -> None:
    parts = []
    for name, heading in (
        ("changes.md", "What is new"),
        ("upgrade.md", "Before you upgrade"),
        ("packages.md", "Packages"),
    ):
        if (mind.folder / name).is_file():
            parts.append(f"### {heading}\n\n{mind.read(name).strip()}\n")
        else:
            parts.append(f"### {heading}\n\n*Missing: nobody wrote {name}.*\n")
    draft = (mind.folder / "VERSION").read_text().strip() != NEW
    title = f"## {NEW}{' (draft)' if draft else ''}"
    if mind.notes:
        parts.append("### Said by the operator\n\n" + "\n".join(f"- {note}" for note in mind.notes) + "\n")
    old = (mind.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    head, _, rest = old.partition("\n\n")
    rest = re.sub(rf"## {re.escape(NEW)}.*?(?=\n## {re.escape(OLD)})", "", rest, flags=re.S).lstrip()
    mind.write("CHANGELOG.md", f"{head}\n\n{title}\n\n" + "\n".join(parts) + f"\n{rest}", "Put the notes together")


def read_again(mind: Mind) -> None:
    mind.say("Before I call it done I read the whole of it once more, as someone who upgrades on a Friday evening.")
    for heading in ("### What is new", "### Before you upgrade", "### Packages"):
        found = mind.consider(heading.strip("# "), f"grep -n -A 6 '{heading}' CHANGELOG.md")
        line = found.partition(":")[0] or "?"
        mind.say(f"“{heading.strip('# ')}” stands at line {line}; it says enough.")
    for area in _AREAS[:5]:
        count = mind.consider(f"{area} in the notes", f"grep -c '{area}' CHANGELOG.md || true").strip()
        mind.say(f"`{area}` is named {count} times, as often as the log gives reason to.")


def finish(mind: Mind) -> None:
    size = len((mind.folder / "CHANGELOG.md").read_text(encoding="utf-8").splitlines())
    left_out = f"\n\nLeft out: {', '.join(mind.skipped)}." if mind.skipped else ""
    told = "".join(f"\n- you said: “{note}”" for note in mind.notes)
    mind.say(
        f"## Release {NEW} is prepared\n\n"
        f"`CHANGELOG.md` has {size} lines now.\n\n"
        "| part | by |\n|---|---|\n| features and fixes | sub-agent, with one of its own for the links |\n"
        "| upgrade notes | sub-agent |\n| packages | sub-agent |\n| wording | session below mine |\n\n"
        "To look at it:\n\n```sh\nhead -n 40 CHANGELOG.md\ncat VERSION\n```"
        f"{told}{left_out}\n\nI wait for your word."
    )


# -- the helpers' work


def write_changes(mind: Mind) -> str:
    mind.say("I collect features and fixes from the log and group them by area. Nothing is left out or invented.")
    mind.think("The same fix often appears twice under different words. Number and area together are unique enough.")
    mind.run("grep -cE ' (feat|fix)\\(' commits.log", "Count features and fixes")
    mind.say("The numbers must lead somewhere, so I let a sub-agent of my own check them meanwhile.")
    mind.delegate([LINKS])
    lines, counted = [], 0
    for kind, heading in (("feat", "New"), ("fix", "Fixed")):
        lines.append(f"**{heading}**\n")
        by_area: dict[str, list[tuple[str, str]]] = {}
        for area, text, number in _commits(mind.folder, kind):
            by_area.setdefault(area, []).append((text, number))
        for area in sorted(by_area):
            entries = by_area[area]
            counted += len(entries)
            mind.say(
                f"`{area}` has {len(entries)} {'entry' if len(entries) == 1 else 'entries'} under *{heading.lower()}*; "
                f"the newest is “{entries[-1][0]}” ({_number(entries[-1][1])})."
            )
            mind.consider(f"{area}, {heading.lower()}", f"grep -nE ' {kind}\\({area}\\)' commits.log | tail -n 4")
            lines += [f"- {area}: {text} ({_number(number)})" for text, number in entries]
        lines.append("")
    mind.write("changes.md", "\n".join(lines))
    mind.gather()
    return f"Result: `changes.md` has {counted} entries; the numbers were checked by a sub-agent of mine."


def _number(number: str) -> str:
    return f"#{number}"


def check_links(mind: Mind) -> str:
    mind.say("I check that every number in the log is used once.")
    mind.rest(2.0)
    twice = mind.run("grep -oE '#[0-9]+' commits.log | sort | uniq -d | wc -l", "Look for numbers that occur twice")
    for first in range(1200, 1264, 8):
        numbers = "|".join(str(number) for number in range(first, first + 8))
        found = mind.consider(f"#{first} to #{first + 7}", f"grep -cE '#({numbers})\\)' commits.log")
        mind.say(f"Of the eight numbers from #{first} on, {found.strip()} are there, each with one line.")
    return f"Result: 64 numbers, {twice.strip()} of them twice."


def write_upgrade(mind: Mind) -> str:
    mind.say("I write what people must do before they upgrade. Only what breaks belongs here.")
    mind.run("grep -nE ' break\\(' commits.log", "Find what breaks")
    lines = []
    for area, text, number in _commits(mind.folder, "break"):
        _, before, after = _BREAKS[int(number) - 1200]
        mind.think(f"Who is hit by “{text}”? Everyone who uses {area} from a script. They need the one line to change.")
        mind.say(
            f"**{area}: {text}**\n\nWho: people with scripts around {area}. What to do: change the call once. "
            "How to see it: the old call ends with code 2 and says what to write instead.\n\n"
            f"```sh\n# before\n{before}\n# after\n{after}\n```"
        )
        mind.consider(f"who still writes “{before}”", f"grep -n '({area})' commits.log | head -n 5")
        mind.consider(f"what happens after “{after}”", "cat VERSION && wc -l CHANGELOG.md")
        lines.append(f"- **{area}**: {text} ({_number(number)}). Change the call once; the old one says what to write.")
    known = mind.folder / NOTES
    if known.is_file():
        lines.append("\n" + known.read_text(encoding="utf-8").partition("\n")[2].strip())
    mind.write("upgrade.md", "\n".join(lines) + "\n")
    return f"Result: `upgrade.md` names {len(_commits(mind.folder, 'break'))} changes that break something."


def build_packages(mind: Mind) -> str:
    mind.say("I build small packages out of the files and take their checksums.")
    for name in ("core", "tools", "docs"):
        mind.run(
            f"tar --sort=name --mtime=2024-01-01 --owner=0 --group=0 -cf {name}-{NEW}.tar commits.log CHANGELOG.md && "
            f"ls -l {name}-{NEW}.tar",
            f"Build {name}-{NEW}.tar",
        )
        mind.say(f"`{name}-{NEW}.tar` is built. Same input, same bytes: the times and owners inside are fixed.")
        mind.consider(f"what is in {name}-{NEW}.tar", f"tar -tvf {name}-{NEW}.tar")
        mind.consider(f"the size of {name}-{NEW}.tar", f"gzip -9 -c {name}-{NEW}.tar | wc -c")
        mind.consider(f"{name}-{NEW}.tar built twice", f"sha256sum {name}-{NEW}.tar")
    sums = mind.run(f"sha256sum ./*-{NEW}.tar", "Checksums")
    rows = "\n".join(
        f"| `{line.split()[1][2:]}` | `{line.split()[0][:16]}…` |" for line in sums.splitlines() if " " in line
    )
    mind.write("packages.md", f"| file | sha256 |\n|---|---|\n{rows}\n")
    return "Result: three packages with checksums in `packages.md`."


def check_wording(mind: Mind) -> str:
    mind.say("I read the log like someone who was not there.")
    for area in _AREAS:
        found = mind.consider(area, f"grep '({area})' commits.log | head -n 6")
        longest = max(found.splitlines(), key=len, default="")
        mind.say(f"“{area}” reads well; its longest line has {len(longest)} characters.")
    return "Result: the wording is fine."


CHANGES = Helper(
    "collect-changes",
    "Features and fixes",
    "Write changes.md: all features and fixes by area.",
    write_changes,
)
LINKS = Helper("check-numbers", "Check the numbers", "Check that each number in commits.log occurs once.", check_links)
UPGRADE = Helper("upgrade-notes", "Upgrade notes", "Write upgrade.md: what breaks in commits.log.", write_upgrade)
PACKAGES = Helper("build-packages", "Packages", f"Build packages of {NEW} and write packages.md.", build_packages)
WORDING = Helper("check-wording", "Check the wording", "Read commits.log for its wording.", check_wording)

RELEASE = Mission(
    "release notes",
    ("release", "changelog"),
    prepare,
    [
        Step("See what has changed", look),
        Step("Change the version", bump),
        Step("Split the work", share),
        Step("Review while the sub-agents work", review),
        Step("Put the notes together", assemble),
        Step("Read it again", read_again),
        Step("Report", finish),
    ],
    [CHANGES, LINKS, UPGRADE, PACKAGES, WORDING],
)
