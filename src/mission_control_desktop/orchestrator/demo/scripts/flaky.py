"""A flaky test: reproduce it, find out why, mend it, prove it. The test is real and really fails now and then."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from random import Random

from mission_control_desktop.orchestrator.demo.mind import Helper, Mind, Mission, Step

PYTHON = "python3 -I -S" if Path(sys.executable).with_name("python3").exists() else shlex.quote(sys.executable)

_QUEUE = '''"""A queue with one writer and one reader, as found: the reader may be told too early."""

import random


class Queue:
    def __init__(self, seed):
        self.items, self.ready = [], False
        self.chance = random.Random(seed)

    def steps(self, item):
        """What the writer does, in the order in which the reader may see it."""
        return [self._announce, lambda: self.items.append(item)]

    def _announce(self):
        self.ready = True

    def put_and_get(self, item):
        for step in self.steps(item):
            step()
            if self.ready and self.chance.random() < 0.2:  # the reader is quick this time
                return self.items.pop(0) if self.items else None
        return self.items.pop(0)
'''

_TEST = '''"""Fails for some seeds, which is what makes it flaky."""

import sys

sys.path.insert(0, ".")
from work_queue import Queue

first, last = int(sys.argv[1]), int(sys.argv[2])
failed = [seed for seed in range(first, last) if Queue(seed).put_and_get("job") != "job"]
print(f"{last - first - len(failed)} passed, {len(failed)} failed")
if failed:
    print("first failing seeds:", *failed[:6])
sys.exit(1 if failed else 0)
'''

_BROKEN = "return [self._announce, lambda: self.items.append(item)]"
_MENDED = "return [lambda: self.items.append(item), self._announce]"


def prepare(folder: Path, rng: Random) -> None:
    if (folder / "work_queue.py").is_file():
        return
    (folder / "work_queue.py").write_text(_QUEUE, encoding="utf-8")
    (folder / "test_queue.py").write_text(_TEST, encoding="utf-8")
    people = ("ana", "ben", "chloe", "dev")
    lines = []
    for number in range(40):
        text = "tell the reader first: saves a wake-up" if number == 23 else rng.choice(("rename", "comment", "format"))
        file = "work_queue.py" if number == 23 or rng.random() < 0.3 else rng.choice(("api.py", "cli.py", "README.md"))
        lines.append(f"r{number:03d} {rng.choice(people):5} {file:14} {text}")
    (folder / "history.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _failures(output: str) -> int:
    found = re.search(r"(\d+) failed", output)
    return int(found[1]) if found else -1


def _test(mind: Mind, first: int, last: int, title: str) -> int:
    return _failures(mind.run(f"{PYTHON} test_queue.py {first} {last}", title))


# -- the orchestrator's steps


def look(mind: Mind) -> None:
    mind.think(
        "A test that fails now and then is either a bad test or a real race that users meet as well. Guessing is "
        "expensive. Make it fail on demand first; then it is an ordinary bug."
    )
    mind.say(
        "*Demo mission: scripted, no model is asked.*\n\nI hunt the flaky test of the **work queue**. First I want to "
        "see it fail with my own eyes."
    )
    mind.read("test_queue.py")
    failed = _test(mind, 0, 50, "Run the test 50 times")
    mind.say(f"It fails {failed} times out of 50. So it can be reproduced.")


def more_runs(mind: Mind) -> None:
    mind.say("Fifty runs say little about how often. I would like to run it much more often.")
    command = f"{PYTHON} test_queue.py 0 4000"
    output = mind.ask_to_run(command, "Run the test 4000 times")
    if output is None:
        mind.say("You declined; the fifty runs have to do.")
    else:
        mind.say(f"{_failures(output)} of 4000 fail: steady, not a matter of the weather.")


def share(mind: Mind) -> None:
    mind.say(
        "Three questions can be answered at the same time:\n\n"
        "- **which seeds** fail, and what have they in common?\n"
        "- **since when** does it fail?\n"
        "- **what test** would have caught it?\n\n"
        "Each gets a sub-agent."
    )
    mind.delegate([SEEDS, SINCE, CATCH])


def read_code(mind: Mind) -> None:
    mind.say("Meanwhile I read the code, and a second pair of eyes does the same in a session below mine.")
    mind.sub_session(EYES)
    mind.read("work_queue.py")
    mind.think(
        "The writer does two things: put the item in, and say that there is one. If the reader comes between the two, "
        "the order decides. Here the order is: first say it, then do it. That is the wrong way round."
    )
    mind.say(
        "I see it. The writer announces the item **before** it is there:\n\n"
        f"```python\n{_BROKEN}\n```\n\nA quick reader finds an empty queue. I wait for the others before I touch it."
    )
    mind.gather()


def mend(mind: Mind) -> None:
    code = (mind.folder / "work_queue.py").read_text(encoding="utf-8")
    if _MENDED in code:
        mind.say("The order is right already.")
        return
    mind.say("All findings point to the same line. I turn the two steps round; this changes the program, so I ask.")
    if mind.ask_to_write("work_queue.py", code.replace(_BROKEN, _MENDED), "Turn the writer's two steps round"):
        mind.say("Changed. Now the proof.")
    else:
        mind.say("You declined. I leave the code alone and write the change down as a proposal.")
        mind.write("proposal.md", f"Replace\n\n    {_BROKEN}\n\nby\n\n    {_MENDED}\n")


def prove(mind: Mind) -> None:
    total = 0
    for first in range(0, 4000, 500):
        total += _test(mind, first, first + 500, f"Seeds {first} to {first + 499}")
        mind.say(f"{first + 500} runs, {total} failures so far.")
        mind.consider("the line that was changed", "grep -n 'return \\[' work_queue.py")
    mind.write("result.md", f"# Result\n\n4000 runs, {total} failures.\n")


def finish(mind: Mind) -> None:
    path = mind.folder / "result.md"
    result = path.read_text(encoding="utf-8").splitlines()[-1] if path.is_file() else "No proof was run."
    told = "".join(f"\n- you said: “{note}”" for note in mind.notes)
    left_out = f"\n\nLeft out: {', '.join(mind.skipped)}." if mind.skipped else ""
    mind.say(
        f"## The flaky test\n\n**Result:** {result}\n\n"
        "1. *Cause:* the reader was told before the item was there\n"
        "2. *Since:* revision r023, which wanted to save a wake-up\n"
        "3. *Guard:* `guard.py` runs both orders and knows which is right\n\n"
        f"```sh\npython3 test_queue.py 0 4000\n```{told}{left_out}\n\nI wait for your word."
    )


# -- the helpers' work


def find_seeds(mind: Mind) -> str:
    mind.say("I look for what the failing seeds have in common.")
    total = 0
    for first in range(0, 1200, 100):
        failed = _test(mind, first, first + 100, f"Seeds {first} to {first + 99}")
        total += failed
        mind.say(f"{failed} of this hundred fail.")
        mind.consider(f"the first ten of {first}", f"{PYTHON} test_queue.py {first} {first + 10} || true")
    mind.think("About one in five, in every hundred. No pattern by number: so it is chance alone, the reader's speed.")
    mind.write("seeds.md", f"{total} of 1200 seeds fail, spread evenly.\n")
    return f"Result: {total} of 1200 seeds fail, spread evenly; the only thing they share is a quick reader."


def find_since(mind: Mind) -> str:
    mind.say("I go back through the history by halves until I have the revision after which it fails.")
    mind.run("wc -l history.txt", "How long is the history?")
    mind.say("A sub-agent of my own sorts out meanwhile which revisions touch the queue at all.")
    mind.delegate([TOUCHED])
    low, high = 0, 39
    while low < high:
        middle = (low + high) // 2
        mind.run(f"sed -n {middle + 1}p history.txt", f"Look at r{middle:03d}")
        if middle >= 23:
            high = middle
            mind.say(f"At r{middle:03d} it fails: the change is here or before.")
        else:
            low = middle + 1
            mind.say(f"At r{middle:03d} it passes: the change comes later.")
        mind.consider(f"what was done around r{middle:03d}", f"sed -n {max(1, middle - 1)},{middle + 3}p history.txt")
        mind.consider(
            f"who worked before r{middle:03d}", f"head -n {middle + 1} history.txt | cut -c6-10 | sort | uniq -c"
        )
    line = mind.run(f"sed -n {low + 1}p history.txt", f"The revision: r{low:03d}")
    mind.gather()
    mind.write("since.md", line + "\n")
    return f"Result: since r{low:03d}: {line.split(maxsplit=3)[-1]}."


def find_touched(mind: Mind) -> str:
    mind.say("I list the revisions that touch the queue.")
    mind.rest(3.0)
    found = mind.run("grep -c work_queue.py history.txt", "Count them")
    for name in ("ana", "ben", "chloe", "dev"):
        mind.run(f"grep work_queue.py history.txt | grep -c {name} || true", f"Those by {name}")
        mind.say(f"I have gone through {name}'s revisions; most only rename or format.")
        mind.consider(f"the files of {name}", f"grep ' {name}' history.txt | awk '{{print $3}}' | sort | uniq -c")
        mind.consider(f"the last words of {name}", f"grep ' {name}' history.txt | tail -n 3")
    return f"Result: {found.strip()} of 40 revisions touch the queue; one changes what it does."


def write_guard(mind: Mind) -> str:
    mind.say("I write a test that does not depend on luck: it tries both orders and expects the right one.")
    mind.think("No random numbers: let the reader come after every single step, and see whether it finds the item.")
    guard = (
        '"""Lets the reader come in after each step: deterministic, where the old test left it to chance."""\n\n'
        "import sys\n\nsys.path.insert(0, '.')\nfrom work_queue import Queue\n\n"
        "queue = Queue(0)\nfor step in queue.steps('job'):\n    step()\n"
        "    if queue.ready and not queue.items:\n"
        "        print('the reader is told before the item is there')\n        sys.exit(1)\n"
        "print('the order is right')\n"
    )
    mind.write("guard.py", guard)
    before = mind.run(f"{PYTHON} guard.py || true", "Run the guard on the code as it is")
    for sentence in (
        "It fails on the code as found, every time: that is what a test is for.",
        "I read it once more: no sleep, no seed, no thread.",
        "It runs in a few hundredths of a second, so it can run on every change.",
    ):
        mind.say(sentence)
        mind.consider("the guard", "cat guard.py")
        mind.consider("how long it takes", f"time -p {PYTHON} guard.py || true")
    return f"Result: `guard.py` is written; on the code as found it says “{before.splitlines()[0]}”."


def second_look(mind: Mind) -> str:
    mind.say("I read the same file without having heard what the others think.")
    mind.read("work_queue.py")
    for word in ("ready", "items", "chance"):
        found = mind.consider(f"`{word}`", f"grep -n {word} work_queue.py")
        mind.say(f"`{word}` is touched in {len(found.splitlines())} lines.")
    mind.say("`ready` becomes true before `items` has anything in it. I would look there first.")
    return "Result: the order of the two steps is suspicious."


SEEDS = Helper("failing-seeds", "Which seeds fail", "Find out what the failing seeds have in common.", find_seeds)
SINCE = Helper("since-when", "Since when", "Find the revision in history.txt after which the test fails.", find_since)
TOUCHED = Helper("touched-by", "Who touched the queue", "Count the revisions that touch work_queue.py.", find_touched)
CATCH = Helper("guard-test", "A test without luck", "Write guard.py: a test that always finds the bug.", write_guard)
EYES = Helper("second-eyes", "A second pair of eyes", "Read work_queue.py and say what looks wrong.", second_look)

FLAKY = Mission(
    "flaky test hunt",
    ("flaky", "slow", "benchmark", "race", "test hunt", "failing test"),
    prepare,
    [
        Step("See the test fail", look),
        Step("Find out how often", more_runs),
        Step("Split the questions", share),
        Step("Read the code", read_code),
        Step("Mend it", mend),
        Step("Prove it", prove),
        Step("Report", finish),
    ],
    [SEEDS, SINCE, TOUCHED, CATCH, EYES],
)
