# ruff: noqa: RUF003 - look-alikes of the ASCII characters are the point here
"""Make untrusted text safe to show to a model: no control tokens, no invisible characters, no endless size.

Applied to what is rendered; the signal itself never changes.
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["sanitise", "shorten"]

# Bidirectional controls, zero-width and invisible characters, tag characters and variation selectors that can carry
# hidden text. Joiners and the selectors of emoji (200C, 200D, FE0E, FE0F) are handled apart: emoji and Persian or Indic
# spelling need them.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SELECTOR = re.compile("[\ufe0e\ufe0f]")
_JOINER = re.compile("[\u200c\u200d]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NEWLINES = re.compile("\r\n?|[\u2028\u2029\x85]")

# Full-width and small forms of ASCII characters count as those: some tokenizers fold them.
_FOLDED = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0xFE64: "<", 0xFE65: ">", 0xFE31: "|", 0x2223: "|"}
_FOLDABLE = re.compile("[\uff01-\uff5e\ufe64\ufe65\ufe31\u2223]")

# The ways in which model families write their control tokens, spelt as they spell them: `Vec<S>` and `[args]` are code.
_ANGLE = (
    "/?s|bos|eos|pad|unk|mask|cls|sep|BOS|EOS|PAD|UNK|MASK|CLS|SEP|(?:BOS|EOS|EOP|MASK|PAD|UNK)_TOKEN|EOT|"
    r"(?:start|end)_of_[a-z_]{1,30}|(?:start|end)_function_[a-z]{1,20}|[a-z]{1,20}_soft_token|escape|image|video|audio|"
    r"/?think(?:ing)?|/?tool_(?:call|response|result)s?|/?function_calls?|/?arg_(?:key|value)|"
    r"unused\d+|reserved_\d+|extra_id_\d+|SPECIAL_\d+|TOKENS_UNUSED_\d+|2mass|mask:\d+|/?seed:[a-z_]{1,30}|"
    r"/?minimax:[a-z_]{1,30}|endoftext|startoftext|eoh|eoa|eop|sop|eod|eom|eot|"
    r"fim_[a-z]{1,20}|repo_?name|file_?(?:sep|name)|gh_stars|issue_[a-z]{1,20}|jupyter_[a-z]{1,20}|empty_output|"
    r"commit_(?:before|msg|after)"
)
_BRACKET = (
    r"/?(?:INST|inst|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS|THINK|IMG)|"
    r"IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|TRANSCRIBE|CALL_ID|ARGS|PREFIX|MIDDLE|SUFFIX|CLS|SEP|MASK|PAD|UNK|BOS|EOS|"
    r"EOT|gMASK|sMASK|multimodal|control_\d+|UNUSED_TOKEN_\d+|@BOS@|\|(?:system|user|assistant|tool|endofturn)\|"
)
_TOKEN = re.compile(
    r"<\|(?P<bars>[^|<>()\s]{1,80})\|>"  # <|im_start|>, <|eot_id|>, DeepSeek's <｜User｜>
    rf"|<(?P<angle>{_ANGLE})>"  # <s>, <start_of_turn>, <think>
    r"|<\|(?P<open>/?[A-Za-z_]{1,40})>|<(?P<close>/?[A-Za-z_]{1,40})\|>"  # Gemma 4's <|turn> and <turn|>
    r"|<<(?P<sys>/?(?:SYS|sys))>>"  # Llama 2
    rf"|\[(?P<bracket>{_BRACKET})\]"  # Mistral's [INST], Exaone's [|user|]
    r"|\|(?P<dsml>DSML)\|"  # DeepSeek's <｜DSML｜function_calls>
    r"|\]~(?P<begin>!?b)[\[\]]|\[(?P<end>e~)\["  # MiniMax
)


def sanitise(text: str, *, limit: int | None = None) -> str:
    """Return the text without what could act on a model or hide from a reader.

    Control tokens of chat templates become their name in parentheses (`<|im_end|>` -> `(im_end)`), so a reader still
    sees what stood there; HTML's `<s>` is one of them, other markup and code stay. Bidirectional and zero-width
    controls go, except joiners between letters or emoji that need them. Sanitising the result again changes nothing.

    Args:
        text: Any text.
        limit: Longest result in characters; see `shorten`.
    """
    text = _SURROGATE.sub("\ufffd", text)
    text = _CONTROL.sub("", _NEWLINES.sub("\n", text))
    text = _INVISIBLE.sub("", text)
    text = _JOINER.sub(_keep_joiner, _SELECTOR.sub(_keep_selector, text))
    text = _defuse(text)
    return text if limit is None else shorten(text, limit)


def shorten(text: str, limit: int) -> str:
    """Cut a text to `limit` characters and say so where it was cut: the first two thirds stay, and the end."""
    if len(text) <= limit:
        return text
    mark = f" [... {len(text) - limit:,} characters left out ...] "
    room = limit - len(mark)
    if room < 40:
        return (text[: limit - 1].rstrip() + "…") if limit > 0 else ""
    head = room * 2 // 3
    return text[:head].rstrip() + mark + text[len(text) - (room - head) :].lstrip()


def _defuse(text: str) -> str:
    """Replace control tokens; no token has parentheses in it, so what comes out holds no new one."""
    folded = text.translate(_FOLDED) if _FOLDABLE.search(text) else text
    pieces: list[str] = []
    at = 0
    for match in _TOKEN.finditer(folded):
        pieces += text[at : match.start()], f"({match[match.lastgroup or 0]})"
        at = match.end()
    return "".join([*pieces, text[at:]]) if pieces else text


def _keep_selector(match: re.Match[str]) -> str:
    """A selector stays behind a sign that can be an emoji."""
    before = match.string[match.start() - 1 : match.start()]
    if not before or before.isascii():
        return match.group() if before and before in "0123456789#*" else ""
    emoji = unicodedata.category(before) in ("So", "Sm", "Po") or before in "\u2139\u3030"
    return match.group() if emoji and not _foldable(before) else ""


def _keep_joiner(match: re.Match[str]) -> str:
    """A joiner stays between two characters that it can join, and after a virama, where it ends words in Malayalam."""
    text, at = match.string, match.start()
    before = text[at - 1 : at]
    joined = _joins(before) and (unicodedata.combining(before) == 9 or _joins(text[at + 1 : at + 2]))
    return match.group() if joined else ""


def _joins(char: str) -> bool:
    if not char or char.isascii() or char in "\u200c\u200d" or _foldable(char):
        return False
    return unicodedata.category(char)[0] not in "ZCP" and not unicodedata.name(char, "").startswith("LATIN")


def _foldable(char: str) -> bool:
    return _FOLDABLE.match(char) is not None
