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


def test_python_holds_no_item_of_a_layout() -> None:
    """PySide6 makes objects of Python of the items of a filled layout that is put into another one, and of those that
    it is asked for. Nobody tells them when Qt deletes the item: what lies at its address next is taken for it."""
    window = sorted((SOURCE / "ui").rglob("*.py"))
    found = [f"{name_of(path)}:{line} filled before it stands" for path in window for line in _filled_too_early(path)]
    asking = re.compile(r"\.(itemAt|takeAt|itemAtPosition)\(|^class \w+\(.*\bQLayout\b")
    found += [
        f"{name_of(path)}:{number} {line.strip()}"
        for path in [*window, *sorted((ROOT / "tests").rglob("*.py"))]
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if asking.search(line)
    ]
    assert found == []


def test_no_view_asks_the_keyboard_which_row_to_choose() -> None:
    """`setCurrentIndex` of a view leaves the selection behind while Ctrl is held: `ui.choosing` says how it is done."""
    asking = re.compile(r"\b(self|tree|table|list)\.(setCurrentIndex|setCurrentRow|setCurrentItem)\(")
    found = [
        f"{name_of(path)}:{number} {line.strip()}"
        for path in sorted((SOURCE / "ui").rglob("*.py"))
        if path.parent.name != "transcript"  # Its rows are not selected, only current.
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if asking.search(line)
    ]
    assert found == []


def test_a_layout_that_is_filled_too_early_is_found(tmp_path: Path) -> None:
    place = tmp_path / "one.py"
    place.write_text(
        "def early(outer):\n    row, line = QHBoxLayout(), QHBoxLayout()\n    outer.addLayout(line)\n"
        "    row.addWidget(x)\n    line.addWidget(x)\n    outer.addLayout(row, 1)\n    outer.addLayout(made())\n"
        "def form(self):\n    self.row = QHBoxLayout()\n    self.row.addStretch(1)\n    self.fo.addRow('', self.row)\n"
        "    row = QHBoxLayout()\n    self.fo.addRow('', row)\n    row.addWidget(x)\n"
    )
    assert _filled_too_early(place) == [6, 7, 11]


def _filled_too_early(path: Path) -> list[int]:
    """Lines that put a layout into another one after something was put into it, or one that comes from elsewhere."""
    text = path.read_text()
    found: list[int] = []
    for scope in ast.walk(ast.parse(text)) if re.search(r"\.(add|insert)(Layout|Row)\(", text) else ():
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        made: set[str] = set()
        filled: set[str] = set()
        for node in sorted((n for n in ast.walk(scope) if isinstance(n, ast.stmt)), key=lambda n: n.lineno):
            if isinstance(node, ast.Assign) and re.search(r"\bQ\w+Layout\(\)", ast.unparse(node.value)):
                names = [n for t in node.targets for n in (t.elts if isinstance(t, ast.Tuple) else [t])]
                made |= (new := set(map(ast.unparse, names)))
                filled -= new
            call = node.value if isinstance(node, ast.Expr) else None
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            what, whose = call.func.attr, ast.unparse(call.func.value)
            if what in ("addLayout", "insertLayout", "addRow", "insertRow"):
                elsewhere = what.endswith("Layout") and any(isinstance(one, ast.Call) for one in call.args)
                if elsewhere or any(ast.unparse(one) in filled for one in call.args):
                    found.append(node.lineno)
            if whose in made and what.startswith(("add", "insert")):
                filled.add(whose)
    return sorted(set(found))


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
