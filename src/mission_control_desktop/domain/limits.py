"""Every bound that a caller can meet, in one place."""

MAX_INJECT_CHARS = 120_000
MAX_REASON_CHARS = 2_000
MAX_BODY_BYTES = 1_048_576
PAGE_DEFAULT = 100
PAGE_MAX = 500
REPLAY_MAX = 500
MAX_LINE_BYTES = 32 * 1024 * 1024
"""Longest JSON-RPC line accepted from an agent; a longer one is reported and skipped."""
MAX_STORED_CONTENT_CHARS = 1_000_000
"""Longest content of one message on record; what is cut is said in `metadata.truncatedFrom` (characters)."""
