"""A recipe is checked to the last key, and a mistake is named with its cure."""

import inspect

import pytest
import yaml

from doppelbench.benchmark.config import (
    ConfigError,
    Recipe,
    check_metrics,
    load_recipe,
    recipe_names,
    split_metrics,
)
from doppelbench.benchmark.run import LISTENING_METRICS
from doppelbench.metrics.registry import list_metrics, metric_class


@pytest.fixture
def recipe(tmp_path):
    def write(content, *overrides):
        path = tmp_path / "mine.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return load_recipe(str(path), overrides)

    return write


def test_every_recipe_of_the_package_is_valid():
    assert "quickstart" in recipe_names()
    for name in recipe_names():
        assert load_recipe(name).name == name


def test_an_unknown_recipe_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="'quickstart'"):
        load_recipe("quikstart")


@pytest.mark.parametrize(
    ("content", "key", "suggestion"),
    [
        ({"presett": "tiny"}, "presett", "preset"),
        ({"corpus": {"raeder": "csv"}}, "corpus.raeder", "reader"),
        ({"sources": {"raeder": "csv"}}, "sources.raeder", "reader"),
        ({"training": {"max_step": 3}}, "training.max_step", "max_steps"),
        ({"systems": [{"name": "exemplar", "presett": "tiny"}]}, "systems.0.presett", "preset"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(recipe, content, key, suggestion):
    with pytest.raises(ConfigError, match=f"unknown key '{key}'; did you mean '{suggestion}'"):
        recipe(content)


def test_an_unknown_key_like_no_other_is_refused_with_all_there_are(recipe):
    with pytest.raises(ConfigError, match=r"unknown key 'classifier\.qqq'; known: speakers"):
        recipe({"classifier": {"qqq": 1}})


@pytest.mark.parametrize(
    "content",
    [
        {"preset": "huge"},
        {"jobs": 0},
        {"jobs": "many"},
        {"seed": 1.5},
        {"item_timeout": -1},
        {"trials": {"per_target": 0}},
        {"track": "singing"},
        {"systems": "exemplar"},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_with_its_key(recipe, content):
    with pytest.raises(ConfigError, match=next(iter(content))):
        recipe(content)


def test_names_of_systems_may_stand_alone(recipe):
    assert recipe({"systems": ["exemplar"]}).systems[0].key == "exemplar"


def test_two_systems_of_one_name_need_labels(recipe):
    with pytest.raises(ConfigError, match="label"):
        recipe({"systems": ["exemplar", "exemplar"]})
    twice = {"systems": ["exemplar", {"name": "exemplar", "label": "wide"}]}
    assert [system.key for system in recipe(twice).systems] == ["exemplar", "wide"]


def test_overrides_reach_every_level(recipe):
    found = recipe(
        {"systems": ["exemplar"]},
        "seed=7",
        "training.max_steps=200",
        "systems.0.preset=tiny",
        "systems.0.settings.griffin_lim.iterations=4",
        "trials.targets=[ana, ben]",
        "metrics=null",
    )
    assert (found.seed, found.training.max_steps, found.systems[0].preset) == (7, 200, "tiny")
    assert found.systems[0].settings == {"griffin_lim": {"iterations": 4}}
    assert found.trials.targets == ["ana", "ben"]
    assert found.metrics is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("seed", "key=value"),
        ("=3", "key=value"),
        ("seed=[1", "not valid YAML"),
        ("seed=many", "seed"),
        ("sed=1", "unknown key 'sed'; did you mean 'seed'"),
        ("systems.1.preset=tiny", "under 1"),
        ("systems.first.preset=tiny", "'first'"),
        ("seed.deeper=1", "seed"),
        ("systems.0.presett=tiny", "unknown key 'systems.0.presett'"),
    ],
)
def test_a_wrong_override_is_refused_with_what_is_wrong(recipe, override, said):
    with pytest.raises(ConfigError, match=r"^") as caught:
        recipe({"seed": 0, "systems": ["exemplar"]}, override)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", ["a: [1", "- one\n- two", "just text"])
def test_a_file_that_is_no_recipe_is_refused_with_its_path(recipe, content):
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        recipe(content)


def test_binary_and_missing_files_are_refused_with_their_path(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("binary.yaml", "absent.yaml"):
        with pytest.raises(ConfigError, match=name):
            load_recipe(str(tmp_path / name))


def test_yaml_that_would_make_objects_is_refused(recipe):
    with pytest.raises(ConfigError, match="YAML"):
        recipe("name: !!python/object/apply:os.getcwd []")


def test_an_empty_recipe_is_the_default(recipe):
    assert recipe("") == Recipe()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("stoi,estoi", ["stoi", "estoi"]),
        (
            "wer:recognizer=stored:/a.csv,normalizer=basic,stoi",
            ["wer:recognizer=stored:/a.csv,normalizer=basic", "stoi"],
        ),
        ("stoi, sca:classifier=/a/b", ["stoi", "sca:classifier=/a/b"]),
        ("sca:classifier=/a,wer:normalizer=basic", ["sca:classifier=/a", "wer:normalizer=basic"]),
    ],
)
def test_commas_between_metrics_are_told_from_those_between_options(text, parts):
    assert split_metrics(text) == parts


def test_metrics_that_do_not_exist_or_stand_twice_are_refused():
    with pytest.raises(ConfigError, match="did you mean stoi"):
        check_metrics(["mcd", "stoj"])
    with pytest.raises(ConfigError, match="twice"):
        check_metrics(["mcd", "mcd"])


def test_every_metric_that_listens_gets_the_recogniser_of_the_recipe():
    listening = {
        name
        for name in list_metrics()
        if "recognizer" in inspect.signature(metric_class(name).__init__).parameters
    }
    assert listening == set(LISTENING_METRICS)
