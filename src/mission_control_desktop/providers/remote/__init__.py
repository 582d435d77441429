"""The kind `orchestrator`: the agents of another Mission Control, over HTTP and event streams."""
