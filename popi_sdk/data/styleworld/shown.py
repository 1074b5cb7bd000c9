"""A description that also shows what it says: the point in a few words, then a specimen in the user's manner.

For models that follow what they see and not what they are told. The specimen is about something that no user asks
for, in phrases of training, so that it is nobody's words and gives no answer away.
"""

from __future__ import annotations

from .axes import Point, cared_for
from .phrases import pool
from .render import Plan, render
from .topics import Said, Topic

__all__ = ["shown"]

_TOPIC = Topic.model_validate(
    {
        "id": "rain",
        "domain": "specimen",
        "name": "rain",
        "is": "is",
        "answer": Said(plain="Rain is water that falls from clouds.", technical="Rain is condensed water vapour."),
        "facts": (Said(plain="Big drops fall fast.", technical="Drops of 5 mm reach 9 m/s."),) * 4,
        "reason": "Air that rises cools down.",
        "example": "A storm can flood a street.",
    }
)
_OTHERWISE = {
    "length": "short",
    "layout": "prose",
    "register": "casual",
    "vocabulary": "plain",
    "order": "answer-first",
    "example": "without",
}
"""How the specimen is where the user is indifferent."""

_PLAN = Plan(
    wordings="train",
    facts=(0, 1, 2, 3),
    example_early=False,
    opens=True,
    closes=False,
    remarks=False,
    connects=(True,) * 4,
    whole_list=False,
    paragraphs=False,
    mark="- ",
    choices=dict.fromkeys(("opener", "conclusion", "lead_in", "closer", "example", "note", "remark"), 0.0),
    connectives=(0.0,) * 4,
)


def shown(point: Point) -> str:
    """The same point gives the same text. How long the user wants an answer is said, and not shown."""
    parts = [str(pool("train", "gold", "part", axis, str(point[axis]))[0]) for axis in cared_for(point)]
    style = {axis: value or _OTHERWISE[axis] for axis, value in point.items()}
    specimen = render(_TOPIC, style | {"length": "short"}, _PLAN)
    return f"Likes {', '.join(parts[:-1])} and {parts[-1]}. Like this: {specimen}"
