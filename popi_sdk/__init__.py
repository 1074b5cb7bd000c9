"""popi_sdk: any language model, answering the way this user likes it.

POPI (arXiv 2510.17881) distils a user's signals into a short natural-language summary; a generator conditions on it.

    from popi_sdk import Statement, personalize

    personalize([Statement(text="Keep it short, please.")], "How does HTTPS work?").text
"""

from .errors import (
    AuthenticationError,
    BackendConnectionError,
    BackendError,
    BackendTimeoutError,
    ConfigurationError,
    ContextTooLongError,
    DataError,
    InvalidResponseError,
    MissingExtraError,
    PopiError,
    RateLimitError,
    ScoringError,
    SignalError,
    TrainingError,
    UsageError,
)
from .generators import (
    FunctionGenerator,
    Generation,
    GenerationOptions,
    GenerationStream,
    Generator,
    Usage,
    create_generator,
)
from .inferrers import HeuristicInferrer, PreferenceInferrer, PromptedInferrer, create_inferrer
from .messages import Message
from .personalizer import PersonalizedResponse, PersonalizedStream, Personalizer, personalize
from .signals import (
    Dialogue,
    Edit,
    PreferencePair,
    Profile,
    Rating,
    Signal,
    Statement,
    Survey,
    Writing,
    as_signals,
    read_signals,
)
from .summary import PreferenceSummary, SummaryStatement

__version__ = "0.1.0"

__all__ = [
    "AuthenticationError",
    "BackendConnectionError",
    "BackendError",
    "BackendTimeoutError",
    "ConfigurationError",
    "ContextTooLongError",
    "DataError",
    "Dialogue",
    "Edit",
    "FunctionGenerator",
    "Generation",
    "GenerationOptions",
    "GenerationStream",
    "Generator",
    "HeuristicInferrer",
    "InvalidResponseError",
    "Message",
    "MissingExtraError",
    "PersonalizedResponse",
    "PersonalizedStream",
    "Personalizer",
    "PopiError",
    "PreferenceInferrer",
    "PreferencePair",
    "PreferenceSummary",
    "Profile",
    "PromptedInferrer",
    "RateLimitError",
    "Rating",
    "ScoringError",
    "Signal",
    "SignalError",
    "Statement",
    "SummaryStatement",
    "Survey",
    "TrainingError",
    "Usage",
    "UsageError",
    "Writing",
    "as_signals",
    "create_generator",
    "create_inferrer",
    "personalize",
    "read_signals",
]
