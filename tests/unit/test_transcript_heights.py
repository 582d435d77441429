"""Heights with chunk sums against a plain list."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mission_control_desktop.ui.transcript.heights import Heights

HEIGHT = st.integers(1, 900)


class HeightsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.heights = Heights()
        self.plain: list[int] = []

    @rule(new=st.lists(HEIGHT, max_size=700))
    def extend(self, new: list[int]) -> None:
        self.heights.extend(new)
        self.plain += new

    @rule(new=st.lists(HEIGHT, max_size=300), share=st.floats(0, 1))
    def insert(self, new: list[int], share: float) -> None:
        row = int(share * len(self.plain))
        self.heights.insert(row, new)
        self.plain[row:row] = new

    @rule(first=st.floats(0, 1), count=st.integers(0, 400))
    def remove(self, first: float, count: int) -> None:
        start = int(first * len(self.plain))
        end = min(len(self.plain), start + count)
        self.heights.remove(start, end)
        del self.plain[start:end]

    @rule(share=st.floats(0, 0.999), height=HEIGHT)
    def change(self, share: float, height: int) -> None:
        if self.plain:
            row = int(share * len(self.plain))
            assert self.heights.set(row, height) == height - self.plain[row]
            self.plain[row] = height

    @invariant()
    def agrees(self) -> None:
        assert len(self.heights) == len(self.plain)
        assert self.heights.total == sum(self.plain)
        if not self.plain:
            assert self.heights.row_at(0) == (-1, 0)
            return
        for row in {0, len(self.plain) // 2, len(self.plain) - 1}:
            top = sum(self.plain[:row])
            assert self.heights.top(row) == top
            assert self.heights.row_at(top) == (row, top)
            assert self.heights.row_at(top + self.plain[row] - 1) == (row, top)
        assert self.heights.row_at(self.heights.total + 5)[0] == len(self.plain) - 1


TestHeights = HeightsMachine.TestCase
TestHeights.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
