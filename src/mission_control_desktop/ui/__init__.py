"""The window: Qt widgets, models and presenters. Reaches the rest through `client` and `domain` alone."""
