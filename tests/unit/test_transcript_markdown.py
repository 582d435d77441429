"""Streaming equals the whole: the blocks of a text do not depend on how it arrived."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mission_control_desktop.ui.transcript import markdown
from mission_control_desktop.ui.transcript.markdown import BlockParser, Code, Plain, Prose, markdown_blocks

PIECES = st.sampled_from(
    [
        "word ",
        "two words",
        "\n",
        "\n\n",
        "# ",
        "## Heading\n",
        "#tag",
        "- item\n",
        "  - nested\n",
        "1. one\n",
        "```",
        "```python\n",
        "~~~\n",
        "````\n",
        "    indented\n",
        "\t",
        "> quote\n",
        ">",
        "---\n",
        "===\n",
        "| a | b |\n",
        "|---|---|\n",
        "| 1 | 2 |\n",
        "[link]",
        "[link]: http://example.org\n",
        "[link][x] ",
        "[x]: <http://x>\n",
        "<div>\n",
        "</div>",
        "<!-- c\n",
        "-->",
        "**bold** `code` ",
        "\\",
        "ü",
        "🚀",
        " ",
        "   ",
        "\u00a0",
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


@st.composite
def deliveries(draw: st.DrawFn) -> list[str]:
    """A text, cut into deltas anywhere."""
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=25)))
    edges = [0, *cuts, len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@settings(max_examples=400, deadline=None)
@given(deliveries())
def test_any_split_gives_the_blocks_of_the_whole(deltas: list[str]) -> None:
    parser = BlockParser()
    text = ""
    for delta in deltas:
        text += delta
        parser.update(text)
        assert parser.blocks == markdown_blocks(text)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_blocks_are_those_of_one_parse_of_the_whole_text(text: str) -> None:
    blocks = markdown_blocks(text)
    tokens = [
        token
        for token in MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).parse(text)
        if token.level == 0 and token.nesting >= 0 and token.map is not None
    ]
    assert [isinstance(block, Code) for block in blocks] == [t.type in ("fence", "code_block") for t in tokens]
    # Blanks on the last line of a fence that is still open are kept here: the next delta may continue that line.
    code = [token.content.rstrip() for token in tokens if token.type in ("fence", "code_block")]
    assert [block.text.rstrip() for block in blocks if isinstance(block, Code)] == code


@settings(max_examples=100, deadline=None)
@given(deliveries())
def test_closed_blocks_stay_the_same_objects(deltas: list[str]) -> None:
    """What is closed is laid out once: nothing may make it look new, but for late link definitions."""
    parser = BlockParser()
    text = ""
    before: list[object] = []
    for delta in deltas:
        text += delta
        parser.update(text)
        closed = parser.blocks[: parser.closed_count]
        for old, new in zip(before, closed, strict=False):
            if isinstance(old, Prose) and isinstance(new, Prose):
                assert old.text == new.text
            else:
                assert old is new
        assert len(closed) >= len(before)
        before = list(closed)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["line of text ", "\n", "- item\n", "```\n", "x" * 50, "\n\n"]), min_size=1, max_size=60)
)
def test_blocks_longer_than_a_window_do_not_depend_on_the_split_either(pieces: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markdown, "WINDOW", 120)
        parser = BlockParser()
        text = ""
        for piece in pieces:
            text += piece
            parser.update(text)
        assert parser.blocks == markdown_blocks(text)


def test_an_endless_paragraph_is_shown_in_plain_pieces() -> None:
    blocks = markdown_blocks("word " * 20_000)
    assert all(isinstance(block, Plain | Prose) for block in blocks)
    assert max(len(block.text) for block in blocks) <= markdown.WINDOW
    assert "".join(block.text for block in blocks).split() == ["word"] * 20_000


def test_a_link_definition_reaches_blocks_before_it() -> None:
    parser = BlockParser()
    parser.update("See [here].\n\nMore\n\n")
    assert parser.blocks[0] == Prose("See [here].")
    parser.update("See [here].\n\nMore\n\n[here]: https://example.org/a\n")
    assert parser.blocks[0] == Prose("See [here].", "[here]: <https://example.org/a>")


def test_an_open_fence_is_open_and_grows() -> None:
    parser = BlockParser()
    parser.update("```py\nx = 1\n")
    assert parser.blocks == [Code("x = 1", "py", closed=False)]
    parser.update("```py\nx = 1\ny")
    assert parser.blocks == [Code("x = 1\ny", "py", closed=False)]
    parser.update("```py\nx = 1\ny\n```\nafter")
    assert parser.blocks == [Code("x = 1\ny", "py"), Prose("after")]


def test_replaced_text_is_parsed_again() -> None:
    parser = BlockParser()
    assert parser.update("# one\n\ntwo\n\n")
    assert not parser.update("something else")
    assert parser.blocks == [Prose("something else")]


def test_a_long_open_fence_costs_only_its_new_lines() -> None:
    """The fence's lines are looked at once: doubling the text must not quadruple the work."""
    parser = BlockParser()
    text = "```\n"
    for number in range(20_000):
        text += f"line {number}\n"
        if number % 1000 == 0:
            parser.update(text)
    parser.update(text)
    [block] = parser.blocks
    assert isinstance(block, Code)
    assert block.text.count("\n") == 19_999
