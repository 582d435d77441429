"""Rules of the house that no linter knows: what would be easy to break and hard to notice."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "mission_control_desktop"
MODULES = sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(path: Path) -> Iterator[tuple[int, str, ast.Call]]:
    """Line, dotted name and node of each call whose name can be read."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
            yield node.lineno, ast.unparse(node.func), node


def test_tasks_are_started_in_one_place() -> None:
    """A bare task is forgotten by the loop, and its exception with it: domain.tasks and TaskGroup own theirs."""
    found = [
        f"{name_of(path)}:{line} {name}"
        for path in MODULES
        if name_of(path) != "src/mission_control_desktop/domain/tasks.py"
        for line, name, _ in calls(path)
        if name.endswith((".create_task", ".ensure_future")) and re.search(r"(loop|asyncio)\b[^.]*\.\w+$", name)
    ]
    assert found == []


def test_no_dialog_runs_a_loop_of_its_own() -> None:
    """`.exec()` in a coroutine keeps other tasks from ever waking (qasync): dialogs are opened, and tell when done."""
    found = [
        f"{name_of(path)}:{line} {name}"
        for path in sorted((SOURCE / "ui").rglob("*.py"))
        for line, name, _ in calls(path)
        if name.rpartition(".")[2] in ("exec", "exec_") and "." in name
    ]
    assert found == []


def test_no_shell_runs_what_somebody_typed() -> None:
    found = [
        f"{name_of(path)}:{line}"
        for path in MODULES
        for line, name, node in calls(path)
        if name.endswith(("create_subprocess_shell", "os.system", "os.popen"))
        or any(word.arg == "shell" and not _is(word.value, False) for word in node.keywords)
    ]
    assert found == []


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_sleeping_is_not_waiting() -> None:
    """Tests await a state. `time.sleep` in one is a guess about a machine."""
    found = [
        f"{name_of(path)}:{line}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for line, name, node in calls(path)
        if name in ("time.sleep", "sleep")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, (int, float))
        and node.args[0].value > 0.5
    ]
    assert found == []


def test_the_keeper_stands_alone() -> None:
    """It outlives every version of us: standard library only, and nothing of ours but itself."""
    import sys

    found = []
    for path in sorted((SOURCE / "orchestrator" / "keeper").glob("*.py")):
        if path.name == "client.py":
            continue  # the control plane's side of it
        for node in ast.walk(ast.parse(path.read_bytes())):
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            for name in names:
                own = name.startswith("mission_control_desktop.orchestrator.keeper")
                if not own and name.partition(".")[0] not in sys.stdlib_module_names:
                    found.append(f"{name_of(path)}:{node.lineno} {name}")
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def test_the_lock_names_no_place_and_every_hash() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    assert [line for line in lines if re.search(r"://|^--|file:", line)] == []
    pins = [line for line in lines if re.match(r"[\w.-]+==", line)]
    assert pins
    assert [line for line in pins if not line.endswith("\\")] == []


def test_the_lock_has_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = {
        match[1].lower().replace("_", "-")
        for match in re.finditer(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    }
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    names = {re.match(r"[\w.-]+", item)[0].lower().replace("_", "-") for item in wanted}  # type: ignore[index]
    assert names - locked == set()
