"""Reprojection: distances on known answers, words cut where they stand, and one run of everything."""

import csv
import json
import shutil

import numpy as np
import pytest
import yaml
from command_line import cli

from doppelbench.benchmark.config import ConfigError, load_recipe, validate
from doppelbench.benchmark.experiments.reprojection import (
    ProjectedWord,
    averages,
    chosen_words,
    compare_with_words,
    cut_word,
    distance,
    find_words,
    run_reprojection,
    word_kinds,
)
from doppelbench.benchmark.experiments.word_times import Word, forced_alignment, word_times
from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError, MediaError

STEADY = np.full((10, 80), 0.5)


def projected(word="six", kind="tongue-twister", near=2.0, least=3.0, **more):
    values = {
        "system": "exemplar",
        "target": "ana",
        "source": "cleo",
        "frames": 10,
        "nearest": "six",
        "nearest_is_same_word": True,
        "mean": 9.0,
        "likelihood": 80.0,
        "likelihood_before": None,
    }
    return ProjectedWord(word=word, kind=kind, to_projection=near, minimum=least, **{**values, **more})


class TestDistances:
    def test_of_equal_spectrograms_at_another_tempo_is_nothing(self):
        ramp = np.linspace(0, 1, 12)[:, None] * np.ones(80)
        assert distance(ramp, np.repeat(ramp, 3, axis=0)) == pytest.approx(0.0)

    def test_of_steady_spectrograms_is_frames_times_their_euclidean_distance(self):
        assert distance(STEADY, STEADY + 0.1) == pytest.approx(10 * 0.1 * np.sqrt(80))

    def test_name_the_nearest_word_and_average_over_all(self):
        others = [("far", STEADY + 0.4), ("near", STEADY + 0.1), ("mid", STEADY - 0.2)]
        found = compare_with_words(STEADY, STEADY + 0.05, others)
        unit = 10 * np.sqrt(80)
        assert found == pytest.approx((0.05 * unit, 0.1 * unit, "near", 0.7 / 3 * unit))


def test_a_word_is_cut_where_it_stands():
    mel = np.arange(160)[:, None] * np.ones(80)
    cut = cut_word(mel, Word("six", 0.5, 0.75), 80.0)
    assert (cut[0, 0], cut[-1, 0], len(cut)) == (40, 59, 20)


def test_averages_are_those_of_the_rows_with_the_share_for_which_the_inequality_holds():
    rows = averages(
        [
            projected("six", near=2.0, least=3.0),
            projected("mix", near=4.0, least=3.0, likelihood=None, nearest_is_same_word=False),
            projected("many", "normal", near=1.0, least=1.0, source="zoë"),
        ]
    )
    found = {(row["source"], row["kind"]): row for row in rows}
    assert set(found) == {
        ("cleo", "tongue-twister"),
        ("all", "tongue-twister"),
        ("zoë", "normal"),
        ("all", "normal"),
    }
    own = found["cleo", "tongue-twister"]
    assert (own["words"], own["to_projection"], own["minimum"], own["mean"]) == (2, 3.0, 3.0, 9.0)
    assert (own["nearest_is_same_word"], own["projection_is_nearest"]) == (50.0, 50.0)
    assert (own["likelihood"], own["likelihood_before"]) == (80.0, None)
    assert found["all", "normal"]["projection_is_nearest"] == 100.0


@pytest.mark.parametrize(
    ("words", "said"),
    [({}, "name words"), ({"normal": ["six"], "tongue_twisters": ["six"]}, "six cannot be both")],
)
def test_words_that_cannot_be_meant_are_refused(words, said):
    with pytest.raises(ConfigError, match=said):
        word_kinds(validate({"reprojection": words}, "test"))


def test_people_without_a_common_word_are_refused():
    with pytest.raises(InputError, match="cleo and ana share no word"):
        chosen_words({"ana": {}, "cleo": {"six": []}}, "cleo", "ana", 3)


class TestWordTimes:
    def test_are_the_truth_where_it_lies_beside_the_recording(self, tmp_path):
        audio = tmp_path / "a.flac"
        audio.write_bytes(b"never read")
        content = {"words": [["bin", 0.1, 0.4], ["blue", 0.4, 0.9]]}
        (tmp_path / "a.phonemes.json").write_text(json.dumps(content))
        clip = Clip("a", "ana", str(audio), text="bin blue")
        assert word_times(clip) == [Word("bin", 0.1, 0.4), Word("blue", 0.4, 0.9)]

    def test_that_are_damaged_are_refused_with_their_file(self, tmp_path):
        (tmp_path / "a.phonemes.json").write_text('{"words": [["bin", 0.1]]}')
        with pytest.raises(MediaError, match=r"a\.phonemes\.json"):
            word_times(Clip("a", "ana", str(tmp_path / "a.flac"), text="bin"))

    def test_of_a_clip_without_text_are_refused(self):
        with pytest.raises(MediaError, match="no audio or no text"):
            word_times(Clip("a", "ana", "a.flac"))

    def test_of_a_word_that_is_in_no_dictionary_are_refused(self, manifest):
        clip = Clip("a", "ana", str(manifest.parent / "ana" / "ana_05.flac"), text="bin xqzzt blue")
        with pytest.raises(MediaError, match="not in the dictionary: xqzzt"):
            forced_alignment(clip)

    @pytest.mark.slow
    def test_of_a_forced_alignment_are_near_the_synthesisers_own(self, tmp_path):
        from doppelbench.corpora.talkers import talkers

        options = {"target_seconds": 0.0, "dev_sentences": 0, "test_sentences": 4}
        clips = talkers(tmp_path, video=False, speakers=["ada", "dimitri"], jobs=1, **options)
        errors = []
        for clip in clips:
            pairs = list(zip(word_times(clip), forced_alignment(clip), strict=True))
            assert [truth.text for truth, _ in pairs] == [found.text for _, found in pairs]
            errors += [abs(truth.start - found.start) for truth, found in pairs]
        assert np.median(errors) < 0.03


@pytest.fixture(scope="module")
def timed(manifest, tmp_path_factory):
    """The synthetic corpus with times of words, equally long ones."""
    folder = tmp_path_factory.mktemp("timed") / "corpus"
    shutil.copytree(manifest.parent, folder)
    with (folder / manifest.name).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            seconds = (8.0 if row["speaker"] in {"ana", "ben"} else 4.0) if row["split"] == "train" else 1.2
            words = row["text"].split()
            step = min(0.4, seconds / len(words))
            content = {"words": [[word, n * step, (n + 1) * step] for n, word in enumerate(words)]}
            path = (folder / row["audio"]).with_suffix(".phonemes.json")
            path.write_text(json.dumps(content))
    return folder / manifest.name


def test_words_of_the_test_split_come_first(timed):
    clips = [
        Clip("late", "cleo", str(timed.parent / "cleo" / "cleo_00.flac"), text="train cleo 0", split="train"),
        Clip("early", "cleo", str(timed.parent / "cleo" / "cleo_01.flac"), text="train cleo 1", split="test"),
    ]
    found = find_words(clips, ["train", "nobody"])
    assert [word.clip.id for word in found["train"]] == ["early", "late"]
    assert set(found) == {"train"}
    assert all(len(word.mel) == 32 for word in found["train"])


def test_a_run_writes_words_averages_and_the_papers_table_beside(timed, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "name": "reprojection",
                "published": "exemplar-2021/table-5",
                "experiment": "reprojection",
                "corpus": {"reader": "csv", "root": str(timed)},
                "trials": {"targets": ["ana"], "sources": ["cleo"]},
                "systems": ["exemplar"],
                "preset": "tiny",
                "training": {"device": "cpu", "max_steps": 3},
                "reprojection": {
                    "normal": ["train", "missing"],
                    "tongue_twisters": ["0", "1"],
                    "per_word": 2,
                },
                "jobs": 1,
            }
        )
    )
    recipe = load_recipe(str(path))
    rows = run_reprojection(recipe, tmp_path / "run")
    assert {(row["source"], row["kind"], row["words"]) for row in rows} == {
        ("cleo", "normal", 1),
        ("all", "normal", 1),
        ("cleo", "tongue-twister", 2),
        ("all", "tongue-twister", 2),
    }
    with (tmp_path / "run" / "reprojection.csv").open(newline="") as file:
        words = list(csv.DictReader(file))
    assert {word["word"] for word in words} == {"train", "0", "1"}
    for word in words:
        assert 0 < float(word["minimum"]) <= float(word["mean"])
        assert float(word["to_projection"]) > 0
        assert word["nearest"] in {"train", "0", "1"}
        assert 0 <= float(word["likelihood"]) <= 100
    page = (tmp_path / "run" / "experiment.md").read_text(encoding="utf-8")
    assert "The corpora differ" in page
    assert "exemplar-2021/table-5a" in page
    assert "exemplar-2021/table-5b" in page
    assert "target only" in page
    weights = tmp_path / "run" / "systems" / "exemplar" / "ana" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    result = cli("run", path, "-o", tmp_path / "run", "--format", "json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == rows
    assert weights.stat().st_mtime_ns == before


def test_a_system_that_is_no_autoencoder_is_refused(tmp_path):
    recipe = load_recipe("reprojection", ["systems=[natural]"])
    with pytest.raises(ConfigError, match="natural is none"):
        run_reprojection(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
