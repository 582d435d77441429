"""Plain types and rules: no I/O, nothing of ours above it, msgspec as its only library."""
