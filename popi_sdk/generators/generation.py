"""What goes into a request beside the messages, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..errors import ConfigurationError

__all__ = ["Generation", "GenerationOptions", "Usage", "as_options"]


class GenerationOptions(BaseModel):
    """How to generate; what is None is left to the backend.

    Attributes:
        max_tokens: Most tokens of the answer.
        temperature: 0 for greedy. The embedded engine is greedy unless told otherwise.
        seed: For sampling that can be repeated, where the backend has it.
        stop: Texts at which the answer ends; they are not part of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    max_tokens: Annotated[int, Field(gt=0)] = 512
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()


def as_options(value: GenerationOptions | dict[str, Any] | None) -> GenerationOptions:
    """Options, from a dict of them too.

    Raises:
        ConfigurationError: If one is unknown or out of range.
    """
    if value is None:
        return GenerationOptions()
    if isinstance(value, GenerationOptions):
        return value
    try:
        return GenerationOptions.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "options"
        raise ConfigurationError(
            f"Generation option {name!r}: {first['msg']}. Known: {', '.join(GenerationOptions.model_fields)}."
        ) from error


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request, as the backend counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer.

    Attributes:
        text: The answer; never empty.
        model: The model that gave it, as the backend names it.
        finish_reason: `stop`, `length`, `content_filter`, `refusal`, or the backend's own word.
        usage: Tokens in and out.
        request_id: The backend's id of the request.
        latency: Seconds from the request to the end of the answer, retries included.
        raw: The backend's own answer, parsed; for a stream its last event.
    """

    text: str
    model: str
    finish_reason: str = "stop"
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    latency: float = 0.0
    raw: Any = field(default=None, repr=False, compare=False)
