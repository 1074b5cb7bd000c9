"""TinyWorld: a toy language of 47 words for models that are built in the process, so that CI can train from scratch.

A user likes one value of each of three attributes (size, warmth, pace). Every value has a name and three words that
show it; a response is a topic, a time and a word for each attribute, in any order. The gold description is the three
names. So `describe the river at dusk` is answered `tiny river calm dusk sunny` for one user and `brisk dusk huge river
icy` for another, and nothing but the user's signals tells which.

Topic and time of a prompt decide its split: no prompt and no response of one split is in another one, and every word is
in all of them. All eight kinds of users are in every split, equally often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, DataError, needs_extra
from ..models._quiet import quiet
from ..signals import PreferencePair, Rating, Signal, Statement
from .record import HeldOutPair, UserRecord
from .styleworld.draws import Draws

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

__all__ = [
    "ATTRIBUTES",
    "DEFAULT_USERS",
    "MAX_ITEMS",
    "TEST_DIGEST",
    "VERSION",
    "WORDS",
    "generate",
    "save_tiny_model",
    "shown_values",
    "tiny_model",
    "tiny_tokenizer",
]

VERSION = "1"
"""Of the world: what is generated changes with this and with nothing else."""

TEST_DIGEST = "935a636818001f6eadf200525a5a724c1410073294a44fb496f68899010f67b8"
"""SHA-256 of the default test users of this version."""

DEFAULT_USERS: Mapping[str, int] = MappingProxyType({"train": 2048, "dev": 128, "test": 256})
"""Users of each split, unless the caller says otherwise."""

ATTRIBUTES: Mapping[str, Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "size": {"small": ("tiny", "little", "wee"), "large": ("big", "huge", "vast")},
        "warmth": {"warm": ("sunny", "mild", "cosy"), "cool": ("icy", "fresh", "frosty")},
        "pace": {"slow": ("calm", "gentle", "lazy"), "quick": ("rapid", "swift", "brisk")},
    }
)
"""The three attributes, their two values, and the words that show each."""

_VERBS = ("describe", "show", "paint", "recall")
_TOPICS = (
    *("river", "garden", "street", "forest", "harbour", "market"),
    *("valley", "tower", "bridge", "meadow", "island", "village"),
)
_TIMES = ("dawn", "noon", "dusk", "night")
_FILLERS = ("the", "at", "please")

_VALUE_OF = {word: value for values in ATTRIBUTES.values() for value, words in values.items() for word in words}
_ATTRIBUTE_OF = {value: attribute for attribute, values in ATTRIBUTES.items() for value in values}
_OPPOSITE = {value: other for values in ATTRIBUTES.values() for value in values for other in values if value != other}
_USERS = tuple(product(*ATTRIBUTES.values()))

WORDS = (*_ATTRIBUTE_OF, *_VALUE_OF, *_VERBS, *_TOPICS, *_TIMES, *_FILLERS)
"""All words of the language."""

# Which (topic, time) is whose: half of the times of every topic, and of the topics of every time, are for training.
_PLACES: Mapping[str, tuple[int, ...]] = MappingProxyType({"train": (0, 1), "dev": (2,), "test": (3,)})

MAX_ITEMS = 48
"""Signals and pairs that a user can have together: prompts of the smallest split."""

_CONTEXT = 2_048  # tokens: the template for a summary with 1,024 of signals fits


@dataclass(frozen=True, slots=True)
class _Prompt:
    verb: str
    topic: str
    time: str

    @property
    def text(self) -> str:
        return f"{self.verb} the {self.topic} at {self.time}"


def generate(
    split: str, users: int | None = None, *, seed: int = 0, signals: int = 6, pairs: int = 4
) -> Iterator[UserRecord]:
    """Generate users one by one; the same arguments give the same bytes on every machine and Python version.

    The first three signals are enough to know the user: each tells about another attribute. A pair differs in one, two
    or three attributes (`kind`); over all users each response is chosen as often as not, so who ignores the user is
    right half of the time.

    Args:
        split: `train`, `dev` or `test`; see the module.
        users: How many; None for as many as `DEFAULT_USERS` says.
        seed: Another seed gives other users.
        signals: How many signals each user has: of six, four are preferences, one a rating and one a statement.
        pairs: How many held-out pairs each user has.

    Raises:
        DataError: If the split is unknown, or a number is out of range.
    """
    if split not in _PLACES:
        raise DataError(f"TinyWorld has no split {split!r:.80}. Use one of: {', '.join(_PLACES)}.", field="split")
    users = DEFAULT_USERS[split] if users is None else users
    for field, count, least in (("users", users, 0), ("signals", signals, 1), ("pairs", pairs, 1)):
        if count < least:
            raise DataError(f"{field}={count} must be at least {least}.", field=field)
    if signals + pairs > MAX_ITEMS:
        raise DataError(f"{signals} signals and {pairs} pairs are too many: TinyWorld has {MAX_ITEMS} for a user.")
    return (_record(split, index, seed, signals, pairs) for index in range(users))


def shown_values(text: str) -> dict[str, str]:
    """The value that a text shows or names, for each attribute that it tells about: the language, read by an oracle."""
    values = (_VALUE_OF.get(word, word) for word in text.split())
    return {_ATTRIBUTE_OF[value]: value for value in values if value in _ATTRIBUTE_OF}


def _record(split: str, index: int, seed: int, signals: int, pairs: int) -> UserRecord:
    user_id = f"tinyworld-{split}-{seed}-{index:05d}"
    round_, place = divmod(index, len(_USERS))
    liked = Draws(VERSION, split, seed, "users", round_).shuffled(_USERS)[place]
    prompts = Draws(VERSION, user_id, "prompts").shuffled(_prompts(split))
    told = Draws(VERSION, user_id, "attributes").shuffled(range(len(ATTRIBUTES)))
    return UserRecord(
        user_id=user_id,
        signals=tuple(
            _signal(at, liked, told, prompts[at], Draws(VERSION, user_id, "signal", at)) for at in range(signals)
        ),
        pairs=tuple(_pair(liked, prompts[-1 - at], Draws(VERSION, user_id, "pair", at)) for at in range(pairs)),
        gold=" ".join(liked),
        split=split,
        meta={"world": f"tinyworld {VERSION}"},
    )


def _prompts(split: str) -> list[_Prompt]:
    return [
        _Prompt(verb, topic, time)
        for (row, topic), (column, time) in product(enumerate(_TOPICS), enumerate(_TIMES))
        if (row + column) % len(_TIMES) in _PLACES[split]
        for verb in _VERBS
    ]


def _signal(at: int, liked: Sequence[str], told: Sequence[int], prompt: _Prompt, draws: Draws) -> Signal:
    place = at % 6
    if place == 3:
        pleased = draws.chance(0.5)
        text = _response(prompt, liked if pleased else [_OPPOSITE[value] for value in liked], draws)
        return Rating(prompt=prompt.text, text=text, score=5 if pleased else 1, scale=(1, 5))
    if place == 5:
        return Statement(text=f"{draws.choice(liked)} please")
    told_here = told[at % len(told)]
    changed = [attribute for attribute in range(len(liked)) if attribute == told_here or draws.chance(0.5)]
    chosen, rejected = _two(prompt, liked, changed, draws)
    return PreferencePair(prompt=prompt.text, chosen=chosen, rejected=rejected)


def _pair(liked: Sequence[str], prompt: _Prompt, draws: Draws) -> HeldOutPair:
    changed = draws.some(range(len(liked)), 1 + draws.below(len(liked)))
    chosen, rejected = _two(prompt, liked, changed, draws)
    kind = ("one attribute", "two attributes", "three attributes")[len(changed) - 1]
    return HeldOutPair(prompt=prompt.text, chosen=chosen, rejected=rejected, kind=kind, population_agrees=0.5)


def _two(prompt: _Prompt, liked: Sequence[str], changed: Sequence[int], draws: Draws) -> tuple[str, str]:
    """A response as the user likes it, and one that shows the opposite of some attributes."""
    other = [_OPPOSITE[value] if at in changed else value for at, value in enumerate(liked)]
    return _response(prompt, liked, draws), _response(prompt, other, draws)


def _response(prompt: _Prompt, values: Sequence[str], draws: Draws) -> str:
    words = [draws.choice(ATTRIBUTES[_ATTRIBUTE_OF[value]][value]) for value in values]
    return " ".join(draws.shuffled([prompt.topic, prompt.time, *words]))


# The words of our templates, so that a tiny model reads signals and summaries as any other model does; see the tests.
_TEMPLATES = (
    "About After Answer Assistant At Before Below Chosen Claim Describe Do English Keep Lines Notes Prompt Rejected "
    "Text The Use User What Write a agree an and another answered answers are as asked assistant attributes be begin "
    "behind certain comes data description disagree do edited else everyday example examples far first follow for "
    "formal from further how imperative in instruction is it left likes long mention most no none not nothing of on "
    "one or out pass plain preferences preferred quote rated reason response s said scale sentences short show shown "
    "signals so stands structured system talked technical text that the their them they this to topics turns user was "
    "way what with without words written wrote"
)
_SIGNS = "0123456789.,:;!?>-'\"()[]"

PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<|im_start|>", "<|im_end|>"
_CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with a token for every word of the language and of our templates, and ChatML as its chat template.

    What it does not know becomes `<unk>`; decoded words stand with a space between them.

    Raises:
        MissingExtraError: If transformers is not installed.
    """
    with needs_extra("hf"):
        from tokenizers import Tokenizer, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast
    vocabulary = dict.fromkeys([PAD, UNKNOWN, START, END, *WORDS, *_TEMPLATES.split(), *_SIGNS])
    ids = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.add_special_tokens([PAD, UNKNOWN, START, END])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNKNOWN,
        bos_token=START,
        eos_token=END,
        chat_template=_CHAT,
        model_max_length=_CONTEXT,
    )


def tiny_model(seed: int = 0, *, layers: int = 2, width: int = 64) -> LlamaForCausalLM:
    """A Llama with random weights for `tiny_tokenizer`: 0.1 million parameters, float32, in eval mode.

    A hundred steps of AdamW (learning rate 2e-3, 32 users a step) are enough to learn to write the gold description
    from a prompt with the signals, and about as many to learn to follow it.

    Args:
        seed: Of the weights; the global random state stays as it is.
        layers: How many.
        width: Of the residual stream; a multiple of 16, the width of a head.

    Raises:
        ConfigurationError: If the width is not.
        MissingExtraError: If torch or transformers is not installed.
    """
    if width < 16 or width % 16:
        raise ConfigurationError(f"width={width} must be a multiple of 16, the width of an attention head.")
    with needs_extra("hf"):
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
    tokenizer = tiny_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 16,
        num_key_value_heads=width // 16,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        initializer_range=0.1,  # with the usual 0.02 it learns nothing from signals in 400 steps
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def save_tiny_model(directory: str | Path, *, seed: int = 0, layers: int = 2, width: int = 64) -> Path:
    """Write `tiny_model` and its tokenizer into a directory that `load_causal_lm` and `popi eval --model` take.

    Returns:
        The directory.
    """
    folder = Path(directory)
    model, tokenizer = tiny_model(seed, layers=layers, width=width), tiny_tokenizer()
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder
