"""The HTTP door: authentication, routes, validation, streams. It decides nothing itself."""
