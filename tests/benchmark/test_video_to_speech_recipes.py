"""The recipes of video-to-speech compare what they say, and nobody hears a sentence of a trial before."""

from dataclasses import replace

import pytest

from doppelbench.benchmark.budget import budget_rows
from doppelbench.benchmark.config import load_recipe
from doppelbench.benchmark.plan import Plan, list_entries, make_plan
from doppelbench.benchmark.tracks.registry import TRACKS
from doppelbench.benchmark.tracks.video_to_speech import make_trials
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.talkers.voices import VOICES
from doppelbench.leaderboards.published_figures import find_published

RECIPES = (
    "video-to-speech",
    "video-to-speech-identity",
    "video-to-speech-discriminators",
    "grid-speech",
    "quickstart-speech",
)
TARGETS = ("ada", "bruno", "alma", "dimitri")


def entries_of(name: str):
    return list_entries(load_recipe(name), TRACKS["video-to-speech"][0])


@pytest.mark.parametrize("name", RECIPES)
def test_every_row_can_be_made_and_trained(name):
    recipe, entries = load_recipe(name), entries_of(name)
    assert recipe.track == "video-to-speech"
    assert recipe.recognizer == "pocketsphinx-grid"
    own = [entry for entry in entries if not entry.reference_row]
    made = [(entry.replicate_of or entry.key, entry.seed) for entry in own]
    assert made == [(system.key, seed) for system in recipe.systems for seed in range(system.seeds)]
    assert {"natural-speech", "vocoder-speech"} <= {entry.key for entry in entries}


@pytest.mark.parametrize("name", RECIPES[:-1])
def test_the_published_table_is_there_and_second_hand(name):
    assert not find_published(load_recipe(name).published)[0].first_hand


def test_the_identity_is_crossed_with_people_seen_and_not_seen_for_both_systems():
    systems = load_recipe("video-to-speech-identity").systems
    cells = {(system.name, system.train_on, system.settings["identity"]) for system in systems}
    assert len(systems) == len(cells) == 8
    assert all(len({cell[part] for cell in cells}) == 2 for part in range(3))


def plan_of(name: str) -> Plan:
    """A plan whose corpora are a sentence of each split by each person of the recipe."""
    recipe = load_recipe(name)
    options = recipe.corpus.options

    def spoken(speakers, films):
        return tuple(
            Clip(
                f"{speaker}_{split}",
                speaker,
                audio=f"{speaker}_{split}.flac",
                video=f"{speaker}_{split}.mkv" if films else None,
                split=split,
            )
            for speaker in speakers
            for split in ("train", "test")
        )

    clips = spoken(options["speakers"], True)
    others = spoken(recipe.sources.options["speakers"], False) if recipe.sources else ()
    targets = tuple(recipe.trials.targets or TARGETS)
    trials = tuple(make_trials([clip for clip in clips if clip.split == "test"], targets))
    track = TRACKS[recipe.track][0]
    return Plan(recipe, track, clips, others, targets, trials, list_entries(recipe, track), "hash")


def test_people_not_seen_have_no_film_and_no_sound_in_the_training():
    plan = plan_of("video-to-speech-identity")
    for training in plan.trainings():
        seen = {clip.speaker for clip in training.clips if clip.video}
        heard = [clip.speaker for clip in training.clips if clip.video is None]
        assert len(seen) == 4
        assert (seen == set(TARGETS)) == ("-unseen" not in training.key)
        # The same people are heard before in every arm, each sentence once.
        assert len(set(heard)) == len(heard) == 4 + 24
        assert not set(heard) & set(TARGETS)


def test_people_seen_and_not_seen_have_as_much_film():
    options = load_recipe("video-to-speech-identity").corpus.options
    roles = [voice.role for voice in VOICES if voice.name in options["speakers"]]
    assert sorted(roles) == ["source"] * 4 + ["target"] * 4
    assert options["target_seconds"] == options["source_seconds"]


def test_discriminators_are_one_three_and_none_with_and_without_pre_training():
    recipe = load_recipe("video-to-speech-discriminators")
    found = [
        (
            system.settings["transfer"],
            system.settings.get("discriminator_scales")
            if system.settings.get("adversarial_weight", 1)
            else 0,
        )
        for system in recipe.systems
    ]
    assert sorted(found) == [(way, scales) for way in ("fine-tuned", "scratch") for scales in (0, 1, 3)]
    without = [system for system in recipe.systems if "discriminator_scales" not in system.settings]
    assert [system.settings["adversarial_weight"] for system in without] == [0.0, 0.0]
    for training in plan_of("video-to-speech-discriminators").trainings():
        assert {clip.speaker for clip in training.clips if clip.video} == set(TARGETS)
        heard = {clip.speaker for clip in training.clips if clip.video is None}
        assert len(heard) == (0 if training.key.endswith("scratch") else 24)


@pytest.mark.realdata
def test_the_recipe_of_grid_holds_out_six_sentences_and_hears_fourteen_others(realdata, monkeypatch):
    monkeypatch.setenv("DOPPELBENCH_REALDATA", str(realdata))
    plan = make_plan(load_recipe("grid-speech", ["jobs=1"]))
    assert plan.targets == ("s1",)
    assert len(plan.trials) == 6
    assert all(trial.source.audio is None and trial.reference.text for trial in plan.trials)
    tested = {trial.source.id for trial in plan.trials}
    for training in plan.trainings():
        films = [clip for clip in training.clips if clip.video]
        assert len(films) == 108
        assert not tested & {clip.id for clip in films}
        heard = {clip.speaker for clip in training.clips if clip.video is None}
        assert len(heard) == (0 if training.key == "melspec-scratch" else 14)
        assert "s1" not in heard


def test_what_is_trained_from_scratch_hears_only_the_people_in_the_films():
    plan = plan_of("video-to-speech")
    heard = {training.key: {clip.speaker for clip in training.clips} for training in plan.trainings()}
    assert heard["melspec-scratch"] == heard["wavegan-scratch"] == set(TARGETS)
    assert heard["melspec-frozen"] > set(TARGETS)
    assert heard["melspec-fine-tuned"] == heard["wavegan-fine-tuned"] > set(TARGETS)


def test_one_person_alone_is_no_extra_data():
    plan = plan_of("video-to-speech")
    films = tuple(clip for clip in plan.clips if clip.speaker == "ada")
    trials = tuple(trial for trial in plan.trials if trial.target == "ada")
    plan = replace(plan, clips=films, targets=("ada",), trials=trials)
    record = {"steps": 1, "seconds": 1.0, "parameters": 1}
    rows = {
        row["system"]: row
        for row in budget_rows(plan, {training.key: record for training in plan.trainings()})
    }
    assert not rows["melspec-scratch"]["extra_data"]
    assert rows["melspec-fine-tuned"]["extra_data"]
