"""Results: what a file must hold, and what is said when it does not."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from small_results import content, figure, measured, result, stored, system

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.board import board_schema, build_boards
from doppelbench.leaderboards.result import (
    SystemItems,
    find_results,
    read_result,
    result_schema,
    slug,
    trials_hash,
    write_result,
)

ROOT = Path(__file__).parents[2]
ROOM = ROOT / "leaderboards"


def write(folder, values):
    path = folder / "made.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def test_a_result_comes_back_as_it_was_written(tmp_path):
    made = measured({"one": [1.0, 2.0], "two": [2.0, 3.0]})
    written = write_result(result([system("one", figure(1.5))]), tmp_path)
    assert read_result(tmp_path / f"{written.id}.json") == written
    again = write_result(made.result.model_copy(update={"items": None}), tmp_path, made.items)
    back = read_result(tmp_path / f"{again.id}.json")
    assert back.result == made.result
    assert back.items["two"].trials.tolist() == ["t000", "t001"]
    assert back.items["two"].numerators.tolist() == [2.0, 3.0]


def test_the_same_result_has_the_same_bytes(tmp_path):
    made = measured({"one": [1.0, 2.0], "two": [2.0, 3.0]})
    plain = made.result.model_copy(update={"items": None})
    turned = {
        name: SystemItems(own.trials[::-1], own.numerators[::-1], own.denominators[::-1])
        for name, own in reversed(made.items.items())
    }
    for folder, items in (("a", made.items), ("b", turned)):
        write_result(plain, tmp_path / folder, items)
    files = [sorted((tmp_path / folder).iterdir()) for folder in ("a", "b")]
    assert [path.name for path in files[0]] == [path.name for path in files[1]]
    assert [path.read_bytes() for path in files[0]] == [path.read_bytes() for path in files[1]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"track": None}, "track"),
        ({"surprise": 1}, "surprise"),
        ({"schema": 2}, "schema: is 2"),
        ({"created": "yesterday"}, "created"),
        ({"corpus": {"label": "talkers", "hash": "../x"}}, "corpus.hash"),
        ({"ranking": ["nothing"]}, "none of the ranking metrics nothing was measured"),
        ({"systems": []}, "systems"),
        ({"systems": [system("one"), system("one")]}, "the system one stands twice"),
        ({"systems": [system("one", figure(1.0), figure(1.0))]}, "of one the metric score stands twice"),
        ({"systems": [system("one", {**figure(1.0), "metric": "x"})]}, "one has a figure of x"),
        ({"systems": [system("one", figure(1.0, n=21))]}, "systems.0.figures.0: 21 scored items of 20"),
        ({"systems": [system("one", figure(1.0, -1.0))]}, "systems.0.figures.0: the lower bound 2.0"),
        ({"systems": [system("one", {**figure(1.0), "low": None})]}, "an interval with one bound"),
        ({"systems": [system("one", {**figure(1.0), "value": "1"})]}, "systems.0.figures.0.value"),
        ({"systems": [system("one", figure(1.0), cost={"parameters": -1})]}, "systems.0.cost.parameters"),
        ({"items": {"metric": "score", "file": "../../x", "sha256": "0" * 64}}, "items.file"),
    ],
)
def test_a_malformed_result_is_refused_by_file_and_field(tmp_path, change, said):
    path = write(tmp_path, content(**{"systems": [system("one", figure(1.0))], **change}))
    with pytest.raises(InputError) as refused:
        read_result(path)
    assert str(path) in str(refused.value)
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "nan", '{"schema": 1, "name": NaN}', "\udcff"])
def test_what_is_no_result_is_refused(tmp_path, text):
    path = tmp_path / "made.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"made\.json"):
        read_result(path)


def test_items_that_were_changed_are_refused(tmp_path):
    made = measured({"one": [1.0, 2.0]})
    plain = made.result.model_copy(update={"items": None})
    path = tmp_path / f"{write_result(plain, tmp_path, made.items).id}.json"
    [table] = tmp_path.glob("*.parquet")
    table.write_bytes(table.read_bytes() + b" ")
    with pytest.raises(InputError, match=r"items\.sha256"):
        read_result(path)
    table.unlink()
    with pytest.raises(InputError, match=r"items\.file.*cannot be read"):
        read_result(path)


def items_of(trials=("t0", "t1"), numerators=(1.0, 2.0), denominators=(1.0, 1.0)):
    return SystemItems(np.array(trials, object), np.array(numerators), np.array(denominators))


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ({"one": items_of(numerators=(5.0, 6.0))}, "the items of one give 5.5 score, its figure is 1.5"),
        ({"who": items_of()}, "who is not in the result"),
        ({"one": items_of(trials=("t0", "t0"))}, "one has one twice"),
        ({"one": items_of(numerators=(1.0, float("nan")))}, "numerator holds a number that is not finite"),
        ({"one": items_of(denominators=(-1.0, 1.0))}, "denominator is negative"),
    ],
)
def test_items_that_do_not_fit_are_refused(tmp_path, items, said):
    written = write_result(result([system("one", figure(1.5))]), tmp_path, items)
    with pytest.raises(InputError, match=said):
        read_result(tmp_path / f"{written.id}.json")


def test_the_published_schemas_are_those_of_the_code():
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for path, schema in module.schemas().items():
        assert json.loads(path.read_text()) == schema, "run: make docs"


def test_written_results_and_boards_fit_the_published_schemas():
    validator = pytest.importorskip("jsonschema").Draft202012Validator
    made = measured({"one": [1.0, 2.0], "two": [2.0, 3.0]})
    kinds = {"result": result_schema(), "board": board_schema()}
    for schema in kinds.values():
        validator.check_schema(schema)
    validator(kinds["result"]).validate(json.loads(made.result.as_json()))
    for path in find_results(ROOM / "results"):
        validator(kinds["result"]).validate(json.loads(path.read_text()))
    [board] = build_boards([made])
    validator(kinds["board"]).validate(json.loads(board.as_json()))
    assert list(validator(kinds["result"]).iter_errors({"schema": 1}))


def test_the_suites_own_results_can_be_read():
    paths = find_results(ROOM / "results")
    assert paths
    boards = build_boards([read_result(path) for path in paths])
    assert {board.track for board in boards} >= {"voice-conversion", "audio-to-video"}


def test_names_of_files_are_harmless_and_different():
    names = ["talkers", "Talkers", "../../etc", "a/b", "a-b", "", ".", "é", "x" * 300]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(part.replace("-", "").isalnum() and len(part) < 80 for part in slugs)
    assert slug("talkers") == "talkers"


def test_the_hash_of_trials_does_not_depend_on_their_order():
    assert trials_hash([["a", 1], ["b", 2]]) == trials_hash([["b", 2], ["a", 1]])
    assert trials_hash([["a", 1]]) != trials_hash([["a", 2]])


def test_reference_rows_do_not_choose_the_headline():
    metrics = [
        {"name": "score", "signature": "score|v1", "direction": "higher"},
        {"name": "other", "signature": "other|v1", "direction": "lower"},
    ]
    only = [system("row", figure(1.0), reference_row=True), system("one", {**figure(1.0), "metric": "other"})]
    head = stored(only, metrics=metrics).result.headline
    assert head is not None
    assert head.name == "other"
