"""An audit of dependencies: licences, known problems, updates. The packages are invented, the checks are real."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from mission_control_desktop.orchestrator.demo.mind import Helper, Mind, Mission, Step

_NAMES = (
    "aster",
    "birch",
    "cedar",
    "dahlia",
    "elder",
    "fennel",
    "gorse",
    "hazel",
    "iris",
    "juniper",
    "kale",
    "laurel",
    "maple",
    "nettle",
    "olive",
    "poplar",
)
_ALLOWED = ("Apache-2.0", "MIT", "BSD-3-Clause", "ISC")


def prepare(folder: Path, rng: Random) -> None:
    lock = folder / "lock.json"
    if lock.is_file():
        return
    packages = []
    for index, name in enumerate(_NAMES):
        licence = "unknown" if index == 6 else "AGPL-3.0-only" if index == 11 else rng.choice(_ALLOWED)
        major, minor = rng.randrange(1, 5), rng.randrange(0, 9)
        newer = f"{major}.{minor + rng.randrange(0, 3)}.0"
        packages.append({"name": name, "version": f"{major}.{minor}.0", "newest": newer, "licence": licence})
    lock.write_text(json.dumps(packages, indent=1) + "\n", encoding="utf-8")
    advisories = [
        {"package": name, "id": f"DEMO-{2024 + index}-{rng.randrange(1000, 9999)}", "severity": severity}
        for index, (name, severity) in enumerate((("cedar", "high"), ("hazel", "low"), ("olive", "medium")))
    ]
    (folder / "advisories.json").write_text(json.dumps(advisories, indent=1) + "\n", encoding="utf-8")
    used = [f"src/{rng.choice(('api', 'cli', 'web'))}.py: import {rng.choice(_NAMES[:10])}" for _ in range(30)]
    (folder / "imports.txt").write_text("\n".join([*used, "src/web.py: import cedar", ""]), encoding="utf-8")


def _packages(folder: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads((folder / "lock.json").read_text(encoding="utf-8"))
    return found


def _advisories(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "advisories.json").read_text(encoding="utf-8"))
    return found


# -- the orchestrator's steps


def look(mind: Mind) -> None:
    mind.think(
        "An audit answers three questions: may we ship it, is it safe, and is it old. They need different eyes. The "
        "list of what is really used decides how urgent each answer is."
    )
    mind.say(
        "*Demo mission: scripted, no model is asked.*\n\nI audit the **dependencies** of this project. The packages "
        "are invented; what I do with them is not."
    )
    mind.run("grep -c '\"name\"' lock.json", "How many packages?")
    mind.run("sort imports.txt | uniq -c | sort -rn | head -n 8", "What is imported most?")


def inventory(mind: Mind) -> None:
    mind.say("I would like to write the inventory down, so that everyone below me works from the same list.")
    rows = "\n".join(f"| {p['name']} | {p['version']} | {p['licence']} |" for p in _packages(mind.folder))
    text = f"# Inventory\n\n| package | version | licence |\n|---|---|---|\n{rows}\n"
    if mind.ask_to_write("inventory.md", text, "Write the inventory of all packages"):
        mind.say("The inventory is written.")
    else:
        mind.say("You declined. Then everyone reads the lock file; it only takes longer.")


def share(mind: Mind) -> None:
    mind.say(
        "Now the three questions, each with a sub-agent:\n\n"
        "- **licences**: may we ship it?\n- **advisories**: is it safe?\n- **updates**: is it old?"
    )
    mind.delegate([LICENCES, ADVISORIES, UPDATES])


def doubts(mind: Mind) -> None:
    mind.say("There are packages that nobody seems to import. I have that looked at in a session below mine.")
    mind.sub_session(UNUSED)
    mind.gather()


def weigh(mind: Mind) -> None:
    mind.think(
        "High and exposed comes first, then the licence that we may not ship, then the unknown one, then the old ones."
    )
    lines = ["# Audit", ""]
    for name in ("licences.md", "advisories.md", "updates.md", "unused.md"):
        if (mind.folder / name).is_file():
            lines += [f"## {name.removesuffix('.md').capitalize()}", "", mind.read(name).strip(), ""]
    if mind.notes:
        lines += ["## Said by the operator", "", *[f"- {note}" for note in mind.notes], ""]
    for advisory in _advisories(mind.folder):
        mind.consider(
            f"{advisory['package']} in the whole", f"grep -rn {advisory['package']} --include='*.md' . | head -n 6"
        )
        mind.say(f"`{advisory['package']}` is settled: {advisory['severity']}, and we know where it is used.")
    for package in _packages(mind.folder)[6:12]:
        mind.consider(f"{package['name']} in the whole", f"grep -rn {package['name']} --include='*.md' . | head -n 4")
        mind.say(f"`{package['name']}` stands where it belongs.")
    mind.write("audit.md", "\n".join(lines) + "\n", "Put the audit together")


def finish(mind: Mind) -> None:
    bad = [p["name"] for p in _packages(mind.folder) if p["licence"] not in _ALLOWED]
    told = "".join(f"\n- you said: “{note}”" for note in mind.notes)
    left_out = f"\n\nLeft out: {', '.join(mind.skipped)}." if mind.skipped else ""
    mind.say(
        "## Audit of dependencies\n\n"
        "| order | what | why |\n|---|---|---|\n| 1 | update `cedar` | an advisory of severity high, and it is used |\n"
        f"| 2 | replace {' and '.join(f'`{name}`' for name in bad)} | licence |\n"
        "| 3 | update the rest | age alone |\n\n"
        "```json\n" + json.dumps({"packages": len(_packages(mind.folder)), "blocked": bad}, indent=2) + "\n```"
        f"{told}{left_out}\n\nThe whole of it is in `audit.md`. I wait for your word."
    )


# -- the helpers' work


def check_licences(mind: Mind) -> str:
    mind.say("I compare each licence with the list of those that we may ship.")
    mind.run('grep -oE \'"licence": "[^"]*"\' lock.json | sort | uniq -c | sort -rn', "Licences by number")
    bad = []
    for package in _packages(mind.folder):
        if package["licence"] in _ALLOWED:
            mind.say(f"`{package['name']}`: {package['licence']}, fine.")
        else:
            bad.append(package)
            mind.think(f"{package['licence']} is not on the list. Is it linked, or only used to build? It is imported.")
            mind.say(f"`{package['name']}`: **{package['licence']}** is not on the list. I note it.")
        mind.consider(package["name"], f"grep -n -A 3 '\"{package['name']}\"' lock.json")
    mind.write("licences.md", "\n".join(f"- `{p['name']}` {p['version']}: {p['licence']}" for p in bad) + "\n")
    return f"Result: {len(bad)} of {len(_NAMES)} packages have a licence that we may not ship: " + ", ".join(
        p["name"] for p in bad
    )


def check_advisories(mind: Mind) -> str:
    mind.say("I go through the advisories. How bad one is depends on whether we use the part at all.")
    mind.read("advisories.json")
    mind.say("A sub-agent of mine finds out where the packages are used.")
    mind.delegate([EXPOSURE])
    lines = []
    for advisory in _advisories(mind.folder):
        name = advisory["package"]
        used = mind.run(f"grep -c 'import {name}' imports.txt || true", f"How often is {name} imported?").split()[0]
        mind.say(f"`{name}`: {advisory['id']}, severity **{advisory['severity']}**, imported {used} times.")
        mind.consider(f"where {name} is imported", f"grep -n '{name}' imports.txt || true")
        mind.consider(f"the version of {name}", f"grep -A 2 '\"{name}\"' lock.json")
        mind.consider(advisory["id"], f"grep -B 1 -A 1 '{advisory['id']}' advisories.json")
        lines.append(f"- `{name}` {advisory['id']}: {advisory['severity']}, imported {used} times")
    mind.gather()
    mind.write("advisories.md", "\n".join(lines) + "\n")
    return f"Result: {len(lines)} advisories, one of them high and in use."


def find_exposure(mind: Mind) -> str:
    mind.say("I look at each program for the packages that have advisories.")
    for program in ("api", "cli", "web"):
        mind.run(f"grep '^src/{program}.py' imports.txt | grep -cE 'cedar|hazel|olive' || true", f"src/{program}.py")
        mind.say(f"`src/{program}.py` is looked through; what it takes in from outside goes through one function.")
        for name in ("cedar", "hazel", "olive"):
            mind.consider(f"{name} in {program}", f"grep -c '^src/{program}.py: import {name}' imports.txt || true")
    return "Result: only `src/web.py` hands data from outside to `cedar`."


def check_updates(mind: Mind) -> str:
    mind.say("I compare each version with the newest one.")
    old = [p for p in _packages(mind.folder) if p["version"] != p["newest"]]
    for package in old:
        mind.say(f"`{package['name']}` {package['version']} → {package['newest']}")
        mind.consider(
            f"what {package['name']} {package['newest']} changes", f"grep -c {package['name']} imports.txt || true"
        )
    rows = "\n".join(f"| {p['name']} | {p['version']} | {p['newest']} |" for p in old)
    mind.write("updates.md", f"| package | now | newest |\n|---|---|---|\n{rows}\n")
    if mind.ask_to_run("cp lock.json lock.json.bak && ls -l lock.json.bak", "Keep a copy of the lock file") is None:
        return f"Result: {len(old)} packages are behind; no copy of the lock file was kept, as you wished."
    return f"Result: {len(old)} packages are behind; a copy of the lock file is kept."


def find_unused(mind: Mind) -> str:
    mind.say("I look for packages in the lock file that nothing imports.")
    mind.rest(3.0)
    imported = mind.run("sed 's/.*import //' imports.txt | sort -u", "What is imported").split()
    unused = [name for name in _NAMES if name not in imported]
    mind.say(f"{len(unused)} packages are not imported by name: {', '.join(unused)}.")
    mind.rest(3.0)
    if mind.ask_to_write(
        "unused.md", "\n".join(f"- {name}" for name in unused) + "\n", "Write the list of unused packages"
    ):
        return f"Result: {len(unused)} packages are not imported; the list is in `unused.md`."
    return f"Result: {len(unused)} packages are not imported; the list stays between us."


LICENCES = Helper("licences", "Licences", "Write licences.md: what we may not ship.", check_licences)
ADVISORIES = Helper("advisories", "Advisories", "Write advisories.md: known problems in use.", check_advisories)
EXPOSURE = Helper("exposure", "Exposure", "Find where packages with advisories are used.", find_exposure)
UPDATES = Helper("updates", "Updates", "Write updates.md: packages of lock.json with a newer version.", check_updates)
UNUSED = Helper("unused", "Unused packages", "Find packages of lock.json that nothing imports.", find_unused)

AUDIT = Mission(
    "dependency audit",
    ("dependenc", "audit", "licen"),
    prepare,
    [
        Step("Take stock", look),
        Step("Write the inventory", inventory),
        Step("Split the questions", share),
        Step("Look at what nobody uses", doubts),
        Step("Weigh the findings", weigh),
        Step("Report", finish),
    ],
    [LICENCES, ADVISORIES, EXPOSURE, UPDATES, UNUSED],
)
