"""The entry in the system tray: a small process of its own that stops everything even when no window can."""
