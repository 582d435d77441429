"""`mission-control` on the command line: the second, smaller client."""
