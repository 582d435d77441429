"""One small process per agent that owns its pipes and processes and writes its journal; and the client of it."""
