"""Settings: a frame, and one file per page."""
