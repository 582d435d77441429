"""Desks: named arrangements of panels, kept for each set of monitors that they stood on."""
