"""The demo's scripts, chosen by the task's words; numbers are seeded by the task, so that it plays alike each time."""

from __future__ import annotations

import random
import zlib

from mission_control_desktop.orchestrator.demo.steps import (
    Ask,
    Collect,
    Delegate,
    Helper,
    Plan,
    Read,
    Run,
    Say,
    Step,
    Think,
    Write,
)

WORKER = "Demo worker:"
"""How the task of a sub-agent begins."""
MODULES = ("indexer", "ranking", "tokenizer", "cache", "gateway", "scheduler", "billing", "export")
ROUNDS = 9
"""How many modules a worker goes through: about a minute and a half at 20 words a second."""


def script_for(task: str) -> tuple[Step, ...]:
    """The steps of a task."""
    numbers = random.Random(zlib.crc32(task.encode()))  # noqa: S311 - a script, not a secret
    low = task.lower()
    if low.startswith(WORKER.lower()):
        return _worker(task[len(WORKER) :].strip(), numbers)
    if "release" in low:
        return _release(numbers)
    if "slow" in low or "search" in low:
        return _search(numbers)
    if "depend" in low or "licence" in low or "audit" in low:
        return _dependencies(numbers)
    return _errand(task)


def _release(numbers: random.Random) -> tuple[Step, ...]:
    plan = ("Collect the changes", "Split the work", "Tag the release candidate", "Merge the results", "Announce")
    changes = "\n".join(f"- {verb} the {module}" for verb, module in zip(_verbs(numbers), MODULES, strict=False))
    return (
        Think("The release needs a changelog, a version bump and packages. The first can be split among sub-agents."),
        Plan(plan),
        Say(
            "## Release 2.4\n\nI start with **what changed** since the last tag. "
            "The commits go into a scratch file that my sub-agents can read."
        ),
        Write("changes.md", f"# Changes since 2.3\n\n{changes}\n"),
        Run("wc -l changes.md && sort changes.md | uniq | head -5", "Count the changes"),
        Plan(plan, 1),
        Ask(
            "Tag v2.4.0-rc1",
            "echo v2.4.0-rc1 > TAG && cat TAG",
            "Tagged. The candidate is `v2.4.0-rc1`.",
            "Understood: **no tag yet**. I go on with the notes and leave the tag to you.",
        ),
        Delegate(
            (
                ("Changelog", "writer", f"{WORKER} write the changelog, and delegate the proof-reading"),
                ("Packages", "builder", f"{WORKER} build the packages for three platforms"),
                ("Upgrade check", "tester", f"{WORKER} test the upgrade from 2.3"),
            )
        ),
        Plan(plan, 2),
        Say(_essay("release notes", numbers, 5)),
        Helper(
            "Spelling",
            "Check the spelling of changes.md",
            (Say("Reading `changes.md` line by line. " + _filler(numbers, 60) + " No mistakes left."),),
        ),
        Write("VERSION", "2.4.0\n"),
        Plan(plan, 3),
        Collect(),
        Plan(plan, 4),
        Say("All parts are in. The notes are ready:\n\n```markdown\n# 2.4\n\n" + changes + "\n```\n"),
        Plan(plan, 5),
        Say("**Done.** Tell me if the announcement should go out, and to whom."),
    )


def _search(numbers: random.Random) -> tuple[Step, ...]:
    plan = ("Reproduce", "Measure", "Find the cause", "Fix", "Prove it")
    timings = [round(numbers.uniform(80, 420), 1) for _ in range(12)]
    return (
        Think("First reproduce it, then measure; a fix without a number proves nothing."),
        Plan(plan),
        Say(
            "## Why search got slow\n\nLast week's p99 went from **120 ms** to over **400 ms**. I write a small probe."
        ),
        Write(
            "probe.py",
            f"times = {timings}\n\n\ndef p99(values):\n    return sorted(values)[int(len(values) * 0.99)]\n\n\n"
            'print(f"p99 {p99(times)} ms of {len(times)} runs")\n',
        ),
        Run("python3 probe.py", "Run the probe"),
        Plan(plan, 1),
        Delegate(
            (
                ("Profile the indexer", "profiler", f"{WORKER} profile the indexer under load"),
                ("Bisect last week", "historian", f"{WORKER} bisect last week's commits, and delegate the builds"),
            )
        ),
        Ask(
            "Run the load test on this machine (2 minutes of CPU)",
            "python3 probe.py > load.txt && cat load.txt",
            "The load test confirms it: the **token cache** misses on each request.",
            "Understood, no load test here. The sub-agents' profiles must do.",
        ),
        Plan(plan, 2),
        Say(_essay("the token cache", numbers, 6)),
        Read("probe.py"),
        Say(
            "The cache key holds the *request id*, so it never hits:\n\n```python\n"
            "def key(request):\n    return (request.id, request.query)   # the id makes every key unique\n```\n"
        ),
        Write("cache.py", "def key(request):\n    return (request.query, request.locale)\n"),
        Plan(plan, 3),
        Collect(),
        Plan(plan, 4),
        Say("| build | p50 | p99 |\n|---|---|---|\n| before | 88 ms | 412 ms |\n| after | 61 ms | 118 ms |\n"),
        Plan(plan, 5),
        Say("**Fixed and measured.** The change is in `cache.py`; I wait for your review."),
    )


def _dependencies(numbers: random.Random) -> tuple[Step, ...]:
    plan = ("List them", "Licences", "Known problems", "Propose updates")
    names = ("aurora-http", "brightlog", "calmcache", "dunefmt", "everqueue", "fieldset")
    lock = "".join(
        f"{name}=={numbers.randint(0, 4)}.{numbers.randint(0, 20)}.{numbers.randint(0, 9)}\n" for name in names
    )
    return (
        Think("Six direct dependencies. Licences and known problems are independent of each other: two sub-agents."),
        Plan(plan),
        Write("requirements.txt", lock),
        Run("sort requirements.txt | cat -n", "List the dependencies"),
        Plan(plan, 1),
        Say("## Dependency audit\n\nSix direct dependencies, pinned. I ask **before** anything is fetched or changed."),
        Ask(
            "Rewrite requirements.txt with the newest compatible versions",
            "sed -i 's/==0\\./==1./' requirements.txt && cat requirements.txt",
            "Updated. I keep the old versions in the report.",
            "Understood: **nothing is updated**, I only report.",
        ),
        Delegate(
            (
                ("Licences", "lawyer", f"{WORKER} read the licence of each dependency"),
                ("Known problems", "guard", f"{WORKER} look for known problems, and delegate the reproduction"),
            )
        ),
        Say(_essay("licence families", numbers, 5)),
        Plan(plan, 2),
        Helper(
            "Sizes",
            "Measure what each dependency weighs",
            (Say("Measuring wheels and start time. " + _filler(numbers, 70) + " Nothing stands out."),),
        ),
        Collect(),
        Plan(plan, 3),
        Write("report.md", "# Dependency report\n\n" + "".join(f"- {name}: fine\n" for name in names)),
        Plan(plan, 4),
        Say("**The report is in `report.md`.** Two packages are worth replacing next quarter; none is urgent."),
    )


def _worker(topic: str, numbers: random.Random) -> tuple[Step, ...]:
    parts = numbers.sample(MODULES, k=min(ROUNDS, len(MODULES)))
    steps: list[Step] = [Think(f"My part: {topic}. I go module by module."), Plan(tuple(parts))]
    if "delegate" in topic:
        inner = topic.rsplit("delegate", 1)[1].strip() or "the rest"
        steps.append(Delegate(((inner.capitalize(), "helper", f"{WORKER} {inner}"),)))
    for at, part in enumerate(parts):
        measured = numbers.randint(12, 240)
        steps += [
            Run(f"printf '%s: %s\\n' {part} {measured} | tee -a findings.txt", f"Look at the {part}"),
            Say(f"**{part}**: {_filler(numbers, 45)} Measured: `{measured}`."),
            Plan(tuple(parts), at + 1),
        ]
    if "delegate" in topic:
        steps.append(Collect())
    steps += [Read("findings.txt"), Say(f"Finished: {topic}. {len(parts)} modules, nothing left open.")]
    return tuple(steps)


def _errand(task: str) -> tuple[Step, ...]:
    return (
        Think("This is not one of the three missions I know, so I show a little of everything."),
        Say(f"I am a **demo agent**: scripted, without a model. You said:\n\n> {task[:400]}\n"),
        Run("pwd && ls -la | head", "Look around"),
        Say("Ask me about a *release*, a *slow search* or an *audit of dependencies* to see a whole mission."),
    )


def _verbs(numbers: random.Random) -> list[str]:
    verbs = ["Rework", "Speed up", "Simplify", "Document", "Harden", "Test", "Rename", "Split"]
    numbers.shuffle(verbs)
    return verbs


def _filler(numbers: random.Random, words: int) -> str:
    openings = ("Checked", "Compared", "Followed", "Read", "Measured")
    objects = ("the entry points", "the error paths", "the tests", "the configuration", "the callers", "the log lines")
    results = ("and found them sound", "twice, with the same result", "against last week's state", "without a surprise")
    said: list[str] = []
    while sum(len(part.split()) for part in said) < words:
        said.append(f"{numbers.choice(openings)} {numbers.choice(objects)} {numbers.choice(results)}.")
    return " ".join(said)


def _essay(topic: str, numbers: random.Random, sections: int) -> str:
    points = [f"{number}. **Step {number}**: {_filler(numbers, 40)}\n" for number in range(1, sections + 1)]
    return "\n".join([f"### On {topic}\n", *points])
