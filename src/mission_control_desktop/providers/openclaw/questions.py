"""A question of an agent as what can be answered here: one choice at a time. Pure.

The gateway asks up to three questions at once and takes all answers together, some of several choices. Each question
is a part of its own; one of several choices is a yes or no for each of them. Nothing is sent before every part is
answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mission_control_desktop.domain.approvals import ApprovalOption
from mission_control_desktop.providers.openclaw.values import items, label, mapping, mappings, text

MAX_TEXT_CHARS = 20_000
CANCEL, YES, NO = "cancel", "yes", "no"
_NO_ANSWER = ApprovalOption(option_id=CANCEL, kind="reject_once", label="Do not answer")
_MASKED = "It asks for a secret, which is not given here: answer it in OpenClaw."
_FREE = "It wants an answer in words: give it in OpenClaw."
_AT_LEAST_ONE = "Say yes to one of the choices at least."


@dataclass(frozen=True, slots=True)
class Part:
    """`choice`: the label that this part says yes or no to; None: the option chosen is the answer."""

    question: str
    title: str
    text: str
    options: tuple[ApprovalOption, ...]
    choice: str | None = None

    def label_of(self, option_id: str) -> str | None:
        return next((one.label for one in self.options if one.option_id == option_id), None)

    def answered_by(self, labels: list[str]) -> str:
        """The answer of this part, where somebody else gave these labels: an option, or their words."""
        if self.choice is not None:
            return YES if self.choice in labels else NO
        return next((one.option_id for one in self.options if one.label in labels), ", ".join(labels)[:200])


def parts_of(payload: dict[str, Any]) -> list[Part]:
    """What is asked, in order; empty if it is nothing that can be shown."""
    found: list[Part] = []
    for question in mappings(payload.get("questions")):
        question_id = text(question, "questionId") or text(question, "id")
        if question_id is not None:
            found.extend(_parts_of(question_id, question))
    if len(found) > 1:
        count = len(found)
        found = [
            Part(one.question, f"{number} of {count}: {one.title}", one.text, one.options, one.choice)
            for number, one in enumerate(found, start=1)
        ]
    return found


def _parts_of(question_id: str, question: dict[str, Any]) -> list[Part]:
    title = label(question, "question", "header") or "The agent asks"
    said = (text(question, "question") or "")[:MAX_TEXT_CHARS]
    choices = [mapping(one) for one in items(question.get("options"))]
    labels = [(found, text(one, "description")) for one in choices if (found := text(one, "label")) is not None]
    if question.get("isSecret") is True or not labels:
        why = _MASKED if question.get("isSecret") is True else _FREE
        return [Part(question_id, title, f"{said}\n\n{why}".strip(), (_NO_ANSWER,))]
    explained = "\n".join(f"{name}: {about}" for name, about in labels if about)
    said = "\n\n".join(filter(None, (said, explained)))[:MAX_TEXT_CHARS]
    if question.get("multiSelect") is not True:
        options = [
            ApprovalOption(option_id=f"{number}", kind="allow_once", label=name)
            for number, (name, _) in enumerate(labels)
        ]
        return [Part(question_id, title, said, (*options, _NO_ANSWER))]
    yes_or_no = (
        ApprovalOption(option_id=YES, kind="allow_once", label="Yes"),
        ApprovalOption(option_id=NO, kind="allow_once", label="No"),
        _NO_ANSWER,
    )
    return [
        Part(question_id, f"{title} {name}?", f"{said}\n\n{_AT_LEAST_ONE}", yes_or_no, choice=name)
        for name, _ in labels
    ]


def answers_of(parts: list[Part], given: Mapping[int, str]) -> dict[str, list[str]]:
    """The gateway's form of what was chosen, part by part (from 0). Raises ValueError if nothing was."""
    found: dict[str, list[str]] = {}
    for number, part in enumerate(parts):
        chosen = found.setdefault(part.question, [])
        if part.choice is not None:
            chosen.extend([part.choice] if given[number] == YES else [])
        elif (name := part.label_of(given[number])) is not None:
            chosen.append(name)
    if not all(found.values()):
        raise ValueError(_AT_LEAST_ONE)
    return found


def refuses_all(parts: list[Part], given: Mapping[int, str], number: int, option_id: str) -> bool:
    """Whether this answer would be a no to the last of a question's choices, all others being a no already."""
    part = parts[number]
    if part.choice is None or option_id != NO:
        return False
    others = [n for n, one in enumerate(parts) if one.question == part.question and n != number]
    return all(given.get(n) == NO for n in others)
