"""8. The facade: signals -> summary -> response."""

from .facade import Personalizer
from .once import personalize
from .response import AsyncPersonalizedStream, PersonalizedResponse, PersonalizedStream

__all__ = [
    "AsyncPersonalizedStream",
    "PersonalizedResponse",
    "PersonalizedStream",
    "Personalizer",
    "personalize",
]
