"""A cgroup v2 of its own for what one keeper starts: nothing that forks can leave it. Linux; standard library only.

It is made below the keeper's own cgroup, so that limits set on that hold for agents too; the keeper itself is never
moved. Below a cgroup that is not ours to write (a login session that the service manager keeps for itself, a container
with a read-only mount, a hybrid host without cgroup v2) there is none, and the sub-reaper alone holds the tree.
A process that may write to another cgroup's `cgroup.procs` can move out: root can, and who owns a common ancestor. Then
it is still below the keeper.

The name says whose it is: `mission-control-` OWNER `-` SESSION `-` TOKEN, OWNER being the directory of all keepers
(device and inode), SESSION the name of this one's, TOKEN the beginning of its marker. Nothing without it is touched.
"""

from __future__ import annotations

import errno
import os

PREFIX = "mission-control-"
MAX_NAME = 64
MAX_GROUPS = 1000
"""How many cgroups that an agent made below its own are looked into."""


class Unusable(Exception):
    """Why there can be no cgroup."""


class Cgroup:
    """One that exists, or did: one that is gone is empty. No method raises OSError."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        return os.path.isdir(self.path)

    @property
    def populated(self) -> bool:
        """Whether anything lives in it or below it, as the kernel says; zombies do not count."""
        return self._event(b"populated")

    @property
    def frozen(self) -> bool:
        """Whether all in it and below it have stopped."""
        return self._event(b"frozen")

    def freeze(self, wanted: bool) -> bool:
        """Have everything stop, or go on. Whether the kernel took the order; `frozen` follows when it is carried out.
        What is frozen lives, cannot fork, and dies of SIGKILL."""
        return self._write("cgroup.freeze", b"1" if wanted else b"0")

    def kill(self) -> bool:
        """SIGKILL to everything in it and below it, and to what is being forked. False where the kernel (before 5.14)
        cannot."""
        return self._write("cgroup.kill", b"1")

    def pids(self) -> list[int]:
        """Who lives in it and below it."""
        return [pid for path in self._groups() for pid in Cgroup(path).own_pids()]

    def own_pids(self) -> list[int]:
        """Who lives in it, not below it."""
        try:
            with open(f"{self.path}/cgroup.procs", "rb", buffering=0) as file:
                return [int(pid) for pid in file.readall().split() if pid != b"0"]
        except OSError:  # gone, or one of threads only: its processes stand in the one above
            return []

    def remove(self) -> bool:
        """Remove it and what was made below it. False while anything lives there."""
        for path in reversed(self._groups()):
            try:
                os.rmdir(path)
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True

    def _groups(self) -> list[str]:
        """It and all below it, parents first."""
        found = [self.path]
        for path in found:
            if len(found) > MAX_GROUPS:
                break
            try:
                with os.scandir(path) as inside:
                    found += [entry.path for entry in inside if entry.is_dir(follow_symlinks=False)]
            except OSError:
                continue
        return found

    def _event(self, name: bytes) -> bool:
        try:
            with open(f"{self.path}/cgroup.events", "rb", buffering=0) as file:
                return name + b" 1" in file.read(4096).splitlines()
        except OSError:
            return False

    def _write(self, name: str, content: bytes) -> bool:
        try:
            fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            os.write(fd, content)
        except OSError:
            return False
        finally:
            os.close(fd)
        return True


def join(path: str) -> None:
    """Move the process that calls this. Raises OSError."""
    fd = os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"0")
    finally:
        os.close(fd)


def own_cgroup(proc: str = "/proc/self") -> str:
    """The directory of the cgroup v2 that this process is in. Raises Unusable."""
    try:
        with open(f"{proc}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            inside = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), None)
        with open(f"{proc}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [_mount(line) for line in file if " - cgroup2 " in line]
    except OSError as error:
        raise Unusable(f"{error.filename} cannot be read: {error.strerror}") from None
    if inside is None or not mounts or ".." in inside.split("/"):
        raise Unusable("no cgroup v2 is mounted that shows this process")
    for root, point in mounts:
        below = root.rstrip("/")
        if inside == root or inside.startswith(below + "/"):
            return f"{point}{inside[len(below) :]}".rstrip("/")
    raise Unusable("no cgroup v2 is mounted that shows this process")


def _mount(line: str) -> tuple[str, str]:
    """Root and mount point of a line of mountinfo."""
    root, point = line.split(" ")[3:5]
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        root, point = root.replace(code, char), point.replace(code, char)
    return root, point


def owner_of(agents: str) -> str:
    """What names of cgroups begin with whose keepers have their directories in `agents`. Raises OSError."""
    found = os.stat(agents)
    return f"{PREFIX}{found.st_dev:x}.{found.st_ino:x}-"


def name_of(directory: str, marker: str) -> str:
    """The name for the keeper with this directory and marker. Raises OSError."""
    directory = os.path.realpath(directory)
    session = "".join(char if char.isalnum() and char.isascii() else "_" for char in os.path.basename(directory))
    return f"{owner_of(os.path.dirname(directory))}{session[-MAX_NAME:]}-{marker[:8]}"


def create(directory: str, marker: str, *, proc: str = "/proc/self") -> Cgroup:
    """A new, empty one for the keeper of this directory. Raises Unusable."""
    parent = own_cgroup(proc)
    if os.getpid() not in Cgroup(parent).own_pids():
        raise Unusable(f"{parent} is not the cgroup of this process")
    try:
        group = Cgroup(f"{parent}/{name_of(directory, marker)}")
        os.mkdir(group.path, 0o755)
    except OSError as error:
        raise Unusable(f"no cgroup can be made in {parent}: {error.strerror}") from None
    reason = None
    if not os.path.exists(f"{group.path}/cgroup.freeze"):
        reason = "this kernel's cgroups cannot be frozen"
    elif not os.access(f"{group.path}/cgroup.procs", os.W_OK):
        reason = f"{group.path}: {os.strerror(errno.EACCES)}"
    if reason is not None:
        group.remove()
        raise Unusable(reason)
    return group


def recorded(directory: str, path: str | None, marker: str) -> Cgroup | None:
    """The one that keeper.json names, if it is there and its name is the one that this keeper gives."""
    if not path:
        return None
    try:
        ours = os.path.basename(path) == name_of(directory, marker)
    except OSError:
        return None
    group = Cgroup(path)
    return group if ours and group.exists else None


def leftovers(agents: str, parents: set[str]) -> list[tuple[str, Cgroup]]:
    """Those in `parents` that keepers with their directories in `agents` made: the session's name, the cgroup."""
    try:
        owner = owner_of(agents)
    except OSError:
        return []
    found: list[tuple[str, Cgroup]] = []
    for parent in sorted(parents):
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            if name.startswith(owner):
                session = name[len(owner) :].rpartition("-")[0]
                found.append((session, Cgroup(f"{parent}/{name}")))
    return found
