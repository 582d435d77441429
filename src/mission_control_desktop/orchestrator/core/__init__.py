"""The session's pure heart: journal entries in, record ops and effects out. No clock, no I/O."""
