"""A topic and a style to an answer that a person could have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from .axes import Style, Wordings
from .draws import Draws
from .grammar import casual, formal, go_on
from .phrases import pool
from .topics import Said, Topic

__all__ = ["Plan", "draw_plan", "render", "render_note"]

_MARKS = ("- ", "- ", "* ", "\u2022 ")
_FACTS = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything in a text that is not its style: two styles of one plan differ in nothing else.

    Attributes:
        wordings: Whose phrasings are used.
        facts: The order in which the facts are told.
        example_early: Whether the example stands before the facts, not after.
        opens, closes: Whether there is an opener and a closer where the text does not need one.
        remarks: Whether the reason is introduced where it follows the answer.
        connects: For each fact whether it is connected to what stands before.
        whole_list: Whether the answer itself is an item of the list.
        paragraphs: Whether long prose is broken in two.
        mark: The list mark.
        choices: A number from 0 to 1 for each pool, which picks the phrase.
        connectives: Numbers from 0 to 1 that pick the connectives.
    """

    wordings: Wordings
    facts: tuple[int, ...]
    example_early: bool
    opens: bool
    closes: bool
    remarks: bool
    connects: tuple[bool, ...]
    whole_list: bool
    paragraphs: bool
    mark: str
    choices: Mapping[str, float]
    connectives: tuple[float, ...]

    def pick(self, name: str, *path: str) -> str:
        """The phrase that this plan has chosen from a pool."""
        phrases = pool(self.wordings, "answer", name, *path)
        return str(phrases[int(self.choices[name] * len(phrases))])


def draw_plan(draws: Draws, wordings: Wordings) -> Plan:
    """Draw all that a style leaves open."""
    pools = ("opener", "conclusion", "lead_in", "closer", "example", "note", "remark")
    return Plan(
        wordings=wordings,
        facts=tuple(draws.shuffled(range(_FACTS))),
        example_early=draws.chance(0.3),
        opens=draws.chance(0.25),
        closes=draws.chance(0.25),
        remarks=draws.chance(0.5),
        connects=tuple(draws.chance(0.55) for _ in range(_FACTS)),
        whole_list=draws.chance(0.3),
        paragraphs=draws.chance(0.4),
        mark=draws.choice(_MARKS),
        choices={name: draws.between(0, 1) for name in pools},
        connectives=tuple(draws.between(0, 1) for _ in range(_FACTS)),
    )


def render(topic: Topic, style: Style, plan: Plan) -> str:
    """The answer about a topic in a style.

    Short is the answer, the reason and one fact; long has four facts. An example takes the place of the longest fact,
    which is also that of short texts, so that texts with and without an example are about equally long.
    """
    writer = _Writer(topic, style, plan)
    return writer.listed() if style["layout"] == "bullets" else writer.prose()


def render_note(topic: Topic, style: Style, plan: Plan) -> str:
    """What a user writes about a topic of their own accord: it opens in their own name."""
    writer = _Writer(topic, style, plan, own=True)
    note = plan.pick("note", style["register"]).format(name=topic.name)
    return f"{note}\n\n{writer.listed()}" if style["layout"] == "bullets" else f"{note} {writer.prose()}"


class _Writer:
    """The parts of one text in their words, and how they are put together.

    The register shows at least twice in every text besides contractions: by an opener, a remark, a connective, a
    conclusion, what announces a list, or a closer. Only one's own text needs neither opener nor closer.
    """

    def __init__(self, topic: Topic, style: Style, plan: Plan, *, own: bool = False) -> None:
        self.plan = plan
        self.register = style["register"]
        self.worded = casual if self.register == "casual" else formal
        self.vocabulary = style["vocabulary"]
        self.order = style["order"]
        self.answer_first = self.order == "answer-first"
        self.long = style["length"] == "long"
        self.answer = self._said(topic.answer)
        self.reason = self.worded(topic.reason)
        self.example = ""
        facts = plan.facts if self.long else (topic.longest,)
        if style["example"] == "with":
            self.example = go_on(plan.pick("example"), self.worded(topic.example))
            facts = tuple(fact for fact in facts if fact != topic.longest)
        self.facts = [self._said(topic.facts[fact]) for fact in facts]
        self.connects = [plan.connects[at] or fact == topic.longest for at, fact in enumerate(facts)]
        self.own = own

    def prose(self) -> str:
        middle = self._middle(list(self._connected()))
        first = [self._opened(self.answer), self._remarked()] if self.answer_first else [self._opened(self.reason)]
        last = [] if self.answer_first else [self._conclusion()]
        sentences = [*first, *middle, *last, *self._closer()]
        if not (self.plan.paragraphs and self.long):
            return " ".join(sentences)
        half = len(sentences) // 2
        return f"{' '.join(sentences[:half])}\n\n{' '.join(sentences[half:])}"

    def listed(self) -> str:
        whole = self.plan.whole_list
        items = [self.reason, *self._middle(self.facts)]
        if whole:
            items = [self.answer, *items] if self.answer_first else [*items, self._conclusion()]
        bullets = "\n".join(f"{self.plan.mark}{item}" for item in items)
        blocks = [f"{self.plan.pick('lead_in', self.register)}\n{bullets}"]
        if not whole:
            blocks = [self._opened(self.answer), *blocks] if self.answer_first else [*blocks, self._conclusion()]
        return "\n\n".join([*blocks, *self._closer(needed=whole and self.answer_first)])

    def _opened(self, sentence: str) -> str:
        needed = not self.plan.closes if self.answer_first else not any(self.connects)
        opens = (self.plan.opens or needed) and not self.own
        return go_on(self.plan.pick("opener", self.register, self.order) if opens else "", sentence)

    def _remarked(self) -> str:
        remarks = self.plan.remarks or not any(self.connects)
        return go_on(self.plan.pick("remark", self.register) if remarks else "", self.reason)

    def _closer(self, *, needed: bool = False) -> list[str]:
        closes = (self.plan.closes or needed) and not self.own
        return [self.plan.pick("closer", self.register)] if closes else []

    def _said(self, said: Said) -> str:
        return self.worded(said.in_words(self.vocabulary))

    def _middle(self, facts: list[str]) -> Iterator[str]:
        example = [self.example] if self.example else []
        return chain(example, facts) if self.plan.example_early else chain(facts, example)

    def _connected(self) -> Iterator[str]:
        """The facts, some with a connective; none stands twice in a text."""
        left = list(pool(self.plan.wordings, "answer", "connective", self.register))
        for fact, connects, choice in zip(self.facts, self.connects, self.plan.connectives, strict=False):
            connective = left.pop(int(choice * len(left)))
            yield go_on(connective if connects else "", fact)

    def _conclusion(self) -> str:
        return go_on(self.plan.pick("conclusion", self.register), self.answer)
