"""Reading fields of raw frames: each helper gives a usable value or nothing, whatever the agent put there."""

from __future__ import annotations

from typing import Any

MAX_FIELD_CHARS = 200_000
"""Longest text kept in one structured field (a diff, an input); the rest is cut and said so."""


def text_of(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def dict_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def bool_of(value: Any) -> bool:
    """Capabilities are announced as true or as an object, which may be empty."""
    return value is True or isinstance(value, dict)


def first_text(source: dict[str, Any], *names: str) -> str | None:
    for name in names:
        value = source.get(name)
        if isinstance(value, str) and value:
            return value
    return None


def bounded(value: Any, budget: int = MAX_FIELD_CHARS, depth: int = 12) -> Any:
    """The value with long texts cut and deep nesting ended, so that one field cannot fill the record."""
    if isinstance(value, str):
        return value if len(value) <= budget else f"{value[:budget]}… ({len(value)} characters)"
    if depth <= 0 and isinstance(value, dict | list):
        return "…"
    if isinstance(value, dict):
        share = max(200, budget // max(1, len(value))) if len(value) > 4 else budget
        return {str(key)[:200]: bounded(item, share, depth - 1) for key, item in list(value.items())[:500]}
    if isinstance(value, list):
        share = max(200, budget // max(1, len(value))) if len(value) > 4 else budget
        return [bounded(item, share, depth - 1) for item in value[:500]]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**63 - 1:
        return str(value)
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value


def block_text(block: Any) -> str:
    """A content block as text: what is no text is named, so that a reader knows that it was there."""
    if isinstance(block, str):
        return block
    content = dict_of(block)
    kind = content.get("type")
    if kind == "text" or (kind is None and "text" in content):
        return text_of(content.get("text")) or ""
    if kind == "resource_link":
        uri = text_of(content.get("uri")) or ""
        return f"[{first_text(content, 'title', 'name') or uri}]({uri})"
    if kind == "resource":
        resource = dict_of(content.get("resource"))
        return text_of(resource.get("text")) or f"[resource {text_of(resource.get('uri')) or ''}]"
    if kind in ("image", "audio"):
        return f"[{kind} {text_of(content.get('mimeType')) or ''}]"
    return f"[{kind}]" if isinstance(kind, str) else ""


def blocks_text(value: Any) -> str:
    """One block, or several, as text."""
    if isinstance(value, list):
        return "\n".join(filter(None, (block_text(item) for item in value[:10_000])))
    return block_text(value)
