"""Whether llama.cpp says what transformers says, with trained adapters: `python -m benchmarks.embedded [DIR]`.

DIR is what training wrote on the default model. Without it two adapters are drawn at random, on every linear layer and
large enough to change nearly every text, small enough that it stays language. The
inferrer summarises 20 StyleWorld users, the generator answers a prompt of each, both greedily; the reference is
transformers in float32. Beside the 4-bit file that is shipped stands the same file written out in float32: the weights
of both are the very numbers that transformers computes with, so what differs is how they are multiplied.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from popi_sdk.data import open_data
from popi_sdk.generators import Generator
from popi_sdk.generators.hf import HfGenerator
from popi_sdk.inferrers.prompted import words_for
from popi_sdk.inferrers.trained import part_generator
from popi_sdk.messages import Message
from popi_sdk.models import resolve_gguf
from popi_sdk.models.catalog import DEFAULT_MODEL
from popi_sdk.models.causal_lm import CausalLM
from popi_sdk.models.fingerprint import base_digest
from popi_sdk.models.trained import TrainedModel, read_trained, trained_folder
from popi_sdk.prompts import render_infer, render_with_summary, select

from .report import table

USERS = 20
TOKENS = 48
EMBEDDED = {"context": 4_096, "timeout": 3_600}
RANK, STD = 8, 0.03


def main(directory: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as temp:
        folder = trained_folder(directory) if directory else _drawn(Path(temp) / "trained")
        trained = read_trained("trained", folder)
        written_out = _in_float32(resolve_gguf(None), Path(temp) / "SmolLM2.F32.gguf")
        ways: dict[str, dict[str, Any]] = {
            "transformers, bfloat16": {"dtype": "bfloat16", "timeout": 3_600},
            "llama.cpp, the weights in float32": {"engine": "llamacpp", "gguf": written_out, **EMBEDDED},
            "llama.cpp, the 4-bit file": {"engine": "llamacpp", **EMBEDDED},
        }
        for part in ("inferrer", "generator"):
            _compare(trained, part, ways)


def _drawn(folder: Path) -> Path:
    """A directory as training leaves it, with adapters that nobody trained."""
    import torch
    from peft import LoraConfig, get_peft_model

    from popi_sdk.models.causal_lm import load_causal_lm

    config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    for seed, part in enumerate(("inferrer", "generator")):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft asks transformers for what it calls deprecated
            model = get_peft_model(load_causal_lm(dtype="float32").model, config)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=STD)
        model.save_pretrained(folder / part)
    facts = {"base_model": DEFAULT_MODEL.name, "base_digest": base_digest(None), "budget": TOKENS}
    (folder / "popi.json").write_text(json.dumps(facts | {"inferrer": "inferrer", "generator": "generator"}))
    return folder


def _in_float32(source: Path, path: Path) -> Path:
    """The same GGUF with every weight as the number that it stands for."""
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, str(reader.fields["general.architecture"].contents()))
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            inner = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _compare(trained: TrainedModel, part: str, ways: dict[str, dict[str, Any]]) -> None:
    place = trained.inferrer_path if part == "inferrer" else trained.generator_path
    with part_generator(trained, place, dtype="float32", timeout=3_600) as reference:
        assert isinstance(reference, HfGenerator)
        prompts = _prompts(trained, part, reference)
        expected = _texts(reference, prompts)
        with HfGenerator(trained.base_model, dtype="float32", timeout=3_600) as base:
            moved = sum(one != two for one, two in zip(_texts(base, prompts), expected, strict=True))
        rows = []
        for name, options in ways.items():
            print(f"{part}: {name}", file=sys.stderr)
            with part_generator(trained, place, **options) as generator:
                found = _texts(generator, prompts)
            rows.append((name, *_differences(*reference._worker()._ready(), prompts, expected, found)))
    table(
        f"{part}: {USERS} texts of at most {TOKENS} tokens beside transformers in float32; the base alone says "
        f"something else in {moved}",
        ("engine", "same text", "first other token, median", "log-probability it lacked there, median and most"),
        rows,
    )


def _prompts(trained: TrainedModel, part: str, reference: Generator) -> list[list[Message]]:
    prompts = []
    for user in open_data("styleworld", split="dev", limit=USERS):
        if part == "inferrer":
            selection = select(user.signals, trained.input_budget, reference)
            prompts.append(render_infer(selection, words=words_for(trained.budget)))
        else:
            prompts.append(render_with_summary(user.pairs[0].prompt, user.gold or ""))
    return prompts


def _texts(generator: Generator, prompts: Sequence[list[Message]]) -> list[str]:
    options = {"max_tokens": TOKENS}
    return [one.text for one in generator.generate_batch(prompts, options)]  # type: ignore[arg-type]


def _differences(
    model: CausalLM,
    adapter: str | None,
    prompts: Sequence[list[Message]],
    expected: Sequence[str],
    found: Sequence[str],
) -> tuple[str, str, str]:
    """How many are the same; where the others part, and how near the reference was to saying the same there."""
    places, gaps = [], []
    for prompt, one, two in zip(prompts, expected, found, strict=True):
        if one == two:
            continue
        ours, theirs = model.encode_response(one), model.encode_response(two)
        at = next(place for place, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
        places.append(at + 1)
        with model.use(adapter):
            gaps.append(_gap(model, [*model.encode_prompt(prompt), *ours[:at]], ours[at], theirs[at]))
    same = f"{len(expected) - len(places)} of {len(expected)}"
    if not places:
        return same, "-", "-"
    return same, f"{statistics.median(places):.0f}", f"{statistics.median(gaps):.3f}, {max(gaps):.3f}"


def _gap(model: CausalLM, ids: list[int], ours: int, theirs: int) -> float:
    """Log-probability of the reference's token minus that of the other's, nats."""
    import torch

    with torch.inference_mode():
        logits = model.model(torch.tensor([ids])).logits[0, -1]
    return float(logits[ours] - logits[theirs])


if __name__ == "__main__":
    main(*sys.argv[1:2])
