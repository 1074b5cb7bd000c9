from __future__ import annotations

import csv
import gzip
import json
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from support.pages import ROOT, table_under

from popi_sdk import PreferencePair, Profile, Writing
from popi_sdk.data import BENCHMARKS, UserRecord, benchmarks, open_data
from popi_sdk.data.lines import MAX_LINE
from popi_sdk.errors import DataError

FIXTURES = Path(__file__).parent / "fixtures"
SPLITS = ("train", "dev", "test")


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def _save(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _users(spec: str, split: str, **options: Any) -> list[UserRecord]:
    return list(open_data(spec, split=split, **options))


def _pairs(user: UserRecord) -> set[tuple[str, str, str]]:
    shown = {(pair.prompt, pair.chosen, pair.rejected) for pair in user.signals if isinstance(pair, PreferencePair)}
    return shown | {(pair.prompt, pair.chosen, pair.rejected) for pair in user.pairs}


@pytest.mark.parametrize(("name", "shots", "users"), [("elix", 4, 8), ("review", 4, 4), ("roleplay", 8, 3)])
def test_a_user_is_a_block_of_pairs_of_one_kind(name: str, shots: int, users: int) -> None:
    splits = {
        split: _users(f"{name}@{FIXTURES / name}.jsonl", split) if name != "review" or split == "dev" else []
        for split in SPLITS
    }
    found = [user for split in splits.values() for user in split]
    assert len(found) == users
    for split, members in splits.items():
        for user in members:
            assert (len(user.signals), len(user.pairs), user.split) == (shots, 1, split)
            assert str(user.meta["user_kind"]) in user.user_id
    held = [(user.meta["user_kind"], pair) for user in found for pair in _pairs(user)]
    assert len(held) == len(set(held)) == users * (shots + 1)  # no row is in two blocks


def test_the_label_tells_which_response_is_preferred() -> None:
    for split in SPLITS:
        for user in _users(f"elix@{FIXTURES / 'elix.jsonl'}", split):
            plain = user.meta["user_kind"] == "child"
            said = [row["response_x"].strip() for row in _rows("elix") if row["level_x"] == "child"]
            assert (user.pairs[0].chosen in said) == plain
            assert user.gold == f"Wants explanations for this level: {user.meta['user_kind']}."
            assert user.pairs[0].meta.keys() == {"level_x", "level_y"}


def test_rows_that_a_benchmark_does_not_use_are_left_out() -> None:
    kinds = {user.meta["user_kind"] for split in SPLITS for user in _users(f"elix@{FIXTURES / 'elix.jsonl'}", split)}
    assert kinds == {"child", "expert"}  # not the graduate, who is no level of the responses
    kinds = {user.meta["user_kind"] for user in _users(f"review@{FIXTURES / 'review.jsonl'}", "dev")}
    assert kinds == {"positive", "negative", "concise", "verbose"}


def test_repeated_rows_are_left_out_in_either_order_and_counted() -> None:
    data = open_data(f"elix@{FIXTURES / 'elix.jsonl'}")
    assert len(list(data)) == 2
    assert data.left_out == {"repeated rows": 1}
    assert data.faults == []


def test_the_seed_decides_the_blocks_and_the_order_of_the_file_does_not_decide_the_kinds(tmp_path: Path) -> None:
    spec = f"roleplay@{FIXTURES / 'roleplay.jsonl'}"
    assert _users(spec, "dev") == _users(spec, "dev")
    assert _users(spec, "dev", seed=1) != _users(spec, "dev")
    turned = _save(tmp_path / "roleplay.jsonl", _rows("roleplay")[::-1])
    assert [user.user_id for user in _users(f"roleplay@{turned}", "dev")] == [
        user.user_id for user in _users(spec, "dev")
    ]


def test_persons_of_roleplay_are_in_one_split_only() -> None:
    persons = [
        {user.meta["user_kind"] for user in _users(f"roleplay@{FIXTURES / 'roleplay.jsonl'}", s)} for s in SPLITS
    ]
    assert all(persons)
    assert not any(one & other for one, other in pairwise([*persons, persons[0]]))
    (baker,) = _users(f"roleplay@{FIXTURES / 'roleplay.jsonl'}", "dev")
    assert baker.gold == "A baker who gets up at three and speaks in the images of bread."


def test_users_that_reuse_kinds_come_with_a_note() -> None:
    for name in ("elix", "review"):
        note = open_data(f"{name}@{FIXTURES / name}.jsonl").note
        assert note is not None
        assert "the same kinds as those of the train split" in note
    assert open_data(f"roleplay@{FIXTURES / 'roleplay.jsonl'}").note is None


def test_alignx_makes_signals_of_whatever_a_row_has() -> None:
    users = _users(f"alignx@{FIXTURES / 'alignx-test'}", "test")
    assert [user.pairs[0].kind for user in users] == ["demo", "pair", "ugc", "arbitrary", "arbitrary"]
    kinds = [[type(signal) for signal in user.signals] for user in users]
    assert kinds[:3] == [[Profile], [PreferencePair], [Writing]]
    assert kinds[3:] == [[Profile, Writing, PreferencePair], [Writing, PreferencePair]]
    profile, comment, pair = users[3].signals
    assert isinstance(profile, Profile)
    assert isinstance(comment, Writing)
    assert isinstance(pair, PreferencePair)
    assert profile.attributes == {"demographic information": "A patient person who likes to mend things."}
    assert (comment.text, comment.context) == ("An old one, and learn to mend it.", "Post: which bike to buy?")
    assert (pair.chosen, pair.rejected) == ("Sit near and wait.", "Pull it out.")
    assert users[3].gold == "A patient person who likes to mend things."
    assert users[4].gold is None
    assert users[3].meta == {"Preference Direction": [1, 0.5, 0]}
    assert len({user.user_id for user in users}) == 5


def _posts(count: int) -> list[dict[str, Any]]:
    return [
        {
            "prompt": f"Post {index}",
            "chosen": "Yes.",
            "rejected": "No.",
            "Demographic Information": f"Person {index}.",
        }
        for index in range(count)
    ]


def test_alignx_divides_an_undivided_file_by_rows(tmp_path: Path) -> None:
    path = _save(tmp_path / "posts.jsonl", _posts(20))
    splits = [[user.user_id for user in _users(f"alignx@{path}", split)] for split in SPLITS]
    assert [len(users) for users in splits] == [16, 2, 2]
    assert len({user for users in splits for user in users}) == 20
    assert len(_users(f"alignx@{path}", "train", limit=3)) == 3


def test_a_train_part_gives_its_dev_users_unless_there_is_a_dev_part(tmp_path: Path) -> None:
    _save(tmp_path / "data" / "train-00000-of-00001.jsonl", _posts(20))
    _save(tmp_path / "data" / "test-00000-of-00001.jsonl", _posts(3))
    _save(tmp_path / "dataset_infos.json", [])
    (tmp_path / "README.md").write_text("no rows", encoding="utf-8")
    assert [len(_users(f"alignx@{tmp_path}", split)) for split in SPLITS] == [18, 2, 3]
    _save(tmp_path / "data" / "validation-00000-of-00001.jsonl", _posts(5))
    assert [len(_users(f"alignx@{tmp_path}", split)) for split in SPLITS] == [20, 5, 3]


def test_a_split_that_the_files_do_not_have(tmp_path: Path) -> None:
    _save(tmp_path / "train.jsonl", _posts(3))
    with pytest.raises(DataError, match=r"no users of the split 'test'\. Use one of: dev, train\."):
        open_data(f"alignx@{tmp_path}", split="test")
    with pytest.raises(DataError, match=r"Use one of: test\."):
        open_data(f"alignx@{FIXTURES / 'alignx-test'}", split="dev")


def test_a_dev_split_of_too_few_rows(tmp_path: Path) -> None:
    path = _save(tmp_path / "review.jsonl", _rows("review")[:6])
    with pytest.raises(DataError, match="too few rows for a user of the split 'dev'"):
        _users(f"review@{path}", "dev")
    path = _save(tmp_path / "posts.jsonl", _posts(1))
    with pytest.raises(DataError, match="too few rows for a user of the split 'test'"):
        _users(f"alignx@{path}", "test")


def _as_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=2), encoding="utf-8")


def _as_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def _as_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    _save(path, rows)


def _as_gzip(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_bytes(gzip.compress(json.dumps(rows).encode()))


def _as_json_lines_named_json(path: Path, rows: list[dict[str, Any]]) -> None:
    _save(path, rows)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("rows.jsonl", _as_jsonl),
        ("rows.json", _as_json),
        ("rows.json", _as_json_lines_named_json),
        ("rows.json.gz", _as_gzip),
        ("rows.csv", _as_csv),
        ("rows.parquet", _as_parquet),
    ],
)
def test_every_kind_of_file_gives_the_same_users(tmp_path: Path, name: str, save: Any) -> None:
    save(tmp_path / name, _rows("elix"))
    assert _users(f"elix@{tmp_path / name}", "train") == _users(f"elix@{FIXTURES / 'elix.jsonl'}", "train")


def test_without_pyarrow_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"pip install pyarrow\. Or export the table as JSON Lines"):
        _users(f"elix@{tmp_path}", "train")


def test_a_kind_of_file_that_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "rows.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match=r"unknown. Use one of: \.jsonl, \.json, \.csv, \.parquet"):
        _users(f"elix@{tmp_path / 'rows.xlsx'}", "train")


def test_no_file_says_what_to_put_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(DataError, match=r"no file with rows. Put one there .* with the columns x, yw, yl, level"):
            open_data(f"roleplay@{path}")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"prompt": ""}, "prompt", "empty or not a text"),
        ({"response_x": None}, "response_x", "empty or not a text"),
        ({"response_x": "x" * 1_000_001}, "response_x", "1,000,001 characters; at most 1,000,000"),
        ({"response_x": "Same.", "response_y": "Same. "}, "response_x", "both responses are the same"),
        ({"label": 2}, "label", "Use 0 (response_x is preferred) or 1"),
        ({"label": True}, "label", "is no label"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, changes: dict[str, Any], field: str, words: str) -> None:
    rows = _rows("elix")
    path = _save(tmp_path / "rows.jsonl", [*rows[:3], {**rows[4], **changes}, *rows[4:]])
    with pytest.raises(DataError) as caught:
        _users(f"elix@{path}", "train")
    assert (caught.value.file, caught.value.line, caught.value.field) == (str(path), 4, field)
    assert words in str(caught.value)
    data = open_data(f"elix@{path}", on_fault="skip")
    assert len(list(data)) == 2
    assert data.left_out == {"faults": 1, "repeated rows": 1}


@pytest.mark.parametrize("name", ["elix", "review", "roleplay"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    for column in BENCHMARKS[name].columns:
        rows = [{key: value for key, value in row.items() if key != column} for row in _rows(name)]
        with pytest.raises(DataError, match=f"field '{column}': the column is missing. {name} has the columns"):
            _users(f"{name}@{_save(tmp_path / 'rows.jsonl', rows)}", "dev")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"User-Generated Content": [{"prompt": "Post"}]}, "User-Generated Content.0.comment"),
        ({"User-Generated Content": "[]"}, "User-Generated Content.0.prompt"),
        ({"Pair-wise Comparative Feedback": [7]}, "Pair-wise Comparative Feedback.0.prompt"),
        ({"Demographic Information": ""}, "signals"),
        ({"chosen": "No."}, "pairs.0"),
    ],
)
def test_a_malformed_row_of_alignx_is_named(tmp_path: Path, changes: dict[str, Any], field: str) -> None:
    path = _save(tmp_path / "test.jsonl", [*_posts(1), {**_posts(1)[0], **changes}])
    with pytest.raises(DataError) as caught:
        _users(f"alignx@{path}", "test")
    assert (caught.value.line, caught.value.field) == (2, field)
    data = open_data(f"alignx@{path}", split="test", on_fault="skip")
    assert len(list(data)) == 1
    assert data.left_out == {"faults": 1}
    assert data.faults == [str(caught.value)]


def test_alignx_needs_its_pair(tmp_path: Path) -> None:
    path = _save(tmp_path / "test.jsonl", [{"prompt": "Post", "chosen": "Yes."}])
    with pytest.raises(DataError, match="field 'rejected': the column is missing"):
        _users(f"alignx@{path}", "test")


@pytest.mark.parametrize(
    ("text", "row", "words"),
    [
        ('[{"a": 1}, {"a": ', 2, "Was the file cut off?"),
        ('[{"a": 1} {"a": 2}]', 2, "',' is missing"),
        ('[{"a": 1}', 2, "',' is missing. Was the file cut off?"),
        ("[7]", 1, "no JSON object"),
        ('[{"a": NaN}]', 1, "NaN is no number of JSON"),
        ("[" + '{"a":' * 100_000, 1, "not JSON"),
        ('[{"a": "' + "x" * (MAX_LINE + 100), 1, f"more than {MAX_LINE:,} characters"),
    ],
)
def test_a_json_array_that_goes_wrong(tmp_path: Path, text: str, row: int, words: str) -> None:
    path = tmp_path / "test.json"
    path.write_text(text.replace('{"a": 1}', json.dumps(_posts(1)[0])), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        _users(f"alignx@{path}", "test")
    assert caught.value.line == row
    assert f"row {row}" in str(caught.value)
    assert words in str(caught.value)


def test_a_json_array_with_a_byte_order_mark_and_bad_bytes(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    path.write_bytes(b"\xef\xbb\xbf \n" + json.dumps(_posts(3)).encode())
    assert len(_users(f"alignx@{path}", "test")) == 3
    path.write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(DataError, match="can't decode byte 0xff"):
        _users(f"alignx@{path}", "test")


def test_an_empty_array(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text(" [ ] ", encoding="utf-8")
    with pytest.raises(DataError, match="too few rows"):
        _users(f"alignx@{tmp_path}", "test")


def test_csv_that_goes_wrong(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text('prompt,chosen,rejected\nPost,Yes.,No.,more\nPost,Yes.,"' + "x" * 200_000 + '"\n', encoding="utf-8")
    with pytest.raises(DataError, match="line 2: it has more cells than the first line has names"):
        _users(f"alignx@{path}", "test")
    with pytest.raises(DataError, match="it is not CSV: field larger than field limit"):
        _users(f"alignx@{path}", "test", on_fault="skip")


def test_memory_does_not_grow_with_a_json_array(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        path = tmp_path / "test.json"
        path.write_text(json.dumps([{**row, "chosen": "Yes. " * 4000} for row in _posts(count)]), encoding="utf-8")
        data = open_data(f"alignx@{path}", split="test")
        tracemalloc.start()
        try:
            assert sum(1 for _ in data) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(5)
    assert peak(400) < 1.2 * peak(20)


def test_the_table_of_the_module_is_the_catalog() -> None:
    lines = [line for line in (benchmarks.__doc__ or "").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines]
    assert [row[0].strip("`") for row in cells] == list(BENCHMARKS)
    for row, benchmark in zip(cells, BENCHMARKS.values(), strict=True):
        assert row[4] == ", ".join(f"`{column}`" for column in benchmark.columns)
        assert f"`{benchmark.repo}`" in row[1]
        assert str(benchmark.shots + 1) in row[2] or benchmark.kind is None


def test_the_page_has_the_table_of_the_module() -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert table_under(page, "name") == table_under(benchmarks.__doc__ or "", "name")


def test_fixtures_are_small() -> None:
    assert sum(path.stat().st_size for path in FIXTURES.rglob("*") if path.is_file()) < 60_000
