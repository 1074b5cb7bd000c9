"""A trained model goes to the hub and comes back: the real client, a hub on loopback."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.hub_server import TOKEN, HubServer

from popi_sdk import AuthenticationError, BackendConnectionError, BackendError, ConfigurationError, Personalizer
from popi_sdk.data import tinyworld
from popi_sdk.inferrers import create_inferrer
from popi_sdk.settings import get_settings
from popi_sdk.train import push_to_hub

# The client of the hub uses what its HTTP library calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
FLOAT32 = {"dtype": "float32"}
REPO = "someone/mine"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    from huggingface_hub import constants

    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)  # read when the client was imported, before this test
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its protocol is not HTTP that a test can speak
        yield server


@pytest.fixture
def saved(trainer, tmp_path: Path) -> Path:
    folder = trainer().train().save_pretrained(tmp_path / "mine")
    (folder / "run").mkdir()
    (folder / "run" / "history.jsonl").write_text('{"secret": 1}\n')
    return folder


def test_there_and_back(hub: HubServer, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = push_to_hub(saved, REPO, private=True, token=TOKEN)
    assert url == f"{hub.url}/{REPO}"
    assert hub.repos[REPO]["private"]
    files = hub.files(REPO)
    assert sorted(files) == [
        "README.md",
        *(
            f"{part}/adapter_{what}"
            for part in ("generator", "inferrer")
            for what in ("config.json", "model.safetensors")
        ),
        "popi.json",
    ]
    for name, content in files.items():
        assert (saved / name).read_bytes() == content
    assert f'from_pretrained("{REPO}")' in files["README.md"].decode()
    assert sum(" /api/models/someone/mine/commit/" in one for one in hub.asked) == 1

    user = next(iter(tinyworld.generate("dev", 1)))
    with Personalizer.from_pretrained(saved, backend=FLOAT32, options={"max_tokens": 4}) as popi:
        expected = popi.personalize(user.signals, "show the river")
    with Personalizer.from_pretrained(REPO, backend=FLOAT32, options={"max_tokens": 4}) as popi:
        got = popi.personalize(user.signals, "show the river")
        assert (got.summary.text, got.text) == (expected.summary.text, expected.text)
        assert popi.inferrer.trained.directory.is_relative_to(tmp_path / "hub")
    inferrer = create_inferrer(f"trained:{REPO}", **FLOAT32)
    assert inferrer.infer(user.signals, budget=4, counter=inferrer.generator).text == expected.summary.text
    inferrer.close()

    asked = len(hub.asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # from the cache, without a question
    get_settings.cache_clear()
    with Personalizer.from_pretrained(REPO, backend=FLOAT32) as popi:
        assert popi.infer(user.signals).text == expected.summary.text
    with pytest.raises(ConfigurationError, match="no trained model of that name is in the hub's cache"):
        Personalizer.from_pretrained("someone/else")
    with pytest.raises(ConfigurationError, match="not pushed while POPI_OFFLINE"):
        push_to_hub(saved, REPO, token=TOKEN)
    assert len(hub.asked) == asked


def test_what_a_part_no_longer_has_does_not_stay_there(hub: HubServer, trainer, tmp_path: Path) -> None:
    whole = trainer(adapters=None, steps=1).train().save_pretrained(tmp_path / "whole")
    push_to_hub(whole, REPO, token=TOKEN)
    assert "inferrer/model.safetensors" in hub.files(REPO)
    hub.files(REPO)[".gitattributes"] = b"*.safetensors filter=lfs"
    trainer(steps=1).train().push_to_hub(REPO, token=TOKEN)
    assert not any(name.endswith("/model.safetensors") for name in hub.files(REPO))
    assert {"inferrer/adapter_model.safetensors", ".gitattributes"} <= set(hub.files(REPO))
    assert not hub.repos[REPO]["private"]


@pytest.mark.parametrize(
    ("fail", "kind", "message"),
    [
        (("/api/repos/create", 401), AuthenticationError, "write access in the hub's settings, and set HF_TOKEN"),
        (("/api/repos/create", 403), AuthenticationError, "answered 403"),
        (("/api/repos/create", 500), BackendError, "answered 500. Push again later"),
        (("/commit/", 500), BackendError, "answered 500. Push again later"),
        (("/lfs/objects/batch", 403), AuthenticationError, "answered 403"),
        (("/preupload/", 404), ConfigurationError, "Check the name"),
        (("/preupload/", 400), BackendError, "answered 400. Check"),
    ],
)
def test_a_hub_that_refuses(
    hub: HubServer, saved: Path, fail: tuple[str, int], kind: type, message: str, monkeypatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits between its own tries
    hub.fail = fail
    with pytest.raises(kind, match=message) as caught:
        push_to_hub(saved, REPO, token=TOKEN)
    assert not hub.repos.get(REPO, {"files": {}})["files"]  # nothing, or all
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert getattr(caught.value, "retryable", False) == (fail[1] == 500)


def test_a_wrong_token_none_and_no_network(hub: HubServer, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AuthenticationError, match=r"HF_TOKEN, run `hf auth login`, or give token=") as caught:
        push_to_hub(saved, REPO, token=TOKEN[::-1])
    assert TOKEN[::-1] not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(AuthenticationError, match="HF_TOKEN"):
        push_to_hub(saved, REPO)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    push_to_hub(saved, REPO)
    with pytest.raises(ConfigurationError, match="no name of a repository"):
        push_to_hub(saved, "not a name/at all", token=TOKEN)
    with pytest.raises(ConfigurationError, match=r"cannot read popi\.json"):
        push_to_hub(saved / "inferrer", REPO, token=TOKEN)
    with pytest.raises(ConfigurationError, match="the hub has no trained model of that name"):
        Personalizer.from_pretrained("someone/else")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(BackendConnectionError, match="Check the network and HF_ENDPOINT") as caught:
        push_to_hub(saved, REPO, token=TOKEN)
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_a_card_that_the_hub_does_not_take(hub: HubServer, saved: Path) -> None:
    hub.fail = ("/api/validate-yaml", 400)
    with pytest.raises(ConfigurationError, match=r"Invalid metadata in README\.md.* and push again"):
        push_to_hub(saved, REPO, token=TOKEN)
    assert not hub.files(REPO)
