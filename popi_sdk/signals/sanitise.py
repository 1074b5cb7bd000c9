# ruff: noqa: RUF001, RUF003 - look-alikes of the ASCII characters are the point here
"""Make untrusted text safe to show to a model: no control tokens, no invisible characters, no endless size.

Applied to what is rendered; the signal itself never changes.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["sanitise", "shorten"]

# Bidirectional controls, zero-width and invisible characters, tag characters and variation selectors that can carry
# hidden text. ZWNJ and ZWJ (200C, 200D) are handled apart: emoji and Persian or Indic spelling need them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_JOINER = re.compile("[\u200c\u200d]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NEWLINES = re.compile("\r\n?|[\u2028\u2029\x85]")

# The ways in which model families write their control tokens. Full-width forms count too: some tokenizers fold them.
_LT, _GT, _BAR = "[<＜﹤〈]", "[>＞﹥〉]", "[|｜︱∣]"
_ANGLE = (
    "s|/s|bos|eos|pad|unk|mask|cls|sep|start_of_turn|end_of_turn|start_of_image|end_of_image|start_of_audio|"
    r"end_of_audio|unused\d+|think|/think|thinking|/thinking|tool_call|/tool_call|tool_calls|/tool_calls|"
    r"tool_response|/tool_response|function_calls|/function_calls|endoftext|extra_id_\d+|fim_\w+"
)
_BRACKET = (
    r"/?inst|/?system_prompt|/?available_tools|/?tool_calls|/?tool_results|/?tool_content|/?img|img_break|img_end|"
    r"/?think|/?model_settings|call_id|args|cls|sep|mask|pad|unk|bos|eos|gmask|sop|eop|prefix|middle|suffix"
)
_TOKEN = re.compile(
    rf"{_LT}{_BAR}(?P<bars>[^|｜<>\n]{{0,80}}){_BAR}{_GT}"  # <|im_start|>, <|eot_id|>, DeepSeek's <｜User｜>
    rf"|{_LT}(?P<angle>{_ANGLE}){_GT}"  # <s>, <start_of_turn>, <think>
    rf"|{_LT}{_BAR}(?P<open>[A-Za-z_]{{1,40}}){_GT}"  # Gemma 4's <|turn>
    rf"|{_LT}(?P<close>[A-Za-z_]{{1,40}}){_BAR}{_GT}"  # and <turn|>
    rf"|{_LT}{{2}}(?P<sys>/?sys){_GT}{{2}}"  # Llama 2's <<SYS>>
    rf"|[\[［](?P<bracket>{_BRACKET})[\]］]",  # Mistral's [INST]
    re.IGNORECASE,
)


def sanitise(text: str, *, limit: int | None = None) -> str:
    """Return the text without what could act on a model or hide from a reader.

    Control tokens of chat templates become their name in parentheses (`<|im_end|>` -> `(im_end)`), so a reader still
    sees what stood there. Bidirectional and zero-width controls go, except joiners between letters or emoji that need
    them. The result is stable: sanitising it again changes nothing.

    Args:
        text: Any text.
        limit: Longest result in characters; see `shorten`.
    """
    text = _SURROGATE.sub("\ufffd", text)
    text = _CONTROL.sub("", _NEWLINES.sub("\n", text))
    text = _INVISIBLE.sub("", text)
    text = _JOINER.sub(_keep_joiner, text)
    text = _defuse(text)
    return text if limit is None else shorten(text, limit)


def shorten(text: str, limit: int) -> str:
    """Cut a text to `limit` characters and say so where it was cut: the first two thirds stay, and the end."""
    if len(text) <= limit:
        return text
    mark = f" [... {len(text) - limit:,} characters left out ...] "
    room = limit - len(mark)
    if room < 40:
        return text[: max(limit - 1, 0)].rstrip() + "…"
    head = room * 2 // 3
    return text[:head].rstrip() + mark + text[len(text) - (room - head) :].lstrip()


def _defuse(text: str) -> str:
    """Replace control tokens until none is left: taking one apart may not leave another."""
    while True:
        replaced = _TOKEN.sub(lambda match: f"({next(g for g in match.groups() if g is not None).strip()})", text)
        if replaced == text:
            return text
        text = replaced


def _keep_joiner(match: re.Match[str]) -> str:
    """A joiner stays only between two characters that are neither ASCII nor Latin nor another joiner."""
    text, at = match.string, match.start()
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    return match.group() if _joins(before) and _joins(after) else ""


def _joins(char: str) -> bool:
    if not char or char.isascii() or _JOINER.match(char) or unicodedata.category(char).startswith(("Z", "C", "P")):
        return False
    return not unicodedata.name(char, "").startswith("LATIN")
