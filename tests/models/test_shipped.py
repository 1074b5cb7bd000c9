"""The trained model in the package: whole, small, of the default base, and nothing of the machine that made it."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest

from popi_sdk import Personalizer
from popi_sdk.models.catalog import CATALOG
from popi_sdk.models.trained import SHIPPED, read_trained, trained_folder
from popi_sdk.prompts import template_digest

pytestmark = pytest.mark.parametrize("name", SHIPPED)


def test_it_is_found_by_its_name_unless_a_folder_is_called_so(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert trained_folder(name) == SHIPPED[name]
    (tmp_path / name).mkdir()
    assert trained_folder(name) == Path(name)


def test_its_base_and_templates_are_those_of_the_package(name: str) -> None:
    trained = read_trained(name, SHIPPED[name])
    assert trained.base_digest == f"gguf:{CATALOG[trained.base_model].sha256}"
    assert trained.templates == {one: template_digest(one) for one in trained.templates} != {}
    assert trained.inferrer_path is not None
    assert trained.generator_path is not None


def test_it_is_small_and_in_one_format(name: str) -> None:
    files = [file for file in SHIPPED[name].rglob("*") if file.is_file()]
    assert {file.name for file in files} == {
        "README.md",
        "popi.json",
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert sum(file.stat().st_size for file in files) <= 15e6
    for file in SHIPPED[name].glob("*/adapter_model.safetensors"):
        with file.open("rb") as opened:
            header = json.loads(opened.read(struct.unpack("<Q", opened.read(8))[0]))
        assert {tensor["dtype"] for key, tensor in header.items() if key != "__metadata__"} == {"F16"}


def test_nothing_of_the_machine_that_trained_it(name: str) -> None:
    for file in SHIPPED[name].rglob("*"):
        if file.suffix in {".json", ".md"}:
            assert not re.search(r"(?<![\w.:/])(/(root|home|work|tmp|Users)/|[A-Z]:\\)", file.read_text("utf-8")), file


def test_it_runs_in_the_embedded_engine(name: str, gguf: Path) -> None:
    signals = ["Please keep it short.", "Bullet points, please.", {"kind": "statement", "text": "No jargon."}]
    with Personalizer.from_pretrained(name, engine="llamacpp", backend={"context": 2_048, "threads": 1}) as popi:
        response = popi.personalize(signals, "What is a firewall?", options={"max_tokens": 12, "temperature": 0})
    assert "short" in response.summary.text
    assert 8 <= response.summary.tokens <= 64
    assert response.text
