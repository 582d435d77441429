"""Row heights in C arrays with chunk sums: a transcript's length costs next to nothing."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import accumulate


class Heights:
    """Pixel heights of rows. Append and set are O(1), look-ups by place O(n / 64), inserting in front O(n) in C."""

    CHUNK = 64

    def __init__(self) -> None:
        self._rows = array("i")
        self._sums = array("q")
        self.total = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> int:
        return self._rows[row]

    def clear(self) -> None:
        self._rows, self._sums, self.total = array("i"), array("q"), 0

    def extend(self, heights: list[int]) -> None:
        """Add rows at the end."""
        for height in heights:
            if len(self._rows) % self.CHUNK == 0:
                self._sums.append(0)
            self._rows.append(height)
            self._sums[-1] += height
            self.total += height

    def insert(self, row: int, heights: list[int]) -> None:
        """Put rows before `row`."""
        if row == len(self._rows):
            self.extend(heights)
            return
        self._rows[row:row] = array("i", heights)
        self._sum()

    def remove(self, start: int, end: int) -> None:
        """Drop rows `start` to `end` - 1."""
        del self._rows[start:end]
        self._sum()

    def set(self, row: int, height: int) -> int:
        """Returns by how much the row changed."""
        change = height - self._rows[row]
        if change:
            self._rows[row] = height
            self._sums[row // self.CHUNK] += change
            self.total += change
        return change

    def top(self, row: int) -> int:
        """Pixels above the row."""
        chunk = row // self.CHUNK
        return sum(self._sums[:chunk]) + sum(self._rows[chunk * self.CHUNK : row])

    def row_at(self, y: int) -> tuple[int, int]:
        """The row that covers `y` and its top; the last row for anything below the end, (-1, 0) without rows."""
        if not self._rows:
            return -1, 0
        top = 0
        chunk = 0
        for height in self._sums:
            if top + height > y:
                break
            top += height
            chunk += 1
        else:
            last = len(self._rows) - 1
            return last, self.total - self._rows[last]
        row = chunk * self.CHUNK
        ends = list(accumulate(self._rows[row : row + self.CHUNK], initial=top))
        place = min(bisect_right(ends, y) - 1, len(ends) - 2)
        return row + place, ends[place]

    def _sum(self) -> None:
        rows, size = self._rows, self.CHUNK
        self._sums = array("q", [sum(rows[start : start + size]) for start in range(0, len(rows), size)])
        self.total = sum(self._sums)
