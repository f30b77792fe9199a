"""The recipes of the exemplar paper name what there is, and agree with what they reproduce."""

import pytest

from doppelbench.baselines.exemplar_av import MODES
from doppelbench.baselines.registry import find_system
from doppelbench.benchmark.config import load_recipe
from doppelbench.benchmark.plan import list_entries, training_needs
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.corpora.talkers.sentences import GRID
from doppelbench.corpora.talkers.voices import VOICES
from doppelbench.leaderboards.published_figures import find_published
from doppelbench.metrics.registry import list_metrics

RECIPES = ("table-2", "table-3", "table-6", "d3-one-style", "d4-embedding", "table-7", "reprojection")
PAIRS = [(recipe, system) for recipe in RECIPES for system in load_recipe(recipe).systems]
METRICS = [(recipe, name) for recipe in RECIPES[:-2] for name in load_recipe(recipe).metrics]


@pytest.mark.parametrize("name", RECIPES)
def test_the_published_table_is_there(name):
    assert find_published(load_recipe(name).published)


@pytest.mark.parametrize(("recipe", "system"), PAIRS, ids=[f"{r}-{s.key}" for r, s in PAIRS])
def test_every_system_exists_with_the_preset_and_the_choice_of_training(recipe, system):
    spec = find_system(system.name).spec
    assert load_recipe(recipe).preset in spec.presets
    assert training_needs(system, spec.needs)


@pytest.mark.parametrize("name", RECIPES)
def test_every_row_of_the_table_can_be_made(name):
    recipe = load_recipe(name)
    entries = list_entries(recipe, TRACKS[recipe.track][0])
    made = [(entry.replicate_of or entry.key, entry.seed) for entry in entries if not entry.reference_row]
    assert made == [(s.key, number) for s in recipe.systems for number in range(s.seeds)]


@pytest.mark.parametrize(("recipe", "metric"), METRICS)
def test_every_metric_exists(recipe, metric):
    assert metric in list_metrics()


@pytest.mark.parametrize("name", RECIPES)
def test_people_are_targets_and_sources_of_the_built_in_corpus(name):
    recipe = load_recipe(name)
    roles = {voice.name: voice.role for voice in VOICES}
    speakers = recipe.corpus.options.get("speakers") or [v.name for v in VOICES if v.role != "extra"]
    assert {roles[target] for target in recipe.trials.targets} == {"target"}
    assert {roles[source] for source in recipe.trials.sources} == {"source"}
    assert {*recipe.trials.targets, *recipe.trials.sources} <= set(speakers)
    for system in recipe.systems:
        assert {roles[other] for other in system.hear} <= {"extra"}
        assert set(system.hear) <= set(speakers)


def test_table_2_hears_everybody_of_the_built_in_corpus_and_compares_ten_systems():
    recipe = load_recipe("table-2")
    assert sorted(recipe.corpus.options["speakers"]) == sorted(voice.name for voice in VOICES)
    assert len(recipe.systems) == 10
    assert recipe.classifier.speakers == "trials"


def test_table_7_is_one_system_in_its_three_modes_on_films_of_the_paper_s_frame_rate():
    recipe = load_recipe("table-7")
    modes = [system.settings["mode"] for system in recipe.systems]
    assert (modes, {system.name for system in recipe.systems}) == ([*MODES], {"exemplar-av"})
    assert (recipe.video.size, recipe.video.fps) == (64, 20)


def test_the_words_of_the_reprojection_are_in_the_grid_grammar():
    chosen = load_recipe("reprojection").reprojection
    grid = {word for slot in GRID for word in slot}
    assert set(chosen.normal) | set(chosen.tongue_twisters) <= grid
    assert {"please", "three", "six"} <= set(chosen.tongue_twisters)
