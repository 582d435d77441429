"""What a person chooses about how the window looks, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

Scheme = Literal["system", "light", "dark", "contrast"]
Density = Literal["comfortable", "compact"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
DENSITIES: tuple[Density, ...] = get_args(Density)
MINIMUM_PIXELS = 11
"""No text is smaller at any setting."""
TEXT_SIZES = (11, 12, 13, 15, 17, 20)
"""Sizes of running text that can be chosen, in device-independent pixels."""


@dataclass(frozen=True)
class Appearance:
    """`system` follows the desktop where it says what it wants, and is light elsewhere. `text` is the size of running
    text, one of `TEXT_SIZES`. `still`: nothing moves that need not. `utc`: times are shown in UTC, not in the zone of
    this computer."""

    scheme: Scheme = "system"
    density: Density = "comfortable"
    text: int = 13
    still: bool = False
    utc: bool = False

    def stored(self) -> dict[str, Any]:
        """For the local file."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Any) -> Appearance:
        """What the local file holds; each part that is missing or not readable is as by default."""
        found = stored if isinstance(stored, dict) else {}
        plain = cls()
        return cls(
            scheme=cast(Scheme, _one_of(found.get("scheme"), SCHEMES, plain.scheme)),
            density=cast(Density, _one_of(found.get("density"), DENSITIES, plain.density)),
            text=cast(int, _one_of(found.get("text"), TEXT_SIZES, plain.text)),
            still=found.get("still") is True,
            utc=found.get("utc") is True,
        )


def _one_of(value: Any, known: tuple[Any, ...], otherwise: Any) -> Any:
    return next((one for one in known if type(one) is type(value) and one == value), otherwise)


_current = Appearance()


def appearance() -> Appearance:
    """What is in effect."""
    return _current


def put_in_effect(wanted: Appearance) -> None:
    """Only `scheme.set_appearance` calls this: it also tells everybody."""
    global _current
    _current = wanted
