"""Whose speech each system hears, and what the record says of it."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from doppelbench.baselines import registry
from doppelbench.baselines.reference_rows import ReferenceRow
from doppelbench.baselines.system import SystemSpec
from doppelbench.benchmark.budget import budget_rows, budget_table
from doppelbench.benchmark.config import ConfigError, validate
from doppelbench.benchmark.plan import make_plan, training_needs
from doppelbench.corpora.media import probe

RECORD = {"steps": 40, "seconds": 2.5, "parameters": 1000}


@dataclass(frozen=True)
class Size:
    """Hyperparameters of the systems below."""

    checkpoint: str = ""


class SeveralVoices(ReferenceRow):
    """A zero-shot system of several voices without a vocoder."""

    spec: ClassVar[SystemSpec] = SystemSpec(
        "several-voices",
        "For tests",
        "voice-conversion",
        presets={"tiny": Size()},
        needs=frozenset({"other-speakers", "enrolment"}),
    )

    def __init__(self, settings: Size) -> None:
        self.settings = settings

    def convert(self, trial):
        raise NotImplementedError


@pytest.fixture
def plan_of(manifest, monkeypatch):
    monkeypatch.setitem(registry.SYSTEMS.registered, "several-voices", SeveralVoices)

    def make(*systems, **more):
        values = {
            "corpus": {"reader": "csv", "root": str(manifest)},
            "trials": {"targets": ["ana", "ben"], "sources": ["cleo"]},
            "systems": list(systems),
            "preset": "tiny",
            "metrics": ["mcd"],
            "reference_rows": False,
            **more,
        }
        return make_plan(validate(values, "test"))

    return make


def heard(training):
    return {clip.speaker for clip in training.clips}


def test_an_exemplar_hears_its_target_alone_and_with_it_whom_the_recipe_names(plan_of):
    plan = plan_of("exemplar", {"name": "exemplar", "label": "three", "hear": ["zoë", "cleo"]})
    found = {training.key: heard(training) for training in plan.trainings()}
    assert found == {
        "exemplar/ana": {"ana"},
        "exemplar/ben": {"ben"},
        "three/ana": {"ana", "zoë", "cleo"},
        "three/ben": {"ben", "zoë", "cleo"},
    }


def test_who_is_heard_as_the_target_is_given_under_its_name_with_ids_of_its_own(plan_of):
    (ana, _) = plan_of({"name": "exemplar", "hear": ["ben"]}).trainings()
    given = ana.given_clips()
    assert {clip.speaker for clip in given} == {"ana"}
    assert len({clip.id for clip in given}) == len(given) == 10
    assert [clip.audio for clip in given] == [clip.audio for clip in ana.clips]
    assert all(clip.split == "train" for clip in given)


def test_a_system_of_several_voices_is_trained_on_one_target_by_choice(plan_of):
    plan = plan_of(
        {"name": "several-voices", "label": "one", "train_on": "target"},
        {"name": "several-voices", "label": "trials", "train_on": "trials"},
        "several-voices",
    )
    found = {training.key: (training.target, heard(training)) for training in plan.trainings()}
    assert found == {
        "one/ana": ("ana", {"ana"}),
        "one/ben": ("ben", {"ben"}),
        "trials": (None, {"ana", "ben", "cleo"}),
        "several-voices": (None, {"zoë", "short"}),
    }
    one = plan.entries[0]
    assert one.training_of("ben") == "one/ben"
    # It still learns the voice by enrolment, from the target's training clips.
    assert {clip.speaker for clip in plan.clips_for(one, "ben")} == {"ben"}


@pytest.mark.parametrize(
    ("system", "said"),
    [
        ({"name": "exemplar", "hear": ["nobody"]}, "no training speech of nobody"),
        ({"name": "several-voices", "hear": ["zoë"]}, "no model for each target"),
        ({"name": "several-voices", "conditions": 2}, "no model for each target"),
        ({"name": "exemplar", "train_on": "target"}, "leave out train_on"),
        ({"name": "exemplar", "conditions": 5}, "conditions"),
    ],
)
def test_choices_that_a_system_does_not_have_are_refused(plan_of, system, said):
    with pytest.raises(ConfigError, match=said):
        plan_of(system)


def test_a_closed_set_cannot_be_trained_on_one_voice():
    config = validate({"systems": [{"name": "closed", "train_on": "target"}]}, "test").systems[0]
    with pytest.raises(ConfigError, match="knows only the voices"):
        training_needs(config, frozenset({"speakers"}))


def test_an_unknown_published_table_is_refused_before_anything_is_read(plan_of):
    with pytest.raises(ConfigError, match="did you mean 'exemplar-2021/table-2'"):
        plan_of("exemplar", published="exemplar-2021/table2")


def test_listeners_are_given_systems_of_the_run_alone(plan_of):
    for pair in (["exemplar", "autovc"], ["exemplar", "exemplar"]):
        with pytest.raises(ConfigError, match="expected two systems among exemplar"):
            plan_of("exemplar", ab_tests=[{"systems": pair}])


class TestBudget:
    @pytest.fixture
    def rows(self, plan_of):
        plan = plan_of(
            "exemplar",
            {"name": "exemplar", "label": "with-cleo", "hear": ["cleo"]},
            {"name": "exemplar", "label": "rooms", "conditions": 4},
            {"name": "several-voices", "label": "trials", "train_on": "trials"},
            {"name": "several-voices", "settings": {"checkpoint": "elsewhere"}},
            reference_rows=True,
        )
        records = {training.key: RECORD for training in plan.trainings() if training.key != "rooms/ben"}
        return {row["system"]: row for row in budget_rows(plan, records)}

    def test_says_who_was_heard(self, rows):
        who = {name: row["trained_on"] for name, row in rows.items() if row["models"] is not None}
        assert who == {
            "exemplar": "target only",
            "with-cleo": "target and cleo",
            "rooms": "target only, 4 simulated recording conditions",
            "trials": "people of the trials",
            "several-voices": "other people, after a checkpoint",
        }
        counts = {name: rows[name]["speakers"] for name in who}
        assert counts == {"exemplar": 1, "with-cleo": 2, "rooms": 1, "trials": 3, "several-voices": 2}

    def test_zero_shot_is_what_heard_no_source_and_extra_data_what_heard_another_than_the_target(self, rows):
        marks = {name: (row["zero_shot"], row["extra_data"]) for name, row in rows.items() if row["models"]}
        assert marks == {
            "exemplar": (True, False),
            "with-cleo": (False, True),
            "rooms": (True, False),
            "trials": (False, True),
            "several-voices": (True, True),
        }

    def test_adds_up_models_seconds_and_speech(self, rows, manifest):
        assert (rows["exemplar"]["models"], rows["rooms"]["models"], rows["trials"]["models"]) == (2, 1, 1)
        assert rows["exemplar"]["seconds"] == 5.0
        assert (rows["exemplar"]["steps"], rows["exemplar"]["parameters"]) == (40, 1000)
        own = sum(probe(manifest.parent / "ana" / f"ana_{n:02d}.flac").seconds for n in range(5))
        assert rows["exemplar"]["speech_seconds"] == pytest.approx(own)
        # Five clips of eight seconds by each target and three of four seconds by cleo.
        assert rows["with-cleo"]["speech_seconds"] == 52.0
        assert rows["trials"]["speech_seconds"] == 92.0

    def test_names_what_makes_the_sound(self, rows):
        vocoders = {name: row["vocoder"] for name, row in rows.items()}
        assert vocoders["exemplar"] == vocoders["copy-synthesis"] == "griffin-lim"
        assert vocoders["several-voices"] == "waveform"
        assert vocoders["natural"] == vocoders["source"] == "none"

    def test_a_vocoder_that_is_trained_for_the_run_has_a_row_of_its_own(self, plan_of):
        plan = plan_of(
            {"name": "exemplar", "vocoder": {"name": "wavernn", "preset": "tiny"}},
            {"name": "exemplar", "label": "classic", "vocoder": "griffin-lim"},
        )
        rows = {
            row["system"]: row
            for row in budget_rows(plan, {training.key: RECORD for training in plan.trainings()})
        }
        assert (rows["exemplar"]["vocoder"], rows["classic"]["vocoder"]) == ("wavernn", "griffin-lim")
        own = rows["vocoder-wavernn-tiny"]
        assert (own["models"], own["trained_on"], own["speakers"]) == (1, "all targets", 2)
        assert (own["zero_shot"], own["extra_data"]) == (True, True)

    def test_shows_people_only_what_was_trained(self, rows):
        shown = budget_table(list(rows.values()))
        assert [row["system"] for row in shown] == [
            "exemplar",
            "with-cleo",
            "rooms",
            "trials",
            "several-voices",
        ]
        assert shown[0]["zero-shot"] == "yes"
        assert shown[0]["extra data"] == "no"
        assert shown[0]["parameters"] == "1,000"


@pytest.mark.parametrize("chosen", ["trials", "others"])
def test_a_system_that_is_pre_trained_also_hears_people_who_are_in_no_trial_and_does_not_see_them(
    plan_of, monkeypatch, chosen
):
    needs = frozenset({"speakers", "enrolment", "extra-audio"})
    spec = SystemSpec("pre-trained", "For tests", "voice-conversion", {"tiny": Size()}, needs=needs)
    kind = type("PreTrained", (SeveralVoices,), {"spec": spec})
    monkeypatch.setitem(registry.SYSTEMS.registered, "pre-trained", kind)
    plan = plan_of({"name": "pre-trained", "train_on": chosen})
    films = tuple(replace(clip, video=f"{clip.id}.mkv") for clip in plan.clips)
    (training,) = replace(plan, clips=films).trainings()
    others = {"zoë", "short"}
    assert {clip.speaker for clip in training.clips if clip.video is None} == others
    in_trials = {"ana", "ben", "cleo"}
    assert {clip.speaker for clip in training.clips if clip.video} == (
        in_trials if chosen == "trials" else others
    )
    assert all(clip.split == "train" for clip in training.clips)
