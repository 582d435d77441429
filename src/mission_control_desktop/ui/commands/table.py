"""Every command of the window as data. Menus, shortcuts, the help page and the tests read this one table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class When(Enum):
    """What must be so for a command to be in effect."""

    ALWAYS = "always"
    CONNECTED = "connected and your role may act"
    PANEL = "a panel is open"
    SESSION = "a session is selected or its panel is active"
    LIVE_SESSION = "a live session is selected and your role may act"


class Menu(Enum):
    """Menus of the menu bar, in order; the value is the title with its access key."""

    MISSION = "&Mission"
    SESSION = "&Session"
    PANELS = "&Panels"
    DESKS = "&Desks"
    VIEW = "&View"
    HELP = "&Help"


@dataclass(frozen=True)
class Command:
    """One command. `keys` are portable key sequences, the first one is shown; `group` sets menu separators."""

    id: str
    title: str
    menu: Menu
    keys: tuple[str, ...] = ()
    when: When = When.ALWAYS
    group: int = 0
    checkable: bool = False
    hint: str = ""


COMMANDS: tuple[Command, ...] = (
    Command("mission.new_agent", "&New agent…", Menu.MISSION, ("Ctrl+N",), When.CONNECTED),
    Command("mission.next_attention", "&Go to the next session that needs you", Menu.MISSION, ("Ctrl+J", "F8")),
    Command("mission.attention", "&What needs you", Menu.MISSION, ("Ctrl+Shift+J", "Shift+F8"), checkable=True),
    Command(
        "mission.approvals",
        "App&rovals…",
        Menu.MISSION,
        ("Ctrl+Shift+O",),
        hint="All questions of agents: those that wait, and who answered earlier ones how.",
    ),
    Command(
        "mission.acknowledge",
        "&Acknowledge",
        Menu.MISSION,
        ("F7",),
        hint="Of what needs you: the chosen row, else the session you are at. It comes back with a new cause only.",
    ),
    Command("mission.shelve_5", "Shelve for &5 minutes", Menu.MISSION, ("Shift+F7",)),
    Command("mission.shelve_30", "Shelve for &30 minutes", Menu.MISSION, ("Ctrl+F7",)),
    Command("mission.shelve_change", "Shelve &until something changes", Menu.MISSION, ("Ctrl+Shift+F7",)),
    Command("mission.settings", "Se&ttings…", Menu.MISSION, ("Ctrl+,",), group=1),
    Command("mission.kill_all", "&Kill All…", Menu.MISSION, ("Ctrl+Shift+K",), When.CONNECTED, group=2),
    Command(
        "mission.close",
        "&Close the window",
        Menu.MISSION,
        ("Ctrl+Q",),
        group=3,
        hint="Closing the window ends no agent.",
    ),
    Command("session.open", "&Open as a panel", Menu.SESSION, ("Ctrl+O",), When.SESSION),
    Command("session.message", "Write a &message", Menu.SESSION, ("Ctrl+M", "Ctrl+I"), When.LIVE_SESSION),
    Command("session.find", "&Find in the transcript", Menu.SESSION, ("Ctrl+F",), When.SESSION),
    Command(
        "session.broadcast",
        "Message to &all selected…",
        Menu.SESSION,
        ("Ctrl+Shift+M",),
        When.CONNECTED,
        hint="One message to each session that is selected in the roster.",
    ),
    Command("session.spawn_below", "&Start an agent below it…", Menu.SESSION, (), When.LIVE_SESSION),
    Command("session.pause_resume", "&Pause or resume", Menu.SESSION, ("Ctrl+P",), When.LIVE_SESSION, group=1),
    Command(
        "session.cancel_turn",
        "Ca&ncel the turn",
        Menu.SESSION,
        ("Ctrl+.",),
        When.LIVE_SESSION,
        group=1,
        hint="What the agent does now ends; the session goes on.",
    ),
    Command(
        "session.terminate",
        "&Terminate…",
        Menu.SESSION,
        ("Ctrl+Shift+T",),
        When.LIVE_SESSION,
        group=2,
        hint="Graceful: the agent may finish its current step.",
    ),
    Command(
        "session.kill",
        "&Kill…",
        Menu.SESSION,
        ("Ctrl+Alt+K",),
        When.LIVE_SESSION,
        group=2,
        hint="Immediate, with everything below it. Asks for a reason.",
    ),
    Command("session.copy_id", "&Copy the session's id", Menu.SESSION, (), When.SESSION, group=3),
    Command(
        "panel.close",
        "&Close the panel",
        Menu.PANELS,
        ("Ctrl+W",),
        When.PANEL,
        hint="Closing a panel ends nothing; open it again from the roster.",
    ),
    Command("panel.close_ended", "Close panels of &ended sessions", Menu.PANELS, ("Ctrl+Shift+W",), When.PANEL),
    Command("panel.next", "&Next panel", Menu.PANELS, ("Ctrl+Tab",), When.PANEL, group=1),
    Command("panel.previous", "&Previous panel", Menu.PANELS, ("Ctrl+Shift+Tab",), When.PANEL, group=1),
    Command("panel.left", "Move &left", Menu.PANELS, ("Ctrl+Alt+Left",), When.PANEL, group=2),
    Command("panel.right", "Move &right", Menu.PANELS, ("Ctrl+Alt+Right",), When.PANEL, group=2),
    Command("panel.up", "Move &up", Menu.PANELS, ("Ctrl+Alt+Up",), When.PANEL, group=2),
    Command("panel.down", "Move &down", Menu.PANELS, ("Ctrl+Alt+Down",), When.PANEL, group=2),
    Command("panel.tab", "Put into the next panel's &tabs", Menu.PANELS, ("Ctrl+Alt+T",), When.PANEL, group=2),
    Command("panel.float", "&Own window or back", Menu.PANELS, ("Ctrl+Alt+F",), When.PANEL, group=3),
    Command("panel.float_on", "Own window on a &monitor…", Menu.PANELS, ("Ctrl+Alt+M",), When.PANEL, group=3),
    Command("panel.full_screen", "Full &screen", Menu.PANELS, ("F11",), When.PANEL, group=3),
    Command("panel.full_screen_on", "Full screen on &a monitor…", Menu.PANELS, ("Shift+F11",), When.PANEL, group=3),
    Command(
        "panel.pin",
        "P&in",
        Menu.PANELS,
        ("Ctrl+Alt+P",),
        When.PANEL,
        group=3,
        checkable=True,
        hint="A pinned panel keeps its session; one that is not pinned follows what is chosen in the roster.",
    ),
    *(
        Command(f"layout.{n}", title, Menu.PANELS, (f"Ctrl+Alt+{n}",), When.ALWAYS, group=4)
        for n, title in (
            (1, "Grid: &1 panel"),
            (2, "Grid: &2 side by side"),
            (4, "Grid: &4 (2 × 2)"),
            (6, "Grid: &6 (3 × 2)"),
            (9, "Grid: &9 (3 × 3)"),
        )
    ),
    Command("layout.all", "Grid: a place for eac&h", Menu.PANELS, ("Ctrl+Alt+0",), When.PANEL, group=4),
    Command("layout.n", "&Grid: columns × rows…", Menu.PANELS, ("Ctrl+Alt+G",), When.PANEL, group=4),
    *(
        Command(f"panel.go_{n}", f"Go to panel {n}", Menu.PANELS, (f"Ctrl+{n}",), When.PANEL, group=5)
        for n in range(1, 10)
    ),
    *(Command(f"desk.go_{n}", f"&{n}  Desk {n}", Menu.DESKS, (f"Alt+{n}",), checkable=True) for n in range(1, 10)),
    Command("desk.next", "Ne&xt desk", Menu.DESKS, ("Ctrl+Alt+PgDown",), group=1),
    Command("desk.previous", "&Former desk", Menu.DESKS, ("Ctrl+Alt+PgUp",), group=1),
    Command(
        "desk.undo",
        "&Undo the last change of the panels",
        Menu.DESKS,
        ("Ctrl+Alt+Z",),
        group=2,
        hint="Panels that were closed, moved or opened since you came to this desk stand as before.",
    ),
    Command("desk.new", "&New desk…", Menu.DESKS, ("Ctrl+Alt+N",), group=3),
    Command("desk.rename", "&Rename this desk…", Menu.DESKS, (), group=3),
    Command("desk.remove", "Re&move this desk…", Menu.DESKS, (), group=3, hint="Its sessions go on."),
    Command("desk.export", "&Export this desk…", Menu.DESKS, (), group=4),
    Command("desk.export_all", "Export &all desks…", Menu.DESKS, (), group=4),
    Command("desk.import", "&Import desks…", Menu.DESKS, (), group=4),
    Command("view.palette", "Command &palette", Menu.VIEW, ("Ctrl+K",), hint="Sessions, panels, commands and desks."),
    Command("view.next_region", "Next &region", Menu.VIEW, ("F6",)),
    Command("view.previous_region", "Previous re&gion", Menu.VIEW, ("Shift+F6",)),
    Command("view.filter", "&Filter the roster", Menu.VIEW, ("Ctrl+L",), group=1),
    Command("view.roster", "R&oster", Menu.VIEW, ("Ctrl+B",), group=1, checkable=True),
    Command(
        "view.follow_focus",
        "Follow the fo&cus",
        Menu.VIEW,
        ("Ctrl+Shift+F",),
        group=1,
        checkable=True,
        hint="One panel shows whatever session is chosen in the roster, without being opened for it.",
    ),
    Command("view.audit", "&Audit log", Menu.VIEW, ("Ctrl+Shift+A",), group=1, checkable=True),
    Command("view.appearance", "Switch light and &dark", Menu.VIEW, ("Ctrl+Shift+L",), group=2),
    Command("view.text_larger", "&Larger text", Menu.VIEW, ("Ctrl++", "Ctrl+="), group=2),
    Command("view.text_smaller", "S&maller text", Menu.VIEW, ("Ctrl+-",), group=2),
    Command("view.text_plain", "Text as deli&vered", Menu.VIEW, ("Ctrl+0",), group=2),
    Command("help.keys", "&Keys in effect", Menu.HELP, ("F1", "?")),
    Command("help.about", "&About and connection", Menu.HELP, ()),
)

BY_ID = {command.id: command for command in COMMANDS}
