"""StyleWorld: generated users who differ in how they like to be answered.

A user is a point on six axes of answering style, some of them indifferent, with signals of every kind, held-out pairs
and a gold description. Splits share no user, no topic and no phrasing. See docs/styleworld.md.
"""

from .axes import AXES, SPLITS
from .world import DEFAULT_USERS, TEST_DIGEST, VERSION, generate

__all__ = ["AXES", "DEFAULT_USERS", "SPLITS", "TEST_DIGEST", "VERSION", "generate"]
