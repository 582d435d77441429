"""One line to reach everything: sessions, panels, commands and desks, found by a few letters."""
