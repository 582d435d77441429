"""The main window: header, roster, panels, drawer, and what ties them together."""
