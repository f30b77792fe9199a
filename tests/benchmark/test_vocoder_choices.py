"""Vocoders that a recipe puts into systems: rows that differ in the vocoder alone share one training."""

import json

import numpy as np
import pytest

from doppelbench.baselines.registry import find_system
from doppelbench.baselines.vocoders.griffin_lim import GriffinLim
from doppelbench.baselines.vocoders.neural import NeuralVocoder
from doppelbench.baselines.vocoders.registry import load_vocoder
from doppelbench.benchmark.budget import budget_rows
from doppelbench.benchmark.config import ConfigError, validate
from doppelbench.benchmark.plan import make_plan
from doppelbench.benchmark.run import execute
from doppelbench.benchmark.work import trial_from_dict
from doppelbench.corpora.media import read_audio
from doppelbench.engine.run import Run

RECORD = {"steps": 40, "seconds": 2.5, "parameters": 1000}


@pytest.fixture
def recipe_of(manifest):
    def make(*systems, **more):
        values = {
            "corpus": {"reader": "csv", "root": str(manifest)},
            "trials": {"targets": ["ana"], "sources": ["cleo"], "per_target": 1},
            "systems": list(systems),
            "preset": "tiny",
            "metrics": ["mel_l1"],
            "reference_rows": False,
            "training": {"device": "cpu"},
            "jobs": 1,
            **more,
        }
        return validate(values, "test")

    return make


def test_rows_that_differ_in_the_vocoder_alone_share_one_training(recipe_of):
    plan = make_plan(
        recipe_of(
            "exemplar",
            {"name": "exemplar", "label": "wavernn", "vocoder": {"name": "wavernn", "preset": "tiny"}},
            {"name": "exemplar", "label": "classic", "vocoder": "griffin-lim", "seeds": 2},
            {"name": "exemplar", "label": "narrow", "settings": {"bottleneck": 4}},
            {"name": "exemplar", "label": "two", "hear": ["ben"]},
        )
    )
    trained = [training.key for training in plan.trainings()]
    assert trained == [
        "vocoder-wavernn-tiny",
        "exemplar/ana",
        "classic-seed-1/ana",
        "narrow/ana",
        "two/ana",
    ]
    answers = {entry.key: entry.training_of("ana") for entry in plan.entries}
    assert answers["wavernn"] == answers["classic"] == answers["exemplar"] == "exemplar/ana"
    rows = {row["system"]: row for row in budget_rows(plan, dict.fromkeys(trained, RECORD))}
    assert rows["wavernn"]["seconds"] == rows["exemplar"]["seconds"] == 2.5


def test_vocoders_of_other_settings_are_trained_apart(recipe_of):
    longer = {"name": "wavenet", "preset": "tiny", "settings": {"max_steps": 3, "learning_rate": 1e-3}}
    plan = make_plan(
        recipe_of(
            {"name": "exemplar", "vocoder": {"name": "wavenet", "preset": "tiny"}},
            {"name": "exemplar", "label": "longer", "vocoder": longer},
        )
    )
    assert [training.key for training in plan.vocoder_trainings()] == [
        "vocoder-wavenet-tiny",
        "vocoder-wavenet-tiny-learning_rate-0.001-max_steps-3",
    ]


@pytest.mark.parametrize(
    ("vocoder", "reason"),
    [
        ({"name": "wavenet", "settings": {"max_stepz": 3}}, "did you mean 'max_steps'"),
        ({"name": "wavenet", "settings": {"max_steps": "many"}}, "of type int"),
        ({"name": "griffin-lim", "settings": {"iterations": 3}}, "the system's own setting griffin_lim"),
        ({"name": "wavenot"}, "did you mean 'wavenet'"),
    ],
)
def test_a_vocoder_that_cannot_be_made_is_refused(recipe_of, vocoder, reason):
    with pytest.raises(ConfigError, match=reason):
        make_plan(recipe_of({"name": "exemplar", "vocoder": vocoder}))


@pytest.mark.slow
def test_the_vocoder_of_a_recipe_speaks(recipe_of, tmp_path):
    joint = {"name": "exemplar", "settings": {"joint_vocoder": "wavernn", "max_steps": 2}}
    other = {"name": "wavenet", "preset": "tiny", "settings": {"max_steps": 3}}
    recipe = recipe_of(
        {**joint, "label": "joint"},
        {**joint, "label": "classic", "vocoder": "griffin-lim"},
        {**joint, "label": "other", "vocoder": other},
    )
    execute(recipe, tmp_path / "run", until="synthesize")
    run = Run.open(tmp_path / "run")
    trainings = run.info.plan["trainings"]
    assert sorted(trainings) == ["joint/ana", "vocoder-wavenet-tiny-max_steps-3"]
    assert trainings["vocoder-wavenet-tiny-max_steps-3"]["steps"] == 3
    # Features are computed once for all that train on the same clips.
    assert list((run.directory / "features").iterdir())
    assert not list((run.directory / "systems").glob("**/features"))
    trial = trial_from_dict(run.info.plan["trials"][0])
    system = find_system("exemplar").load(run.system_directory("joint", "ana"))
    assert isinstance(system.vocoder, NeuralVocoder)
    made = {"joint": system.convert(trial).audio.samples}
    system.vocoder = GriffinLim(system.settings.mel, system.settings.griffin_lim)
    made["classic"] = system.convert(trial).audio.samples
    system.vocoder = load_vocoder(run.system_directory("vocoder-wavenet-tiny-max_steps-3"))
    made["other"] = system.convert(trial).audio.samples
    for key in made:
        written = read_audio(str(run.output_path(key, trial.id, ".flac"))).samples
        alike = {other: np.corrcoef(written, samples)[0, 1] for other, samples in made.items()}
        # Outputs are brought to one level, where peaks of such noise are cut off.
        assert alike[key] > 0.99, key
        # After two steps all samples are as likely, and the same numbers draw much the same of them.
        assert max(alike, key=alike.__getitem__) == key, alike
    assert np.corrcoef(made["joint"], made["classic"])[0, 1] < 0.9
    settings = json.loads((run.directory / "run.json").read_text())["config"]["systems"][2]["vocoder"]
    assert settings == other
