"""Starting agents: the agents found on this computer, the demo mission, and profiles of one's own."""
