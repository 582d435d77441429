"""Questions to a person. Opened with `open()` and answered through signals, never with a nested event loop."""
