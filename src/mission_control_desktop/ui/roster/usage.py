"""What a session has used, in few words: tokens and money, as far as its agent tells."""

from __future__ import annotations

from typing import Any

from mission_control_desktop.domain.sessions import AgentSession


def tokens(session: AgentSession) -> int:
    """Tokens of the session so far; what fills the context where no sum is told; 0 if nothing is."""
    usage = session.usage or {}
    total = _number(usage.get("totalTokens")) or _number(usage.get("tokens"))
    if not total:
        total = _number(usage.get("inputTokens")) + _number(usage.get("outputTokens"))
    return int(total or _number(usage.get("used")))


def usage_text(session: AgentSession) -> str:
    """`12.4k · $0.42`; empty if nothing is known."""
    count = tokens(session)
    return " · ".join(part for part in (short_count(count) if count else "", _money(session)) if part)


def usage_detail(session: AgentSession) -> str:
    """A sentence for a tooltip; empty if nothing is known."""
    usage = session.usage or {}
    parts = []
    if count := tokens(session):
        parts.append(f"{count:,} tokens")
    if (used := _number(usage.get("used"))) and (size := _number(usage.get("size"))):
        parts.append(f"context {int(used):,} of {int(size):,}")
    if money := _money(session):
        parts.append(money)
    return "Used: " + ", ".join(parts) if parts else ""


def short_count(count: int) -> str:
    """`950`, `12.4k`, `3.1M`."""
    for limit, divisor, unit in ((1_000, 1, ""), (1_000_000, 1_000, "k"), (10**9, 10**6, "M")):
        if count < limit:
            value = count / divisor
            return f"{value:.1f}{unit}" if unit and value < 100 else f"{value:.0f}{unit}"
    return f"{count / 10**9:.1f}G"


def _money(session: AgentSession) -> str:
    cost = (session.usage or {}).get("cost")
    if not isinstance(cost, dict) or not (amount := _number(cost.get("amount"))):
        return ""
    currency = str(cost.get("currency") or "USD")[:8]
    figure = f"{amount:,.2f}" if amount >= 0.01 else "<0.01"
    return f"${figure}" if currency == "USD" else f"{figure} {currency}"


def _number(value: Any) -> float:
    """What an agent reports may be anything."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 10**15:
        return 0
    return value
