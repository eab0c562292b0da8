"""A guided dialogue: buttons only, at most five steps, an explicit end, and people at that end.

A state machine without memory: a :class:`Position` is a value that the host keeps and gives back, so that it can
live in a page, a phone's activity or a terminal alike. What a person pressed is recorded nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from safelight.decision import AgeBand, Choice, HelpService, help_dict
from safelight.errors import UsageError
from safelight.notices.catalogue import MAX_DIALOGUE_STEPS, Catalogue, DialogueShape, StepShape
from safelight.notices.directory import find_help


@dataclass(frozen=True, slots=True)
class Position:
    """Where somebody is. ``number`` counts the steps from 1."""

    dialogue: str
    step: str
    number: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """What to show at a position.

    Attributes:
        position: where this is.
        lang, direction: of the words.
        text: one short paragraph.
        buttons: what can be pressed; none at an end.
        help: services to show; at an end always at least one.
        at_most: how many steps there are at most.
    """

    position: Position
    lang: str
    direction: str
    text: str
    buttons: tuple[Choice, ...]
    help: tuple[HelpService, ...]
    at_most: int = MAX_DIALOGUE_STEPS

    @property
    def is_end(self) -> bool:
        """Whether nothing follows."""
        return not self.buttons

    def to_dict(self) -> dict[str, Any]:
        """For a host in another language: the position goes back in as it came out."""
        return {
            "position": {
                "dialogue": self.position.dialogue,
                "step": self.position.step,
                "number": self.position.number,
            },
            "lang": self.lang,
            "direction": self.direction,
            "text": self.text,
            "buttons": [{"id": button.id, "label": button.label} for button in self.buttons],
            "end": self.is_end,
            "at_most": self.at_most,
            "help": [help_dict(service) for service in self.help],
        }


class Dialogue:
    """One dialogue in one language.

    Args:
        catalogue: gives steps and words.
        name: id of the dialogue, e.g. ``child_pressured.13_17``; see :func:`dialogue_for`.
        fallback: gives the words that an unfinished language lacks.
        directory, country, languages, today: choose the services; as for
            :func:`~safelight.notices.directory.find_help`.

    Raises:
        UsageError: there is no such dialogue.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        name: str,
        *,
        fallback: Catalogue | None = None,
        directory: Sequence[HelpService] = (),
        country: str | None = None,
        languages: Sequence[str] = (),
        today: date | None = None,
    ) -> None:
        shapes = {shape.id: shape for shape in catalogue.structure.dialogues}
        if name not in shapes:
            raise UsageError(f"dialogue: got {name!r}, expected one of {', '.join(shapes)}.")
        texts = catalogue.texts
        if name not in texts.dialogues and fallback is not None:
            texts = fallback.texts
        if name not in texts.dialogues:
            raise UsageError(f"dialogue: got {name!r}, which {catalogue.lang} has no words for; give a fallback.")
        self._shape: DialogueShape = shapes[name]
        self._steps: dict[str, StepShape] = {step.id: step for step in self._shape.steps}
        self._texts = texts
        self._directory = directory
        self._country = country
        self._languages = languages
        self._today = today

    @property
    def name(self) -> str:
        """Id of the dialogue."""
        return self._shape.id

    def start(self) -> Step:
        """The first step."""
        return self.at(Position(self._shape.id, self._shape.start))

    def press(self, position: Position, button: str) -> Step:
        """The step that ``button`` leads to.

        Raises:
            UsageError: a position of another dialogue, or a button that is not there.
        """
        step = self._step(position)
        for shape in step.buttons:
            if shape.id == button:
                return self.at(Position(self._shape.id, shape.to, position.number + 1))
        there = ", ".join(shape.id for shape in step.buttons) or "none: this is an end"
        raise UsageError(f"button: got {button!r}, expected one of {there}.")

    def at(self, position: Position) -> Step:
        """What to show at ``position``.

        Raises:
            UsageError: it is no position of this dialogue.
        """
        from safelight.notices.select import CHILD_HELPLINE_FINDER

        step = self._step(position)
        words = self._texts.dialogues[self._shape.id][step.id]
        services: tuple[HelpService, ...] = ()
        if step.help:
            services = find_help(
                self._directory,
                country=self._country,
                audiences=step.help,
                languages=self._languages,
                today=self._today,
            ) or (CHILD_HELPLINE_FINDER,)
        return Step(
            position=position,
            lang=self._texts.lang,
            direction=self._texts.direction,
            text=words.text,
            buttons=tuple(Choice(button.id, words.buttons[button.id]) for button in step.buttons),
            help=services,
        )

    def _step(self, position: Position) -> StepShape:
        if (
            position.dialogue != self._shape.id
            or position.step not in self._steps
            or not 1 <= position.number <= MAX_DIALOGUE_STEPS
        ):
            raise UsageError(
                f"position: got one that is not in the dialogue {self._shape.id!r}; start it again with start()."
            )
        return self._steps[position.step]


def dialogue_for(catalogue: Catalogue, band: AgeBand) -> str:
    """Id of the dialogue that is made for this band; a possible child gets the one for children.

    Raises:
        UsageError: the catalogue has none.
    """
    for shape in catalogue.structure.dialogues:
        if band in shape.bands:
            return shape.id
    raise UsageError(f"dialogue: got the band {band}, for which the catalogue has none; use the built-in catalogue.")
