"""The built-in corpus: what is said, how it is kept, and that sound and picture belong together."""

import json
import subprocess
import sys
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.signal

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.level import active_level
from doppelbench.corpora.media import read_audio, read_video, sha256_of
from doppelbench.corpora.talkers import talkers
from doppelbench.corpora.talkers.articulation import PHONEMES, articulate, visemes_of
from doppelbench.corpora.talkers.face import Head, Pose, face_of
from doppelbench.corpora.talkers.sentences import GRID, balanced_grid_sentences, training_sentences
from doppelbench.corpora.talkers.voices import VOICES, default_speakers

SMALL = {
    "speakers": ("ada", "hugo"),
    "size": 32,
    "target_seconds": 9.0,
    "source_seconds": 4.0,
    "dev_sentences": 1,
    "test_sentences": 2,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("talkers")


@pytest.fixture(scope="module")
def clips(home: Path) -> list[Clip]:
    return talkers(home, **SMALL)


def contents(clips: list[Clip]) -> dict[str, str]:
    return {
        file.name: sha256_of(file) for clip in clips for file in Path(clip.audio).parent.glob(f"{clip.id}.*")
    }


def truth_of(clip: Clip, kind: str) -> dict:
    return json.loads(Path(clip.audio).with_suffix(f".{kind}.json").read_text())


def test_everybody_says_the_test_and_dev_sentences_and_nobody_says_them_in_training(clips):
    for split, count in (("test", 2), ("dev", 1)):
        said = {
            speaker: [clip.text for clip in clips if (clip.split, clip.speaker) == (split, speaker)]
            for speaker in SMALL["speakers"]
        }
        assert said["ada"] == said["hugo"]
        assert len(set(said["ada"])) == count
    held_out = {clip.text for clip in clips if clip.split != "train"}
    assert not held_out & {clip.text for clip in clips if clip.split == "train"}


def test_targets_and_sources_get_the_training_speech_that_was_asked_for(clips):
    for speaker, wanted in (("ada", 9.0), ("hugo", 4.0)):
        lengths = [
            read_audio(clip.audio).seconds
            for clip in clips
            if (clip.split, clip.speaker) == ("train", speaker)
        ]
        assert sum(lengths) >= wanted
        assert sum(lengths[:-1]) < wanted


def test_recordings_have_the_rate_and_the_level_of_the_house(clips):
    for clip in clips:
        audio = read_audio(clip.audio)
        assert audio.rate == 16000
        assert active_level(audio.samples, 16000) == pytest.approx(-26.0, abs=0.05)


def test_a_second_call_reads_the_cache(home, clips):
    before = {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
    assert talkers(home, **SMALL) == clips
    assert {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()} == before


def test_made_again_it_is_the_same_bytes_for_any_number_of_jobs(tmp_path, clips):
    assert contents(talkers(tmp_path, **SMALL, jobs=1)) == contents(clips)


def test_a_person_does_not_depend_on_the_others(tmp_path, clips):
    alone = talkers(tmp_path, **{**SMALL, "speakers": ("hugo",)})
    together = contents([clip for clip in clips if clip.speaker == "hugo"])
    assert contents(alone) == together


def test_another_seed_gives_other_sentences_and_sounds(tmp_path, clips):
    settings = {**SMALL, "speakers": ("hugo",), "source_seconds": 0.0, "video": False}
    other = talkers(tmp_path, **settings, seed=1)
    assert not {clip.text for clip in other} & {clip.text for clip in clips}
    assert all(clip.video is None for clip in other)


def test_a_damaged_cache_is_made_again(tmp_path):
    settings = {**SMALL, "speakers": ("hugo",), "source_seconds": 0.0, "video": False}
    made = talkers(tmp_path, **settings)
    before = contents(made)
    Path(made[0].audio).write_bytes(b"")
    assert contents(talkers(tmp_path, **settings)) == before


def test_after_an_interruption_finished_people_are_kept(tmp_path):
    settings = {**SMALL, "target_seconds": 0.0, "source_seconds": 0.0, "video": False, "jobs": 1}
    calls = []

    def interrupt(done: float, expected: float) -> None:
        calls.append(done)
        # Three sentences each: the fourth call is in the middle of the second person.
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        talkers(tmp_path, **settings, progress=interrupt)
    kept = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("ada*")}
    assert kept
    assert not list((tmp_path / "talkers").glob("[!.]*"))
    made = talkers(tmp_path, **settings)
    assert len(made) == 6
    for file, time in kept.items():
        moved = Path(made[0].audio).parent / file.name if file.is_file() else None
        assert moved is None or moved.stat().st_mtime_ns == time


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"speakers": ("nobody",)}, "no speaker 'nobody'"),
        ({"speakers": ("ada", "ada")}, "each one once"),
        ({"size": 50}, "multiple of 32"),
        ({"seed": -1}, "seed"),
        ({"test_sentences": -1}, "test_sentences"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path, settings, complaint):
    with pytest.raises(InputError, match=complaint):
        talkers(tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_the_gpl_synthesiser_stays_out_of_the_callers_process(clips):
    assert "espeakng_loader" not in sys.modules
    assert "espeak" not in Path("/proc/self/maps").read_text()


def test_importing_the_corpus_loads_nothing_heavy():
    program = "import sys, doppelbench.corpora.talkers; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"PIL", "av", "torch", "espeakng_loader"} & set(loaded.stdout.split())


def test_the_default_speakers_are_four_targets_and_four_sources_of_both_genders():
    people = [voice for voice in VOICES if voice.name in default_speakers()]
    for role in ("target", "source"):
        genders = sorted(voice.gender for voice in people if voice.role == role)
        assert genders == ["female", "female", "male", "male"]
    assert len({voice.name for voice in VOICES}) == len(VOICES)


def test_grid_sentences_use_the_words_of_each_slot_equally_often():
    sentences = balanced_grid_sentences(100, "seed")
    assert len(set(sentences)) == 100
    for slot, words in zip(
        GRID, zip(*(sentence.split() for sentence in sentences), strict=True), strict=True
    ):
        assert {words.count(word) for word in slot} == {100 // len(slot)}


def test_training_sentences_never_repeat_and_are_half_grid():
    sentences = list(islice(training_sentences("seed", exclude=()), 1000))
    assert len(set(sentences)) == 1000
    commands = [
        s for s in sentences if s.split()[0] in GRID[0] and len(s.split()) == 6 and s.split()[3] in GRID[3]
    ]
    assert len(commands) == 500
    without = list(islice(training_sentences("seed", exclude=sentences[:10]), 990))
    assert not set(without) & set(sentences[:10])


def test_the_alignment_covers_the_recording_without_gaps(clips):
    for clip in clips:
        alignment = truth_of(clip, "phonemes")
        intervals = alignment["phonemes"]
        assert intervals[0][0] == intervals[-1][0] == "_"
        assert intervals[0][1] == 0.0
        assert intervals[-1][2] == pytest.approx(read_audio(clip.audio).seconds, abs=1e-3)
        assert all(one[2] == other[1] for one, other in pairwise(intervals))
        assert " ".join(word for word, _, _ in alignment["words"]) == clip.text


def test_the_alignment_agrees_with_the_sound(clips):
    loudness: dict[str, list[float]] = {"silence": [], "vowel": [], "stop": []}
    hiss: dict[str, list[float]] = {"sibilant": [], "vowel": []}
    for clip in clips:
        samples = read_audio(clip.audio).samples
        high = scipy.signal.sosfilt(scipy.signal.butter(4, 4000, "high", fs=16000, output="sos"), samples)
        for phoneme, start, end in truth_of(clip, "phonemes")["phonemes"]:
            bare = phoneme.lstrip("',%")
            middle = slice(
                round(16000 * (start + 0.25 * (end - start))), round(16000 * (end - 0.25 * (end - start)))
            )
            decibel = 10 * np.log10(np.mean(np.square(samples[middle])))
            ratio = np.mean(np.square(high[middle])) / np.mean(np.square(samples[middle]))
            if bare == "_":
                loudness["silence"].append(decibel)
            elif bare in ("s", "z"):
                hiss["sibilant"].append(ratio)
            elif bare in ("i:", "u:", "aI", "eI", "E", "0"):
                loudness["vowel"].append(decibel)
                hiss["vowel"].append(ratio)
            elif bare in ("p", "t", "k"):
                first = samples[round(16000 * (start + 0.01)) : round(16000 * (start + 0.03))]
                loudness["stop"].append(10 * np.log10(np.mean(np.square(first))))
    assert max(loudness["silence"]) < -50
    assert np.median(loudness["vowel"]) > -35
    assert np.median(loudness["stop"]) < -55
    assert np.median(hiss["sibilant"]) > 0.5
    assert np.median(hiss["vowel"]) < 0.1


def test_the_letter_a_is_said_as_a_letter(tmp_path):
    settings = {**SMALL, "speakers": ("hugo",), "source_seconds": 0.0, "dev_sentences": 0, "video": False}
    made = talkers(tmp_path, **{**settings, "test_sentences": 25})
    letters = {clip.text.split()[3]: clip for clip in made}
    word = next(word for word in truth_of(letters["a"], "phonemes")["words"] if word[0] == "a")
    said = [
        name
        for name, start, end in truth_of(letters["a"], "phonemes")["phonemes"]
        if word[1] <= start < word[2]
    ]
    assert "'eI" in said


def test_film_and_sound_have_the_same_length_and_the_film_holds_the_sound(clips):
    for clip in clips:
        audio = read_audio(clip.audio)
        video = read_video(clip.video)
        assert video.fps == 25
        assert video.frames.shape == (int(np.ceil(audio.seconds * 25)), 32, 32, 3)
        np.testing.assert_array_equal(video.audio.samples, audio.samples)
        assert all(
            len(row) == len(video.frames) for row in truth_of(clip, "face").values() if isinstance(row, list)
        )


def test_every_phoneme_that_the_synthesiser_said_has_a_viseme(clips):
    said = {name.lstrip("',%=|") for clip in clips for name, _, _ in truth_of(clip, "phonemes")["phonemes"]}
    assert said <= set(PHONEMES)


def test_an_unknown_phoneme_falls_back_on_its_first_letters():
    assert visemes_of("'aI99") == visemes_of("aI")
    assert visemes_of("§") == ("schwa",)


@pytest.mark.parametrize("lips", ["p", "b", "m"])
@pytest.mark.parametrize("vowel", ["'A:", "'u:", "'i:"])
def test_the_lips_close_between_any_vowels(lips, vowel):
    phonemes = [("_", 0.0, 0.2), (vowel, 0.2, 0.4), (lips, 0.4, 0.48), (vowel, 0.48, 0.7), ("_", 0.7, 0.9)]
    times = np.linspace(0, 0.9, 901)
    opening = articulate(phonemes, times).opening
    assert opening[400:480].min() < 0.03
    assert opening[[300, 590]].min() > 3 * opening[400:480].min() + 0.1
    assert opening[[50, 850]].max() < 0.05


def test_consonants_take_the_width_of_their_vowels():
    def width_in_t(vowel: str) -> float:
        phonemes = [(vowel, 0.0, 0.2), ("t", 0.2, 0.26), (vowel, 0.26, 0.46)]
        return float(articulate(phonemes, np.array([0.23])).width[0])

    assert width_in_t("'i:") - width_in_t("'u:") > 0.5


def test_the_measured_mouth_is_the_mouth_that_is_drawn():
    head = Head(face_of("ada", "female", 0), 128)
    skin_and_lips = head.draw(Pose(opening=0.0))[0].astype(int)
    for opening in (0.3, 0.6, 1.0):
        # Neither teeth nor tongue: the gap between the lips is dark.
        frame, truth = head.draw(Pose(opening=opening, teeth=-0.54, tongue=-0.3))
        row, column = round(truth["mouth_y"]), round(truth["mouth_x"])
        dark = (frame[:, column].astype(int).sum(axis=1) < 120) & (skin_and_lips[:, column].sum(axis=1) > 150)
        assert dark[row]
        assert dark.sum() == pytest.approx(truth["mouth_opening"], abs=2)


def test_a_blink_changes_the_eyes_and_a_shift_moves_the_head():
    head = Head(face_of("hugo", "male", 7), 64)
    still, truth = head.draw(Pose(opening=0.2))
    blinking, _ = head.draw(Pose(opening=0.2, blink=1.0))
    changed = np.nonzero((still != blinking).any(axis=(1, 2)))[0]
    assert changed.min() > 0
    assert changed.max() < truth["mouth_y"] - 5
    _, moved = head.draw(Pose(opening=0.2, shift=(0.1, 0.05)))
    assert moved["mouth_x"] - truth["mouth_x"] == pytest.approx(6.4)
    assert moved["mouth_y"] - truth["mouth_y"] == pytest.approx(3.2)


def test_people_look_different():
    portraits = [
        Head(face_of(voice.name, voice.gender, index), 64).draw(Pose(opening=0.1))[0].astype(float)
        for index, voice in enumerate(VOICES[:8])
    ]
    for index, one in enumerate(portraits):
        assert all(np.abs(one - other).mean() > 10 for other in portraits[:index])


def test_the_mouth_opens_with_the_loudness_of_the_speech(clips):
    openings, levels = [], []
    for clip in clips:
        samples = read_audio(clip.audio).samples
        opening = np.array(truth_of(clip, "face")["mouth_opening"])
        padded = np.pad(samples, (0, opening.size * 640 - samples.size))
        levels += list(10 * np.log10(np.square(padded).reshape(-1, 640).mean(axis=1) + 1e-9))
        openings += list(opening)
    assert np.corrcoef(openings, levels)[0, 1] > 0.4
