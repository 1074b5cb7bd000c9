"""Tokenizers of the kinds that models have, each trained on a few sentences in this process."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from support.tiny_models import CHATML, TEXT, tiny_tokenizer

LLAMA2 = (  # an answer stands between blanks
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% elif m['role'] == 'user' %}"
    "{{ '[INST] ' + m['content'] | trim + ' [/INST]' }}{% else %}{{ ' ' + m['content'] | trim + ' ' + eos_token }}"
    "{% endif %}{% endfor %}"
)
ZEPHYR = (  # the roles are no tokens, the end is
    "{% for m in messages %}{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
GEMMA = (  # turns must alternate, contents are trimmed, the assistant is called model
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\\n' + m['content'] | trim + "
    "'<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
QWEN3 = (  # looks into contents for the thinking of earlier answers, and writes an empty one into the last
    "{% for m in messages %}{% set content = m['content'].split('</think>')[-1] if m['role'] == 'assistant' else "
    "m['content'] %}{{ '<|im_start|>' + m['role'] + '\\n' }}{% if loop.last and m['role'] == 'assistant' %}"
    "{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}{{ content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
DROPS_SYSTEM = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + "
    "'<|im_end|>\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
DATED = "{{ strftime_now('%d %b %Y') }}" + CHATML


def added_blanks() -> PreTrainedTokenizerFast:
    """GPT-NeoX and Gemma have runs of blanks, and some have words, among their added tokens: ordinary text."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("    ", normalized=True), AddedToken("\n\n"), AddedToken("firewall")])
    return tokenizer


def eats_blanks() -> PreTrainedTokenizerFast:
    """Phi-3's control tokens take the blanks behind them, others those before them."""
    backend = tiny_tokenizer().backend_tokenizer
    backend.add_special_tokens([AddedToken("<|end|>", rstrip=True), AddedToken("<|user|>", rstrip=True, lstrip=True)])
    template = ZEPHYR.replace("eos_token", "'<|end|>'")
    return _fast(backend, template, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def sentencepiece(template: str = LLAMA2, *, legacy: bool = True, scheme: str = "first") -> PreTrainedTokenizerFast:
    """Llama 2's: a blank before the text (before each stretch of it, if legacy), bytes for what it does not know."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if legacy:
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        trained_with = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    else:
        trained_with = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    letters = [f"<0x{code:02X}>" for code in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<unk>", "<s>", "</s>", *letters], show_progress=False, max_token_length=12
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    tokenizer.train_from_iterator([text.replace(" ", " ▁").replace(" ▁", "▁") for text in TEXT], trainer)
    tokenizer = _without_letters(tokenizer, letters)
    tokenizer.pre_tokenizer = None if legacy else trained_with
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return _fast(tokenizer, template, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def unigram() -> PreTrainedTokenizerFast:
    """T5's kind: its vocabulary has the control tokens as pieces, and its normaliser makes them of look-alikes."""
    pieces = sorted({char for text in TEXT for char in text.replace(" ", "▁")} | set("<>/|[]"))
    vocabulary = [("<unk>", 0.0), ("<s>", -1.0), ("</s>", -1.0), ("▁fire", -3.0), *((piece, -6.0) for piece in pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=0))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return _fast(tokenizer, ZEPHYR, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def single_words() -> PreTrainedTokenizerFast:
    """A control token that counts only between blanks: the copy with secret names does not work."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("[END]", single_word=True)])
    return tokenizer


def gemma() -> PreTrainedTokenizerFast:
    backend = tiny_tokenizer().backend_tokenizer
    backend.add_special_tokens(["<bos>", "<start_of_turn>", "<end_of_turn>"])
    return _fast(backend, GEMMA, bos_token="<bos>", eos_token="<|endoftext|>")


EXACT = {
    "chatml": tiny_tokenizer,
    "qwen3": lambda: tiny_tokenizer(QWEN3),
    "zephyr": lambda: tiny_tokenizer(ZEPHYR),
    "drops the system prompt": lambda: tiny_tokenizer(DROPS_SYSTEM),
    "dated": lambda: tiny_tokenizer(DATED),
    "no template": lambda: tiny_tokenizer(None),
    "blanks and words": added_blanks,
    "eats blanks": eats_blanks,
    "gemma": gemma,
    "llama 2": sentencepiece,
    "llama, new": lambda: sentencepiece(legacy=False),
    "llama, new, always": lambda: sentencepiece(ZEPHYR, legacy=False, scheme="always"),
}
"""Those in which a control token is read as its own characters."""

LOOSE = {"unigram": unigram, "single words": single_words}
"""Those for which it is taken apart first."""

ALL = EXACT | LOOSE


def _without_letters(tokenizer: Tokenizer, letters: list[str]) -> Tokenizer:
    """The bytes are pieces of the vocabulary, not added tokens as the trainer makes them."""
    import json

    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["content"] not in letters]
    return Tokenizer.from_str(json.dumps(data))


def _fast(backend: Tokenizer, template: str | None, **options: Any) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **options)
    tokenizer.chat_template = template
    return tokenizer
