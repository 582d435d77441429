"""The keeper's journal, and what turns an agent's two output pipes into its entries. Standard library only.

The keeper does not sync the journal to the disk: it survives the death of every process here, and a power cut ends the
agent as well (the control plane syncs it before it acknowledges an order). If it cannot be written (full disk, quota,
I/O error), entries stay in memory, are served from there, and the write is tried again; a line that was written in part
is cut off. Standard output is kept whole, bounded by the disk.

Standard error is bounded: a burst of 256 KiB, then 4 KiB a second, and after 64 MiB in all 64 bytes a second; what is
not kept is counted in `err` entries with {dropped: n}, and the last line before an exit is always kept.
"""

from __future__ import annotations

import codecs
import errno
import json
import os
import time
from array import array
from bisect import bisect_right
from collections import deque
from json.encoder import encode_basestring

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

READ_BYTES = 65536
BIG_LINE = 262144
"""Longer lines are converted piece by piece, to hold less."""
INDEX_BYTES = 1 << 20
HEAD_BYTES = 1024
STDERR_BURST, STDERR_RATE, STDERR_TOTAL, STDERR_TRICKLE = 262144.0, 4096.0, 64 << 20, 64.0


def last_good(fd: int) -> tuple[int, int]:
    """Number and end (byte position) of the last whole entry of a journal; what follows it was written in part."""
    number = start = end = position = 0
    head = b""
    while chunk := os.pread(fd, READ_BYTES, position):
        at = 0
        while (found := chunk.find(b"\n", at)) >= 0:
            if not (head + chunk[at:found][: 32 - len(head)]).startswith(b'{"n":%d,' % (number + 1)):
                break
            number, start, end = number + 1, end, position + found + 1
            head, at = b"", found + 1
        if found >= 0:
            break
        head += chunk[at : at + 32 - len(head)]
        position += len(chunk)
    try:
        json.loads(os.pread(fd, end - start, start) or b"0")
    except ValueError:  # a torn line, and something that ended it
        return number - 1, start
    return number, end


class Journal:
    """Numbers entries and writes them; readable at any byte position, whether written yet or not."""

    def __init__(self, fd: int, now: Callable[[], float]) -> None:
        self.fd = fd
        self.number, self.end = last_good(fd)
        """Number of the newest entry, and how much of the file is whole entries."""
        os.ftruncate(fd, self.end)
        self.pending: deque[bytes | bytearray] = deque()
        self.pending_bytes = 0
        self.error: str | None = None
        self.retry_at = 0.0
        self._delay = 0.1
        self._now = now
        self._index_numbers, self._index_positions = array("Q", [0]), array("Q", [0])
        """Sparse: the entry after number i begins at position p."""

    @property
    def length(self) -> int:
        return self.end + self.pending_bytes

    def lines(self, texts: list[str], stamp: str) -> None:
        """Standard output, the frequent case: many lines as one write."""
        number = self.number
        parts = []
        for text in texts:
            number += 1
            parts.append(f'{{"n":{number},"t":{stamp},"kind":"in","line":{encode_basestring(text)}}}\n')
        self._append("".join(parts).encode("utf-8"), number)

    def big_line(self, raw: bytearray, stamp: str) -> None:
        """A long line of standard output, converted in pieces."""
        block = bytearray(f'{{"n":{self.number + 1},"t":{stamp},"kind":"in","line":"'.encode())
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        view = memoryview(raw)
        for start in range(0, len(raw), READ_BYTES):
            text = decode(view[start : start + READ_BYTES], start + READ_BYTES >= len(raw))
            block += encode_basestring(text)[1:-1].encode("utf-8")
        view.release()
        block += b'"}\n'
        self._append(block, self.number + 1)

    def entry(
        self, kind: str, line: str | None = None, key: str | None = None, data: dict[str, Any] | None = None
    ) -> int:
        number = self.number + 1
        fields: dict[str, Any] = {"n": number, "t": round(time.time(), 6), "kind": kind}
        if line is not None:
            fields["line"] = line
        if key is not None:
            fields["key"] = key
        if data is not None:
            fields["data"] = data
        # A lone surrogate has no UTF-8: it becomes a question mark.
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        self._append(text.encode("utf-8", "replace") + b"\n", number)
        return number

    def _append(self, block: bytes | bytearray, number: int) -> None:
        if self.length - self._index_positions[-1] >= INDEX_BYTES:
            self._index_numbers.append(self.number)
            self._index_positions.append(self.length)
        self.number = number
        self.pending.append(block)
        self.pending_bytes += len(block)
        if self.error is None:
            self.flush()

    def flush(self) -> None:
        """Write what is pending; on failure keep it, cut off the broken piece and set the time to try again."""
        while self.pending:
            block, written, reason = self.pending[0], 0, None
            try:
                while written < len(block):
                    written += os.pwrite(self.fd, memoryview(block)[written:], self.end + written)
            except OSError as error:
                reason = os.strerror(error.errno or errno.EIO)
            whole = written if reason is None else block.rfind(b"\n", 0, written) + 1
            self.end += whole
            self.pending_bytes -= whole
            if reason is None:
                self.pending.popleft()
                continue
            if whole:
                self.pending[0] = block[whole:]
            self._failed(reason)
            return
        self.error, self._delay = None, 0.1

    def _failed(self, reason: str) -> None:
        self.error = reason
        self.retry_at = self._now() + self._delay
        self._delay = min(self._delay * 2, 2.0)
        try:
            os.ftruncate(self.fd, self.end)
        except OSError:  # readers ignore a torn last line, and the next write begins at `end` anyway
            return

    def read(self, position: int, size: int) -> bytes:
        if position < self.end:
            return os.pread(self.fd, min(size, self.end - position), position)
        offset = position - self.end
        for block in self.pending:
            if offset < len(block):
                return bytes(memoryview(block)[offset : offset + size])
            offset -= len(block)
        return b""

    def position_after(self, number: int) -> int:
        """Where the entry after `number` begins."""
        if number >= self.number:
            return self.length
        at = bisect_right(self._index_numbers, number) - 1
        left, position = number - self._index_numbers[at], self._index_positions[at]
        while left > 0:
            chunk = self.read(position, READ_BYTES)
            lines = chunk.count(b"\n")
            if lines < left:
                left -= lines
                position += len(chunk)
                continue
            start = 0
            for _ in range(left):
                start = chunk.index(b"\n", start) + 1
            return position + start
        return position


class Output:
    """Standard output: lines of any length up to a limit, what is longer is skipped without holding it."""

    def __init__(self, journal: Journal, limit: int) -> None:
        self._journal = journal
        self._limit = limit
        self._partial = bytearray()
        self._skipped = 0
        """Bytes so far of the line that is being skipped; `_partial` then holds its head."""

    def feed(self, data: bytes) -> None:
        stamp = f"{time.time():.6f}"
        if self._partial or self._skipped:
            first, found, data = data.partition(b"\n")
            self._grow(first)
            if not found:
                return
            self._finish(stamp)
        whole, found, rest = data.rpartition(b"\n")
        if found and len(whole) > self._limit:
            for line in whole.split(b"\n"):
                self._grow(line)
                self._finish(stamp)
        elif found:
            texts = whole.decode("utf-8", "replace").split("\n")
            self._journal.lines([text[:-1] if text.endswith("\r") else text for text in texts], stamp)
        self._grow(rest)

    def _grow(self, piece: bytes) -> None:
        if self._skipped:
            self._skipped += len(piece)
            return
        self._partial += piece
        if len(self._partial) > self._limit:
            self._skipped = len(self._partial)
            self._partial = self._partial[:HEAD_BYTES]

    def _finish(self, stamp: str) -> None:
        raw, self._partial = self._partial, bytearray()
        if self._skipped:
            size, self._skipped = self._skipped, 0
            head = raw.decode("utf-8", "replace")
            self._journal.entry("oversize", data={"stream": "stdout", "bytes": size, "head": head})
            return
        if raw.endswith(b"\r"):
            del raw[-1:]
        if len(raw) > BIG_LINE:
            self._journal.big_line(raw, stamp)
        else:
            self._journal.lines([raw.decode("utf-8", "replace")], stamp)

    def end(self) -> None:
        """The last line may lack its break."""
        if self._partial or self._skipped:
            self._finish(f"{time.time():.6f}")


class Errors:
    """Standard error: lines cut to a limit, and bounded in bytes per second and in all."""

    def __init__(self, journal: Journal, limit: int, now: Callable[[], float], pending: int) -> None:
        self._journal, self._limit, self._now, self._pending = journal, limit, now, pending
        self._partial = bytearray()
        self._flood = False
        self._budget, self._filled_at, self._kept = STDERR_BURST, now(), 0
        self.dropped = 0
        self.told_at = 0.0
        self._last_dropped: str | None = None

    def feed(self, data: bytes) -> None:
        now = self._now()
        rate = STDERR_RATE if self._kept < STDERR_TOTAL else STDERR_TRICKLE
        self._budget = min(STDERR_BURST, self._budget + (now - self._filled_at) * rate)
        self._filled_at = now
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = self._take(lines[0])
            if self._budget <= 0:
                self._flood = True
            elif self._budget >= 2048:
                self._flood = False
            if self._flood:  # count them, and keep the last one in mind
                self.dropped += len(lines)
                self._last_dropped = lines[-1][: self._limit].decode("utf-8", "replace")
            else:
                for line in lines:
                    self._line(line)
        room = self._limit - len(self._partial)
        self._partial += rest[: max(0, room)]

    def _take(self, piece: bytes) -> bytes:
        line = bytes(self._partial) + piece
        self._partial = bytearray()
        return line

    def _line(self, line: bytes) -> None:
        text = line[: self._limit].decode("utf-8", "replace")
        if self._flood or self._budget <= 0 or self._journal.pending_bytes > self._pending:
            self.dropped += 1
            self._last_dropped = text
            return
        self.tell()
        self._keep(text)

    def _keep(self, text: str) -> None:
        size = len(text) + 64
        self._budget -= size
        self._kept += size
        self._last_dropped = None
        self._journal.entry("err", line=text[:-1] if text.endswith("\r") else text)

    def tell(self) -> None:
        """Journal how many lines were not kept since it was last said."""
        if self.dropped:
            self._journal.entry("err", data={"dropped": self.dropped})
            self.dropped = 0
        self.told_at = self._now()

    @property
    def tell_at(self) -> float:
        return self.told_at + (1.0 if self._kept < STDERR_TOTAL else 10.0)

    def end(self) -> None:
        """Before an exit: the last words are kept, flood or not."""
        if self._partial:
            self._line(self._take(b""))
        if self._last_dropped is not None:
            self.dropped -= 1
            text = self._last_dropped
            self.tell()
            self._keep(text)
