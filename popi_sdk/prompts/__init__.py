"""3. Prompts: our templates, and the choice of what goes into them."""

from .render import (
    TEXT_LIMIT,
    render_infer,
    render_judge,
    render_plain,
    render_signal,
    render_with_signals,
    render_with_summary,
    select,
    template_digest,
)
from .select import Selection, select_signals

__all__ = [
    "TEXT_LIMIT",
    "Selection",
    "render_infer",
    "render_judge",
    "render_plain",
    "render_signal",
    "render_with_signals",
    "render_with_summary",
    "select",
    "select_signals",
    "template_digest",
]
