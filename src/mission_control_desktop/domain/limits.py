"""Every bound that a caller can meet, in one place. `docs/limits.md` has them for people."""

# --- how often
BARGE_IN_PER_MINUTE = 10
"""Messages from one operator (or agent) into one session, in any 60 seconds."""

# --- one request
MAX_HEADER_BYTES = 32 * 1024
"""Request line and headers together."""
MAX_QUERY_BYTES = 8_192
MAX_QUERY_FIELDS = 50
MAX_BODY_BYTES = 1_048_576
MAX_DRAINED_BYTES = 16 * MAX_BODY_BYTES
"""How much of a body that is too large is still read, so that its sender sees the answer and not a broken pipe."""
BODY_SECONDS = 60.0
"""A request whose body has not come within this time is given up."""
MAX_JSON_DEPTH = 32
"""Levels of nesting in a body."""
MAX_KEY_CHARS = 200
"""Idempotency-Key: visible ASCII characters and spaces."""
KEY_PATTERN = r"^[!-~]([ -~]*[!-~])?$"
KEY_HOURS = 48
"""How long a key is remembered."""
MAX_EVENT_ID_CHARS = 200
"""Last-Event-ID."""

# --- what a request says
MAX_NAME_CHARS = 200
MAX_PATH_CHARS = 4_096
MAX_SEARCH_CHARS = 500
MAX_CURSOR_CHARS = 1_000
MAX_SEQ = 2**53
MAX_INJECT_CHARS = 120_000
MAX_INJECT_BYTES = 400_000
"""Of a message in UTF-8."""
MAX_REASON_CHARS = 2_000
MAX_POSITION = 10_000
"""The place in a queue that a message can be moved to; what is beyond the end is the end."""
MAX_COMMAND_PARTS = 256
MAX_ENVIRONMENT = 256
"""Variables of a launch profile."""
PAGE_DEFAULT = 100
PAGE_MAX = 500
REPLAY_MAX = 500

# --- how many
MAX_STREAMS_PER_TOKEN = 256
MAX_STREAMS = 2_048
"""Open streams of one server process."""
MAX_TOKENS = 1_000
"""Tokens of one workspace that are neither revoked nor expired."""
MAX_PROFILES = 200
"""Stored launch profiles."""

# --- what is kept
RETENTION_DAYS = 30
"""How long messages are kept where a workspace says nothing else."""
RETENTION_DAYS_MAX = 3_650
MAX_LINE_BYTES = 32 * 1024 * 1024
"""Longest JSON-RPC line accepted from an agent; a longer one is reported and skipped."""
MAX_STORED_CONTENT_CHARS = 1_000_000
"""Longest content of one message on record; what is cut is said in `metadata.truncatedFrom` (characters)."""
