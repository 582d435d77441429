"""The style sheet of tabs, splitters and floating panels; replaces the docking library's own."""

from __future__ import annotations

from mission_control_desktop.ui.theme import Theme


def dock_style_sheet(theme: Theme) -> str:
    """The docks' style sheet for a theme."""
    window, surface, border = theme.window.name(), theme.surface.name(), theme.border.name()
    strong, focus, hover = theme.border_strong.name(), theme.focus.name(), theme.hover.name()
    return f"""
ads--CDockContainerWidget, ads--CDockAreaWidget {{ background: {window}; }}
ads--CDockAreaWidget {{ border: 1px solid {border}; }}
ads--CDockAreaTitleBar {{ background: {window}; padding: 0; border: 0; }}
ads--CDockWidgetTab {{ background: {window}; border: 0; border-bottom: 2px solid transparent;
  padding: 1px 4px 0 4px; min-height: 24px; }}
ads--CDockWidgetTab[activeTab="true"] {{ background: {surface}; border-bottom-color: {strong}; }}
ads--CDockWidgetTab[focused="true"] {{ background: {surface}; border-bottom-color: {focus}; }}
ads--CDockWidgetTab QLabel {{ color: {theme.text_muted.name()}; background: transparent; }}
ads--CDockWidgetTab[activeTab="true"] QLabel {{ color: {theme.text.name()}; }}
ads--CDockWidget {{ background: {surface}; border: 0; }}
ads--CDockSplitter::handle {{ background: {border}; }}
#tabCloseButton {{ background: transparent; border: 0; padding: 2px; min-height: 0; }}
#tabCloseButton:hover {{ background: {hover}; }}
#tabCloseButton:focus {{ border: 1px solid {focus}; }}
ads--CFloatingDockContainer {{ background: {window}; }}
"""
