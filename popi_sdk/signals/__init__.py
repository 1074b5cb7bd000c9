"""1. What a user left behind: typed signals, coercion into them, and sanitising of what is rendered."""

from .coerce import MAX_SIGNALS, as_signals, read_signals
from .sanitise import sanitise, shorten
from .types import (
    MAX_TEXT,
    Dialogue,
    DialogueMessage,
    Edit,
    PreferencePair,
    Profile,
    Rating,
    Signal,
    Statement,
    Survey,
    Writing,
)

__all__ = [
    "MAX_SIGNALS",
    "MAX_TEXT",
    "Dialogue",
    "DialogueMessage",
    "Edit",
    "PreferencePair",
    "Profile",
    "Rating",
    "Signal",
    "Statement",
    "Survey",
    "Writing",
    "as_signals",
    "read_signals",
    "sanitise",
    "shorten",
]
