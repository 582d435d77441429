"""The header's words for the ways to all control planes: one as it is, several as the worst of them."""

from __future__ import annotations

from mission_control_desktop.client.inbox import LinkState
from mission_control_desktop.ui.main_window.header import ConnectionView, connection_view
from mission_control_desktop.ui.planes import Plane, Planes

_WORST = ("error", "warning", "busy", "ok")


def plane_view(plane: Plane) -> ConnectionView:
    """How the way to one control plane is doing."""
    link = plane.link
    if link is None and plane.problem:
        return ConnectionView("not reached", "error", plane.problem)
    return connection_view(
        link.state if link else None,
        where=plane.where,
        attempt=link.attempt if link and link.state is LinkState.RECONNECTING else 0,
        error=link.error if link else None,
        degraded=plane.degraded,
    )


def planes_view(planes: Planes) -> ConnectionView:
    """All of them: each in the detail, and in the words the worst."""
    if len(planes) == 1:
        return plane_view(planes.home)
    views = [(plane, plane_view(plane)) for plane in planes]
    worst, view = min(views, key=lambda pair: _WORST.index(pair[1].level))
    detail = "\n".join(_line(plane, seen) for plane, seen in views)
    connected = any(seen.connected for _, seen in views)
    if view.level == "ok":
        return ConnectionView(f"{len(planes)} connected", "ok", detail, connected=True)
    return ConnectionView(f"{worst.title}: {view.text}", view.level, detail, connected=connected)


def _line(plane: Plane, view: ConnectionView) -> str:
    role = f" as {plane.role.value}" if plane.role else ""
    return f"{plane.title}: {view.text}{role}" + (f" ({view.detail})" if view.detail else "")
