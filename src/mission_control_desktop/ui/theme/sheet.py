"""The style sheet: flat controls with a visible focus. Colours come from the theme; views that paint take the palette.

Properties that widgets set: `kind` on buttons (`primary`, `danger`, `quiet`), `tone` on labels (`muted`, `attention`,
`error`, `title`, `mono`) and `surface` on frames (`window`, `card`, `bar`, `notice`, `error`).
"""

from __future__ import annotations

from pathlib import Path

from mission_control_desktop.ui.theme.fonts import metrics
from mission_control_desktop.ui.theme.tokens import Theme


def _picture(name: str, theme: Theme) -> str:
    """A picture that a style sheet can name. It cannot be coloured there, so each scheme has its own."""
    path = Path(__file__).parents[1] / "resources" / "sheet" / f"{name}-{theme.name}.svg"
    return f'"{path.as_posix()}"'


def style_sheet(theme: Theme) -> str:
    """The application's style sheet for a theme."""
    m = metrics
    pad = 2 if m.compact else 4
    t = {
        name: getattr(theme, name).name()
        for name in (
            "window",
            "surface",
            "surface_raised",
            "text",
            "text_muted",
            "disabled",
            "border",
            "border_strong",
            "hover",
            "selection",
            "accent",
            "on_accent",
            "focus",
            "attention",
            "attention_background",
            "error",
            "error_background",
            "danger",
            "on_danger",
        )
    }
    return f"""
QToolTip {{ background: {t["surface_raised"]}; color: {t["text"]}; border: 1px solid {t["border_strong"]};
  padding: 4px; }}

QPushButton, QToolButton {{ background: {t["surface_raised"]}; color: {t["text"]};
  border: 1px solid {t["border"]}; border-radius: {m.radius}px; padding: {pad}px 10px; min-height: {m.high(18)}px; }}
QToolButton {{ padding: {pad}px 6px; }}
QPushButton:hover, QToolButton:hover {{ background: {t["hover"]}; border-color: {t["border_strong"]}; }}
QPushButton:pressed, QToolButton:pressed, QToolButton:checked, QPushButton:checked {{
  background: {t["selection"]}; border-color: {t["border_strong"]}; }}
QPushButton:focus, QToolButton:focus {{ border: 2px solid {t["focus"]}; padding: {pad - 1}px 9px; }}
QToolButton:focus {{ padding: {pad - 1}px 5px; }}
QPushButton:disabled, QToolButton:disabled {{ color: {t["disabled"]}; background: {t["surface"]};
  border-color: {t["border"]}; border-style: dashed; }}
QToolButton::menu-indicator {{ image: none; width: 0; }}

QPushButton[kind="primary"] {{ background: {t["accent"]}; color: {t["on_accent"]};
  border-color: {t["accent"]}; }}
QPushButton[kind="primary"]:hover {{ border-color: {t["text"]}; }}
QPushButton[kind="primary"]:focus {{ border: 2px solid {t["text"]}; }}
QPushButton[kind="primary"]:disabled {{ background: {t["surface"]}; color: {t["disabled"]};
  border-color: {t["border"]}; border-style: dashed; }}
QPushButton[kind="danger"] {{ background: {t["danger"]}; color: {t["on_danger"]}; border-color: {t["danger"]};
  font-weight: 600; }}
QPushButton[kind="danger"]:hover {{ border-color: {t["text"]}; }}
QPushButton[kind="danger"]:focus {{ border: 2px solid {t["text"]}; }}
QPushButton[kind="danger"]:disabled {{ background: {t["surface"]}; color: {t["disabled"]};
  border-color: {t["border"]}; border-style: dashed; }}
QPushButton[kind="danger-outline"] {{ color: {t["error"]}; border: 1px solid {t["error"]};
  background: transparent; font-weight: 600; }}
QPushButton[kind="danger-outline"]:hover {{ background: {t["error_background"]}; }}
QPushButton[kind="danger-outline"]:focus {{ border: 2px solid {t["error"]}; }}
QPushButton[kind="danger-outline"]:disabled {{ color: {t["disabled"]}; border-color: {t["border"]};
  border-style: dashed; }}
QPushButton[kind="attention"] {{ color: {t["attention"]}; background: {t["attention_background"]};
  border-color: {t["attention"]}; font-weight: 600; }}
QPushButton[kind="card"] {{ background: {t["surface_raised"]}; border: 1px solid {t["border"]};
  border-radius: 6px; text-align: left; }}
QPushButton[kind="card"]:hover {{ border-color: {t["border_strong"]}; }}
QPushButton[kind="card"]:checked {{ border: 2px solid {t["accent"]}; background: {t["surface_raised"]}; }}
QPushButton[kind="card"]:focus {{ border: 2px solid {t["focus"]}; background: {t["hover"]}; }}
QPushButton[kind="quiet"], QToolButton[kind="quiet"] {{ background: transparent; border-color: transparent; }}
QPushButton[kind="quiet"]:hover, QToolButton[kind="quiet"]:hover {{ background: {t["hover"]}; }}
QPushButton[kind="quiet"]:focus, QToolButton[kind="quiet"]:focus {{ border: 2px solid {t["focus"]}; }}
QPushButton[kind="quiet"]:disabled, QToolButton[kind="quiet"]:disabled {{ background: transparent; }}

QLineEdit, QPlainTextEdit, QTextEdit, QComboBox, QAbstractSpinBox {{
  background: {t["surface_raised"]}; color: {t["text"]};
  border: 1px solid {t["border_strong"]}; border-radius: {m.radius}px; padding: 3px 6px;
  placeholder-text-color: {t["text_muted"]};
  selection-background-color: {t["selection"]}; selection-color: {t["text"]}; }}
QLineEdit, QComboBox {{ min-height: {m.high(18 if m.compact else 20)}px; }}
QLineEdit:focus, QPlainTextEdit:focus, QTextEdit:focus, QComboBox:focus, QAbstractSpinBox:focus {{
  border: 2px solid {t["focus"]}; padding: 2px 5px; }}
QLineEdit[invalid="true"], QPlainTextEdit[invalid="true"], QComboBox[invalid="true"] {{
  border: 2px solid {t["error"]}; }}
QLineEdit:disabled, QPlainTextEdit:disabled, QComboBox:disabled, QAbstractSpinBox:disabled {{ color: {t["disabled"]};
  background: {t["surface"]}; border-color: {t["border"]}; border-style: dashed; }}
QPlainTextEdit[shut="true"] {{ color: {t["disabled"]}; background: {t["surface"]}; border-style: dashed; }}
QAbstractSpinBox {{ padding-right: 22px; min-height: {m.high(18 if m.compact else 20)}px; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ subcontrol-origin: border; width: 20px; border: 0;
  background: transparent; }}
QAbstractSpinBox::up-button {{ subcontrol-position: top right; }}
QAbstractSpinBox::down-button {{ subcontrol-position: bottom right; }}
QAbstractSpinBox::up-button:hover, QAbstractSpinBox::down-button:hover {{ background: {t["hover"]}; }}
QAbstractSpinBox::up-arrow {{ image: url({_picture("arrow-up", theme)}); width: 11px; height: 11px; }}
QAbstractSpinBox::down-arrow {{ image: url({_picture("arrow", theme)}); width: 11px; height: 11px; }}
QComboBox::drop-down, QDateTimeEdit::drop-down {{ border: 0; width: 20px; }}
QComboBox::down-arrow {{ image: url({_picture("arrow", theme)}); width: 12px; height: 12px; }}
QCheckBox {{ spacing: 6px; }}
QCheckBox::indicator, QTableView::indicator {{ width: {m.high(14)}px; height: {m.high(14)}px;
  border: 1px solid {t["border_strong"]}; border-radius: 3px;
  background: {t["surface_raised"]}; }}
QCheckBox::indicator:checked, QTableView::indicator:checked {{ background: {t["accent"]}; border-color: {t["accent"]};
  image: url({_picture("check", theme)}); }}
QCheckBox::indicator:disabled, QTableView::indicator:disabled {{ border-color: {t["border"]};
  background: {t["surface"]}; }}
QCheckBox::indicator:checked:disabled {{ background: {t["disabled"]}; border-color: {t["disabled"]}; }}
QRadioButton {{ spacing: 6px; }}
QRadioButton::indicator {{ width: {m.high(14)}px; height: {m.high(14)}px; border: 1px solid {t["border_strong"]};
  border-radius: {m.high(14) // 2 + 1}px; background: {t["surface_raised"]}; }}
QRadioButton::indicator:checked {{ border-color: {t["accent"]}; background: qradialgradient(cx: 0.5, cy: 0.5,
  radius: 0.5, fx: 0.5, fy: 0.5, stop: 0 {t["accent"]}, stop: 0.55 {t["accent"]}, stop: 0.65 {t["surface_raised"]},
  stop: 1 {t["surface_raised"]}); }}
QRadioButton::indicator:disabled {{ border-color: {t["border"]}; background: {t["surface"]}; }}
QRadioButton::indicator:checked:disabled {{ border-color: {t["disabled"]}; background: qradialgradient(cx: 0.5, cy: 0.5,
  radius: 0.5, fx: 0.5, fy: 0.5, stop: 0 {t["disabled"]}, stop: 0.55 {t["disabled"]}, stop: 0.65 {t["surface"]},
  stop: 1 {t["surface"]}); }}
QComboBox QAbstractItemView {{ background: {t["surface_raised"]}; color: {t["text"]};
  selection-background-color: {t["selection"]}; selection-color: {t["text"]};
  border: 1px solid {t["border_strong"]}; }}

QAbstractItemView {{ outline: 0; }}
QTreeView, QTableView, QListView {{ background: {t["surface"]}; color: {t["text"]};
  alternate-background-color: {t["surface"]}; border: 0; gridline-color: {t["border"]};
  selection-background-color: {t["selection"]}; selection-color: {t["text"]}; }}
QTreeView:focus, QTableView:focus {{ border: 2px solid {t["focus"]}; }}
QTableView::item {{ padding: 0 5px; border: 0; }}
QTableView::item:selected {{ background: {t["selection"]}; color: {t["text"]}; }}
QAbstractScrollArea::corner {{ background: transparent; border: 0; }}
QListView[surface="pages"] {{ background: {t["window"]}; border: 0; padding: 12px 8px; }}
QListView[surface="pages"]::item {{ padding: {pad + 3}px 10px; border-radius: {m.radius}px; }}
QListView[surface="pages"]::item:selected {{ background: {t["selection"]}; color: {t["text"]}; }}
QListView[surface="pages"]::item:selected:focus {{ border: 2px solid {t["focus"]}; padding: {pad + 1}px 8px; }}
QListView[surface="card"]::item {{ padding: {pad + 2}px 9px; }}
QTableView[surface="card"], QListView[surface="card"] {{ border: 1px solid {t["border"]}; }}
QTableView[surface="card"]:focus, QListView[surface="card"]:focus {{ border: 2px solid {t["focus"]}; }}
QHeaderView {{ background: {t["surface"]}; }}
QHeaderView::section {{ background: {t["surface"]}; color: {t["text_muted"]}; border: 0;
  border-bottom: 1px solid {t["border"]}; padding: {pad}px 8px; }}
QTableCornerButton::section {{ background: {t["surface"]}; border: 0; }}

QMenuBar {{ background: {t["window"]}; color: {t["text"]}; }}
QMenuBar::item {{ padding: {pad}px 9px; background: transparent; }}
QMenuBar::item:selected {{ background: {t["selection"]}; }}
QMenu {{ background: {t["surface_raised"]}; color: {t["text"]}; border: 1px solid {t["border_strong"]};
  padding: 4px; }}
QMenu::item {{ padding: {pad + 1}px 28px {pad + 1}px 24px; border-radius: {m.radius}px; }}
QMenu::item:selected {{ background: {t["selection"]}; }}
QMenu::item:disabled {{ color: {t["disabled"]}; }}
QMenu::separator {{ height: 1px; background: {t["border"]}; margin: 4px 8px; }}

QStatusBar {{ background: {t["window"]}; color: {t["text_muted"]}; border-top: 1px solid {t["border"]}; }}
QStatusBar::item {{ border: 0; }}

QScrollBar:vertical {{ background: transparent; width: 12px; margin: 0; }}
QScrollBar:horizontal {{ background: transparent; height: 12px; margin: 0; }}
QScrollBar::handle {{ background: {t["border_strong"]}; border-radius: 4px; margin: 2px; }}
QScrollBar::handle:vertical {{ min-height: 28px; }}
QScrollBar::handle:horizontal {{ min-width: 28px; }}
QScrollBar::handle:hover {{ background: {t["text_muted"]}; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: transparent; }}

QSplitter::handle {{ background: {t["border"]}; }}
QMainWindow::separator {{ background: {t["border"]}; width: 1px; height: 1px; }}

QFrame[surface="window"], QWidget[surface="window"] {{ background: {t["window"]}; }}
QFrame[surface="bar"] {{ background: {t["window"]}; border: 0; border-bottom: 1px solid {t["border"]}; }}
QFrame[surface="drawer"] {{ background: {t["surface"]}; border: 0; border-left: 1px solid {t["border_strong"]}; }}
QFrame[surface="palette"] {{ background: {t["surface_raised"]}; border: 1px solid {t["border_strong"]};
  border-radius: 6px; }}
QFrame[surface="palette"] QListView {{ background: {t["surface_raised"]}; }}
QFrame[surface="rule"] {{ background: {t["border"]}; border: 0; }}
QFrame[surface="card"] {{ background: {t["surface_raised"]}; border: 1px solid {t["border"]};
  border-radius: 6px; }}
QFrame[surface="card"]:hover {{ border-color: {t["border_strong"]}; }}
QFrame[surface="card"]:focus {{ border: 2px solid {t["focus"]}; }}
QFrame[surface="notice"] {{ background: {t["attention_background"]}; border: 0;
  border-bottom: 1px solid {t["attention"]}; }}
QFrame[surface="error"] {{ background: {t["error_background"]}; border: 0; border-bottom: 1px solid {t["error"]}; }}

QScrollArea, QScrollArea > QWidget > QWidget {{ background: transparent; }}
QLabel {{ background: transparent; }}
QMessageBox QLabel#qt_msgbox_label {{ font-size: {m.text_large}px; font-weight: 600; min-width: 380px; }}
QLabel[tone="muted"] {{ color: {t["text_muted"]}; }}
QLabel[tone="attention"] {{ color: {t["attention"]}; font-weight: 600; }}
QLabel[tone="error"] {{ color: {t["error"]}; }}
QLabel[tone="title"] {{ font-size: {m.text_title}px; font-weight: 600; }}
QLabel[tone="heading"] {{ font-size: {m.text_large}px; font-weight: 600; }}
QLabel[tone="small"] {{ font-size: {m.text_small}px; color: {t["text_muted"]}; }}
QLabel[tone="badge"] {{ font-size: {m.text_small}px; color: {t["text_muted"]};
  border: 1px solid {t["border_strong"]}; border-radius: {m.radius}px; padding: 0 5px; }}
QLabel[tone="demo"] {{ font-size: {m.text_small}px; font-weight: 600; color: {t["attention"]};
  border: 1px solid {t["attention"]}; border-radius: {m.radius}px; padding: 0 5px; }}

QTabBar::tab {{ background: {t["window"]}; color: {t["text_muted"]}; padding: {pad + 1}px 12px; border: 0;
  border-bottom: 2px solid transparent; }}
QTabBar::tab:selected {{ color: {t["text"]}; border-bottom-color: {t["accent"]}; }}
QTabBar::tab:focus {{ background: {t["selection"]}; }}
QTabWidget::pane {{ border: 0; border-top: 1px solid {t["border"]}; }}
QRadioButton:focus, QCheckBox:focus {{ background: {t["selection"]}; border-radius: {m.radius}px; }}
QProgressBar {{ border: 1px solid {t["border"]}; border-radius: {m.radius}px; background: {t["surface_raised"]};
  color: {t["text"]}; text-align: center; }}
QProgressBar::chunk {{ background: {t["accent"]}; }}
"""
