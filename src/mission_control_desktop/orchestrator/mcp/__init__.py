"""Mission Control's own MCP server, which every agent is given so that it can start and steer sub-agents."""
