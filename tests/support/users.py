"""Twelve users, written by hand: what each left behind, and the axes of style that a careful reader finds in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from popi_sdk.inferrers.cues import Axis

SHORT, LONG = (Axis.LENGTH, -1), (Axis.LENGTH, 1)
PROSE, LISTS = (Axis.LISTS, -1), (Axis.LISTS, 1)
CASUAL, FORMAL = (Axis.FORMALITY, -1), (Axis.FORMALITY, 1)
PLAIN, TECHNICAL = (Axis.LEVEL, -1), (Axis.LEVEL, 1)
REASONS_FIRST, ANSWER_FIRST = (Axis.ORDER, -1), (Axis.ORDER, 1)
NO_EXAMPLE, EXAMPLE = (Axis.EXAMPLES, -1), (Axis.EXAMPLES, 1)
EMOJI, NO_EMOJI = (Axis.EMOJI, 1), (Axis.EMOJI, -1)


@dataclass(frozen=True)
class User:
    """What must be found, what may be found beside it, and the signals."""

    name: str
    wants: frozenset[tuple[Axis, int]]
    signals: list[Any]
    may: frozenset[tuple[Axis, int]] = frozenset()


def pair(prompt: str, chosen: str, rejected: str, reason: str | None = None) -> dict[str, Any]:
    return {"kind": "preference", "prompt": prompt, "chosen": chosen, "rejected": rejected, "reason": reason}


def talk(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[index % 2], "content": text} for index, text in enumerate(turns)]}


def survey(question: str, answer: str) -> dict[str, Any]:
    return {"question": question, "answer": answer}


def rating(text: str, score: int, prompt: str) -> dict[str, Any]:
    return {"kind": "rating", "text": text, "score": score, "scale": [1, 5], "prompt": prompt}


_RAIN_SHORT = "Rain forms when water vapour cools and falls as drops."
_RAIN_LONG = (
    "Rain forms when the sun warms the sea and water rises as vapour. High up the air is cold, so the vapour turns "
    "into tiny drops that gather into clouds. The drops bump into each other and grow. When they are too heavy for the "
    "air to hold, they fall. Some of them start as ice and melt on the way down. That is why rain is often cold."
)
_TEA_SHORT = "Use water just off the boil and wait three minutes."
_TEA_LONG = (
    "Boil fresh water and let it stand for a short while. Warm the pot with a little of it and pour that away. Put one "
    "spoon of leaves for each cup into the pot and pour the water over them. Wait three minutes for green tea and five "
    "for black tea. Then pour it into cups. If the tea turns bitter, wait less the next time."
)

USERS = (
    User(
        "short",
        frozenset({SHORT}),
        [
            pair("Why does it rain?", _RAIN_SHORT, _RAIN_LONG),
            pair("How do I make tea?", _TEA_SHORT, _TEA_LONG),
            talk("How do planes fly?", _RAIN_LONG, "That is too long. Shorter please."),
        ],
    ),
    User(
        "long",
        frozenset({LONG}),
        [
            pair("Why does it rain?", _RAIN_LONG, _RAIN_SHORT),
            pair("How do I make tea?", _TEA_LONG, _TEA_SHORT),
            survey("How long should answers be?", "As detailed as possible."),
        ],
    ),
    User(
        "lists",
        frozenset({LISTS}),
        [
            pair(
                "How do I pack for a hike?",
                "- Water\n- A map\n- A warm jacket\n- Something to eat",
                "Take water and a map with you, and also a warm jacket and something to eat.",
            ),
            pair(
                "How do I plant a tree?",
                "- Dig a wide hole\n- Set the tree in it\n- Fill the hole\n- Water it well",
                "Dig a wide hole and set the tree in it. Then fill the hole and water it well.",
            ),
            talk("What should I see in Rome?", "See the Forum and the Pantheon.", "Can I have that as bullet points?"),
        ],
    ),
    User(
        "prose",
        frozenset({PROSE}),
        [
            pair(
                "How do I pack for a hike?",
                "Take water and a map with you, and also a warm jacket and something to eat.",
                "- Water\n- A map\n- A warm jacket\n- Something to eat",
            ),
            {
                "before": "1. Dig a wide hole\n2. Set the tree in it\n3. Fill the hole\n4. Water it well",
                "after": "Dig a wide hole and set the tree in it. Then fill the hole and water it well.",
            },
            pair(
                "How do I clean a window?",
                "Wash it with a drop of soap in warm water, wipe it from the top and dry it with a cloth.",
                "- Wash with soap\n- Wipe from the top\n- Dry with a cloth",
            ),
        ],
    ),
    User(
        "casual",
        frozenset({CASUAL}),
        [
            pair(
                "Can I reheat rice?",
                "Yeah, sure! Just don't leave it out all day, and you're gonna be fine.",
                "It is possible to reheat rice. However, one should not leave it out for an entire day.",
            ),
            pair(
                "Is it late to plant garlic?",
                "Nope, you're good! Stick it in the ground and it'll do its thing.",
                "It is not too late. Furthermore, garlic does not require particular care after planting.",
            ),
            {"text": "hey! can't make it tonight, gonna stay in lol. see ya!", "context": "a text to a friend"},
        ],
        may=frozenset({PLAIN, (Axis.WARMTH, 1)}),
    ),
    User(
        "formal",
        frozenset({FORMAL}),
        [
            pair(
                "Can I reheat rice?",
                "It is possible to reheat rice. However, one should not leave it out for an entire day.",
                "Yeah, sure! Just don't leave it out all day, and you're gonna be fine.",
            ),
            {
                "before": "Hey guys, the meeting's moved, can't do Monday, sorry!",
                "after": "Dear colleagues, please note that the meeting has been moved, as Monday is not possible.",
            },
            survey("Which tone do you prefer?", "A formal one."),
        ],
        may=frozenset({TECHNICAL, (Axis.WARMTH, -1)}),
    ),
    User(
        "plain",
        frozenset({PLAIN}),
        [
            pair(
                "What is inflation?",
                "It means that the same money buys less each year, since most things cost more.",
                "It denotes a sustained appreciation of the aggregate consumer price index and monetary depreciation.",
            ),
            pair(
                "What does a vaccine do?",
                "It shows your body a weak form of the germ, so it knows how to fight the real one.",
                "It administers attenuated antigens that stimulate immunological memory via lymphocyte proliferation.",
            ),
            talk(
                "How does a fridge work?",
                "Refrigerant evaporation absorbs enthalpy from the compartment.",
                "Can you say that in plain words? No jargon.",
            ),
        ],
    ),
    User(
        "technical",
        frozenset({TECHNICAL}),
        [
            pair(
                "What is inflation?",
                "It denotes a sustained appreciation of the aggregate consumer price index and monetary depreciation.",
                "It means that the same money buys less each year, since most things cost more.",
            ),
            pair(
                "What does a vaccine do?",
                "It administers attenuated antigens that stimulate immunological memory via lymphocyte proliferation.",
                "It shows your body a weak form of the germ, so it knows how to fight the real one.",
            ),
            survey("Should answers be simple or technical?", "Technical, with the proper terms."),
        ],
    ),
    User(
        "answer first",
        frozenset({ANSWER_FIRST}),
        [
            pair(
                "Should I buy the red bike?",
                "Yes, buy the red one. It is light, and the parts are easy to find.",
                "The red bike is light, and the parts are easy to find. So yes, buy the red one.",
            ),
            pair(
                "Is the north route better?",
                "No, take the south route. The north one is closed in winter and steep in places.",
                "The north route is closed in winter and steep in places. Therefore no, take the south route.",
            ),
            talk("Is it safe?", "There are many views on this.", "Just get to the point, answer first."),
        ],
    ),
    User(
        "reasons first",
        frozenset({REASONS_FIRST}),
        [
            pair(
                "Should I buy the red bike?",
                "The red bike is light, and the parts are easy to find. So yes, buy the red one.",
                "Yes, buy the red one. It is light, and the parts are easy to find.",
            ),
            pair(
                "Is the north route better?",
                "The north route is closed in winter and steep in places. Therefore no, take the south route.",
                "No, take the south route. The north one is closed in winter and steep in places.",
            ),
            survey("In which order do you like an explanation?", "Reasons first, then the conclusion."),
        ],
    ),
    User(
        "example",
        frozenset({EXAMPLE}),
        [
            pair(
                "What is a metaphor?",
                "It calls one thing by the name of another. For example, you call a kind person an angel.",
                "It calls one thing by the name of another, so that the reader sees both of them at once.",
            ),
            pair(
                "What is a habit?",
                "It is something that you do without thought. For example, you lock the door as you leave.",
                "It is something that you do without thought, since you did it so often in the past.",
            ),
            talk("What is irony?", "It is saying the reverse of what is meant.", "Can you give me an example?"),
        ],
    ),
    User(
        "emoji",
        frozenset({EMOJI}),
        [
            pair("Is the shop open?", "It is open until six today 🎉", "It is open until six today."),
            pair("Will it rain?", "It stays dry until night 🌞", "It stays dry until night."),
            rating("The cake is done in ten minutes 🍰", 5, "When is the cake done?"),
            rating("The cake is done in ten minutes.", 1, "When is the cake done?"),
        ],
    ),
)
