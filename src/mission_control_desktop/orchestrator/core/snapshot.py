"""The fold's state as bytes, so that a long journal need not be folded from its first entry.

Bytes of pickle, because the state is a web of objects that share parts; read back by an unpickler that knows the
classes of this state and nothing else, so that no content can run anything. They fit exactly the code that wrote them:
`fingerprint` is a hash over the sources of everything that the state is made of.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import MethodType
from typing import Any

import msgspec

from mission_control_desktop.orchestrator.core.session import SessionCore
from mission_control_desktop.orchestrator.core.spec import SessionSpec

_OURS = tuple(
    f"mission_control_desktop.{part}." for part in ("orchestrator.core", "orchestrator.acp", "domain", "record.ops")
)
_OTHERS = {
    ("collections", "OrderedDict"),
    ("collections", "deque"),
    ("datetime", "datetime"),
    ("datetime", "timezone"),
    ("datetime", "timedelta"),
    ("builtins", "set"),
    ("builtins", "frozenset"),
    ("msgspec._utils", "rebuild"),
}
_SOURCES = ("orchestrator", "orchestrator.core", "orchestrator.acp", "domain", "record")
"""The drivers too: what goes with the state is theirs."""
_SPEC, _NEXT = "spec", "next request"


class DoesNotFit(ValueError):
    """The bytes are not a state of this code."""


@cache
def fingerprint() -> str:
    """Which code the states of this process belong to."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {msgspec.__version__}".encode())
    root = import_module("mission_control_desktop").__file__
    if root is None:
        raise DoesNotFit("the program has no files")
    for package in _SOURCES:
        for path in sorted((Path(root).parent / package.replace(".", "/")).glob("*.py")):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, core: SessionCore) -> None:
        super().__init__(file, protocol=5)
        self._core = core

    def persistent_id(self, obj: Any) -> str | None:
        if obj is self._core.spec:
            return _SPEC
        return _NEXT if isinstance(obj, MethodType) and obj.__self__ is self._core else None


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, core: SessionCore) -> None:
        super().__init__(file)
        self._core = core

    def persistent_load(self, pid: Any) -> Any:
        if pid == _SPEC:
            return self._core.spec
        if pid == _NEXT:
            return self._core.next_request
        raise DoesNotFit(f"an unknown part {pid!r}")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _OTHERS:
            return super().find_class(module, name)
        if f"{module}.".startswith(_OURS) and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type):
                return found
        raise DoesNotFit(f"{module}.{name} is no part of a session's state")


def freeze(core: SessionCore, more: Any = None) -> bytes:
    """The state between two entries. `more` goes with it: plain values and the classes of the state."""
    file = io.BytesIO()
    _Writer(file, core).dump((core.state(), more))
    return file.getvalue()


def thaw(spec: SessionSpec, content: bytes) -> tuple[SessionCore, Any]:
    """A core that goes on where the frozen one stood, and what went with it. DoesNotFit if that cannot be."""
    core = SessionCore(spec)
    try:
        state, more = _Reader(io.BytesIO(content), core).load()
        core.take_state(state)
    except DoesNotFit:
        raise
    except Exception as error:
        raise DoesNotFit(f"{type(error).__name__}: {error}") from error
    return core, more
