"""What of a run comes into the pages: texts of nobody real, and of real people what may be passed on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.runs import item, write_run

from benchmarks import results


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "_RESULTS", tmp_path / "pages")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "rows.md").write_text("Words.\n<!-- table -->\n<!-- end -->\nMore.\n")
    return tmp_path / "pages"


def run(folder: Path, *, quote: int = 0) -> Path:
    """Twelve users, of whom `mine` is trained and `plain` is not."""
    users = [f"voter-{number}" for number in range(12)]
    items = [
        item(row, user, 0, delta) for row, delta in (("none", 0.0), ("mine", 1.0), ("plain", 1.0)) for user in users
    ]
    said = [
        {"writer": writer, "user_id": user, "text": f"{writer} of {user[-1]}", "tokens": 4}
        | {"signals_used": 1, "signals_total": 1, "quoted": 0.0, "longest_quote": quote}
        for writer in ("mine", "plain")
        for user in users
    ]
    return write_run(folder, items, summaries=said, trained=["mine"])


def test_nobody_real_is_shown_whole(pages: Path, tmp_path: Path) -> None:
    results.main([run(tmp_path / "styleworld-mine", quote=20)])
    text = (pages / "styleworld-mine" / "summaries.md").read_text()
    assert text.count("- `mine`: mine of ") == 10
    assert "**voter-0**" in text
    assert "plain of" not in text
    index = (pages / "rows.md").read_text()
    assert "[Summaries of 10 users](styleworld-mine/summaries.md)" in index
    assert index.startswith("Words.\n")
    assert index.endswith("<!-- end -->\nMore.\n")


def test_real_people_without_ids_and_by_name_of_whoever_gathered_it(pages: Path, tmp_path: Path) -> None:
    results.main([run(tmp_path / "polis-mine", quote=8)])
    text = (pages / "polis-mine" / "summaries.md").read_text()
    assert "voter" not in text
    assert "**user 10**\n\n- `mine`: mine of 9" in text
    assert "The Computational Democracy Project" in text
    assert "voter" not in (pages / "polis-mine" / "report.html").read_text()


@pytest.mark.parametrize(("name", "quote"), [("polis-mine", 9), ("jester-mine", 0), ("other", 0)])
def test_what_quotes_or_may_not_be_passed_on_stays_out(name: str, quote: int, pages: Path, tmp_path: Path) -> None:
    results.main([run(tmp_path / name, quote=quote)])
    assert not (pages / name / "summaries.md").exists()
    assert "Summaries of" not in (pages / "rows.md").read_text()
    assert f"## {name}\n" in (pages / "rows.md").read_text()
