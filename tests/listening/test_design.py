"""A study is balanced, even in all that is not the sound, and the same for the same seed."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from study_sounds import ROWS, files_of, make_sounds, voice

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.level import active_level
from doppelbench.corpora.media import Audio, Video, read_audio, write_audio, write_video
from doppelbench.listening.design import make_study
from doppelbench.listening.leak_check import find_leaks
from doppelbench.listening.plans import (
    ABX,
    EXEMPLAR_2021,
    EXEMPLAR_2021_AB,
    NATURALNESS,
    P800,
    P808,
    SMALL,
    preference,
)
from doppelbench.listening.rows import Sound
from doppelbench.listening.study import read_key, read_study

RATED = ("system", "reference", "anchor")
OUTPUTS = ("output", "first", "second")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return make_sounds(tmp_path_factory.mktemp("outputs"))


@pytest.fixture(scope="module")
def studies(sounds, tmp_path_factory):
    """A study of every plan, by its name."""
    folder = tmp_path_factory.mktemp("studies")
    plans = [
        replace(EXEMPLAR_2021, targets=3, trials=12, block_size=6),
        replace(EXEMPLAR_2021_AB, targets=3, trials=12, block_size=6),
        replace(P808, targets=3, trials=8, block_size=4),
        replace(P800, targets=3, trials=12, block_size=12),
        replace(SMALL, targets=3, trials=7, block_size=4),
    ]
    made = {}
    for plan in plans:
        result = make_study(folder / plan.name, sounds, plan, seed=4, run="talkers run")
        made[plan.name] = (folder / plan.name, result)
    return made


NAMES = ["exemplar-2021", "exemplar-2021-ab", "p800", "p808", "small"]


def rated(study, key, block):
    """Items of a block that count, with what they are."""
    pairs = [(study.item(name), key.entries[name]) for name in block.items]
    return [(item, entry) for item, entry in pairs if entry.kind in RATED]


@pytest.mark.parametrize("name", NAMES)
def test_seals_hold_and_everything_is_as_the_plan_says(studies, name):
    folder, made = studies[name]
    key, study = read_key(folder), read_study(folder)
    assert study == made.study
    assert made.notes == ()
    assert key.run == "talkers run"
    assert {item.id for item in study.items} == set(key.entries)
    assert {path.name for path in (folder / "raters" / "media").iterdir()} == set(study.media)
    assert set(key.sources) == set(study.media)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_leaks(studies, name):
    assert find_leaks(studies[name][0]) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_rated_for_every_trial_once_and_blocks_are_balanced(studies, name):
    folder, made = studies[name]
    study, key = made.study, read_key(folder)
    cells = Counter()
    for block in study.blocks:
        own = rated(study, key, block)
        trials = [entry.trial for _, entry in own]
        assert len(set(trials)) == len(trials)
        frequent = Counter(tuple(sorted(entry.systems)) for _, entry in own)
        assert max(frequent.values()) - min(frequent.values()) <= 1
        assert len({item.questions for item, _ in own}) == 1
        for item, entry in own:
            cells.update((question, *sorted(entry.systems), entry.trial) for question in item.questions)
    rows, trials, questions = {
        "exemplar-2021": (3, 12, 3),
        "exemplar-2021-ab": (3, 12, 1),
        "p808": (5, 8, 1),
        "p800": (5, 12, 1),
        "small": (4, 7, 3),
    }[name]
    assert len(cells) == rows * trials * questions
    assert set(cells.values()) == {1}


@pytest.mark.parametrize("name", NAMES)
def test_systems_stand_equally_often_at_every_place(studies, name):
    folder, made = studies[name]
    study, key = made.study, read_key(folder)
    places = Counter()
    for block in study.blocks:
        for place, (item, entry) in enumerate(rated(study, key, block)):
            places[item.questions, place, tuple(sorted(entry.systems))] += 1
    for questions, place, _ in list(places):
        same = [count for cell, count in places.items() if cell[:2] == (questions, place)]
        assert len(set(same)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_gold_and_traps_are_in_every_block_at_different_places(studies, name):
    folder, made = studies[name]
    study, key = made.study, read_key(folder)
    wanted = {
        "exemplar-2021": (0, 1),
        "exemplar-2021-ab": (0, 1),
        "p808": (1, 1),
        "p800": (0, 0),
        "small": (1, 1),
    }
    places = set()
    for block in study.blocks:
        kinds = [key.entries[item].kind for item in block.items]
        assert (kinds.count("gold"), kinds.count("trap")) == wanted[name]
        assert not study.training or not set(study.training) & set(block.items)
        places |= {place for place, kind in enumerate(kinds) if kind == "trap"}
    assert not wanted[name][1] or len(places) > 1
    for entry in key.entries.values():
        assert bool(entry.expected) == (entry.kind in ("gold", "trap"))


def test_gold_is_the_best_or_the_worst_in_turn(studies):
    folder, _ = studies["p808"]
    gold = [entry for entry in read_key(folder).entries.values() if entry.kind == "gold"]
    counts = Counter((entry.systems, entry.expected["naturalness"]) for entry in gold)
    assert set(counts) == {(("natural",), "5"), (("degraded",), "1")}
    assert counts[("natural",), "5"] == counts[("degraded",), "1"] == len(gold) // 2


def test_traps_ask_for_distinct_answers_and_training_spans_the_scale(studies):
    folder, made = studies["p808"]
    key = read_key(folder)
    asked = {entry.expected["naturalness"] for entry in key.entries.values() if entry.kind == "trap"}
    assert asked <= {"1", "2", "4"}
    assert len(made.study.training) == 5
    shown = [key.entries[name].systems for name in made.study.training]
    assert ("natural",) in shown
    assert ("degraded",) in shown
    # They are of the trials that nobody rates.
    used = {entry.trial for entry in key.entries.values() if entry.kind in RATED}
    assert not used & {key.entries[name].trial for name in made.study.training}


@pytest.mark.parametrize("name", NAMES)
def test_files_are_even_in_all_that_is_not_the_sound(studies, name):
    folder, made = studies[name]
    key, media = read_key(folder), folder / "raters" / "media"
    sounds = {path.name: read_audio(path) for path in media.iterdir()}
    levels = [active_level(sound.samples, sound.rate) for sound in sounds.values()]
    assert max(levels) - min(levels) < 0.1
    assert {sound.rate for sound in sounds.values()} == {16000}
    assert len({path.stat().st_mtime_ns for path in media.iterdir()}) == 1
    by_trial = {}
    checks = set()
    for item in made.study.items:
        entry = key.entries[item.id]
        own = [one for one in item.stimuli if one.role in OUTPUTS]
        for one in own:
            assert one.seconds == pytest.approx(sounds[one.file].seconds)
            size = (media / one.file).stat().st_size
            if entry.kind in RATED:
                by_trial.setdefault(entry.trial, set()).add(size)
            elif entry.kind in ("gold", "trap"):
                checks.add(size)
    assert all(len(sizes) == 1 for sizes in by_trial.values())
    # A trap or gold item is as long as some rated sound.
    assert checks <= set.union(*by_trial.values())
    # And not the only one of its length.
    assert len({min(sizes) for sizes in by_trial.values()}) > 1


def test_the_key_says_which_sound_is_whose(studies):
    folder, made = studies["p808"]
    key = read_key(folder)
    pitches = {name: 200 + 40 * place for place, (name, _) in enumerate(ROWS)} | {"low-pass-3.5k": 320}
    for item in made.study.items:
        entry = key.entries[item.id]
        if entry.kind not in RATED:
            continue
        samples = read_audio(folder / "raters" / "media" / item.stimuli[0].file).samples
        spectrum = np.abs(np.fft.rfft(samples))
        found = np.fft.rfftfreq(samples.size, 1 / 16000)[spectrum.argmax()]
        assert found == pytest.approx(pitches[entry.systems[0]], abs=6)
        assert entry.trial.endswith(entry.target)


def test_only_what_a_question_needs_is_shown_beside_the_sound(studies):
    roles = {
        item.questions: tuple(one.role for one in item.stimuli)
        for name in NAMES
        for item in studies[name][1].study.items
    }
    assert roles == {
        ("naturalness",): ("output",),
        ("similarity",): ("output", "target"),
        ("consistency",): ("output", "source"),
        ("naturalness", "similarity", "consistency"): ("output", "target", "source"),
        ("preference",): ("first", "second", "target"),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("targets", "per_target"), [(2, 4), (3, 2)])
def test_in_pairs_each_system_comes_first_in_exactly_half(tmp_path, targets, per_target, seed):
    sounds = make_sounds(tmp_path / "outputs", targets=targets, per_target=per_target, rows=ROWS[:3])
    plan = replace(
        EXEMPLAR_2021_AB,
        questions=(preference(same=True), ABX),
        traps=0,
        targets=targets,
        trials=targets * per_target,
    )
    folder = tmp_path / "study"
    made = make_study(folder, sounds, plan, seed=seed, run="r", pairs=[("beta", "alpha"), ("alpha", "gamma")])
    first, of_target = Counter(), Counter()
    for item in made.study.items:
        entry = read_key(folder).entries[item.id]
        pair = tuple(sorted(entry.systems))
        first[item.questions, pair, entry.systems[0]] += 1
        of_target[item.questions, pair, entry.target, entry.systems[0]] += 1
    assert set(first.values()) == {targets * per_target // 2}
    assert set(of_target.values()) == {per_target // 2}
    assert len(first) == 2 * 2 * 2


def test_the_same_seed_gives_the_same_bytes_and_another_others(tmp_path, sounds):
    plan = replace(P808, targets=2, trials=4, training=1)
    for name, seed, given in (("one", 1, sounds), ("again", 1, sounds[::-1]), ("two", 2, sounds)):
        make_study(tmp_path / name, given, plan, seed=seed, run="r")
    one, again, two = (files_of(tmp_path / name) for name in ("one", "again", "two"))
    assert one == again
    assert not set(one) & set(two) - {"key.json", "raters/study.json"}


def test_names_depend_on_the_sounds_and_not_on_the_seed_alone(tmp_path, sounds):
    plan = replace(P800, targets=1, trials=2, training=0)
    other = tmp_path / "other.flac"
    write_audio(other, voice(333, 1.0, 0.1, np.random.default_rng(9)))
    changed = [replace(sounds[0], path=other), *sounds[1:]]
    names = []
    for number, given in enumerate((sounds, changed)):
        made = make_study(tmp_path / str(number), given, plan, seed=0, run="r")
        names.append({item.id for item in made.study.items})
    assert not names[0] & names[1]


def test_trials_are_spread_evenly_over_the_targets_there_are(tmp_path, sounds):
    made = make_study(tmp_path / "s", sounds, replace(P800, targets=5, trials=8, training=0), seed=0, run="r")
    key = read_key(tmp_path / "s")
    trials = {(entry.target, entry.trial) for entry in key.entries.values()}
    assert sorted(Counter(target for target, _ in trials).values()) == [2, 3, 3]
    assert made.notes == ("the plan p800 asks for 5 targets, there are 3",)


def test_a_trial_that_one_system_did_not_answer_is_left_out_for_all(tmp_path, sounds):
    silent = tmp_path / "silent.flac"
    write_audio(silent, Audio(np.zeros(16000, np.float32), 16000))
    given = [replace(sounds[0], path=tmp_path / "absent.flac"), sounds[1], *sounds[3:]]
    place = next(
        i for i, one in enumerate(given) if one.trial == "words3_to_person2" and one.system == "beta"
    )
    given[place] = replace(given[place], path=silent)
    made = make_study(tmp_path / "s", given, replace(P800, targets=3, trials=12), seed=0, run="r")
    key = read_key(tmp_path / "s")
    answered = {entry.trial for entry in key.entries.values() if entry.kind in RATED}
    assert len(answered) == 10
    assert not answered & {"words0_to_person0", "words3_to_person2"}
    notes = "\n".join(made.notes)
    assert "words0_to_person0 is left out: no output of alpha, gamma" in notes
    assert "words3_to_person2 is left out" in notes
    assert "silent" in notes
    assert "asks for 12 trials, there are 10" in notes


def test_without_natural_recordings_the_notes_say_what_is_missing(tmp_path, sounds):
    given = [
        replace(sound, target_sample=None, source_sample=None) for sound in sounds if sound.kind == "system"
    ]
    made = make_study(tmp_path / "s", given, replace(P808, targets=3, trials=6, training=0), seed=0, run="r")
    assert len(made.notes) == 3
    for said in ("hidden reference", "low-passed anchor", "gold items"):
        assert any(said in note for note in made.notes)
    assert not any(entry.kind == "gold" for entry in read_key(tmp_path / "s").entries.values())


def test_one_loud_peak_makes_all_sounds_quieter_and_a_note_says_so(tmp_path, sounds):
    spiky = read_audio(sounds[0].path).samples.copy()
    spiky[spiky.size // 2] = 0.99
    write_audio(tmp_path / "spiky.flac", Audio(spiky, 16000))
    given = [replace(sounds[0], path=tmp_path / "spiky.flac"), *sounds[1:]]
    made = make_study(tmp_path / "s", given, replace(P800, targets=3, trials=12, training=0), seed=0, run="r")
    assert any("spiky.flac peaks so high" in note for note in made.notes)
    levels = [
        active_level(read_audio(path).samples, 16000) for path in (tmp_path / "s/raters/media").iterdir()
    ]
    assert max(levels) - min(levels) < 0.1


def test_the_natural_row_is_the_one_of_that_name(tmp_path, sounds):
    given = [replace(sound, kind="reference") if sound.system == "alpha" else sound for sound in sounds]
    make_study(tmp_path / "s", given, replace(P808, targets=3, trials=3, training=0), seed=0, run="r")
    key = read_key(tmp_path / "s")
    paths = {name: key.sources[name] for name in key.sources}
    assert {entry.systems for entry in key.entries.values() if entry.kind == "reference"} == {
        ("alpha",),
        ("natural",),
    }
    low_passed = [path for path in paths.values() if path.endswith("(low-pass)")]
    assert len(low_passed) == 3
    assert all("/natural/" in path for path in low_passed)


def test_a_study_that_broke_off_is_not_there_and_can_be_made_again(tmp_path, sounds):
    bad = tmp_path / "bad.flac"
    bad.write_bytes(b"fLaC no more")
    given = [replace(sound, target_sample=bad) for sound in sounds]
    plan = replace(EXEMPLAR_2021, targets=3, trials=3, traps=0)
    with pytest.raises(InputError, match=r"bad\.flac"):
        make_study(tmp_path / "s", given, plan, seed=0, run="r")
    assert not (tmp_path / "s").exists()
    make_study(tmp_path / "s", sounds, plan, seed=0, run="r")
    read_key(tmp_path / "s")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.flac", "s"]


def test_videos_make_a_study_too(tmp_path):
    sounds = []
    for place, system in enumerate(("alpha", "beta")):
        for n in range(4):
            path = tmp_path / system / f"clip{n}.mkv"
            path.parent.mkdir(exist_ok=True)
            frames = np.full((10 + 2 * n, 32, 32, 3), 40 + 20 * n + 5 * place, np.uint8)
            write_video(
                path, Video(frames, 25.0, voice(200, 0.3 + 0.05 * place, 0.1, np.random.default_rng(n)))
            )
            sounds.append(
                Sound(system=system, kind="system", trial=f"clip{n}", target="ada", source="edith", path=path)
            )
    plan = replace(EXEMPLAR_2021_AB, targets=1, trials=4)
    made = make_study(tmp_path / "s", sounds, plan, seed=0, run="r")
    assert made.study.modality == "video"
    assert all(name.endswith(".mp4") for name in made.study.media)
    assert not [finding for finding in find_leaks(tmp_path / "s") if finding.severity == "leak"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"question": "Is Alpha better?"}, "'Is Alpha better\\?' names the system alpha"),
        ({"title": "alpha against beta"}, "names the system alpha"),
        ({"contact": "beta@example.org"}, "names the system beta"),
        ({"twice": True}, "the sound of alpha for the trial words0_to_person0 is given twice"),
        ({"targets": True}, "words0_to_person0 has two targets"),
        ({"full": True}, "holds files already"),
        ({"none": True}, "no trial that alpha, beta and gamma answered"),
        ({"systems": True}, "no system to be rated"),
        ({"mixed": True}, "some are videos"),
        ({"rate": 4000}, "less than 8000"),
        ({"pairs": [("alpha", "delta")]}, "pairs name delta"),
        ({"pairs": [("alpha", "alpha")]}, "no two systems"),
        ({"itself": True}, "compared with itself"),
    ],
)
def test_what_would_spoil_a_study_is_refused(tmp_path, sounds, change, said):
    plan = replace(P800, targets=3, trials=4, training=0, anchors=False, references=False)
    given = list(sounds)
    if "question" in change:
        plan = replace(plan, questions=(replace(NATURALNESS, text=change["question"]),))
    if "twice" in change:
        given.append(sounds[0])
    if "targets" in change:
        given[1] = replace(given[1], target="nobody")
    if "none" in change:
        given = [replace(sound, path=tmp_path / "absent.flac") for sound in given]
    if "systems" in change:
        given = [sound for sound in given if sound.kind == "reference"]
    if "mixed" in change:
        given[0] = replace(given[0], path=tmp_path / "a.mkv")
    if "pairs" in change:
        plan = replace(plan, questions=(preference(),))
    if "itself" in change:
        plan = replace(SMALL, targets=3, trials=12)
        given = [
            replace(sound, target_sample=sounds[3].path) if sound.trial == sounds[3].trial else sound
            for sound in given
        ]
    if "full" in change:
        (tmp_path / "s").mkdir()
        (tmp_path / "s" / "key.json").write_text("kept")
    options = {name: change[name] for name in ("title", "contact", "rate", "pairs") if name in change}
    with pytest.raises(InputError, match=said):
        make_study(tmp_path / "s", given, plan, seed=0, run="r", **options)
    assert not (tmp_path / "s" / "raters").exists()


def test_the_key_says_which_sound_of_a_pair_is_whose(studies):
    folder, made = studies["exemplar-2021-ab"]
    key = read_key(folder)
    pitches = {name: 200 + 40 * place for place, (name, _) in enumerate(ROWS)}
    for item in made.study.items:
        entry = key.entries[item.id]
        if entry.kind != "system":
            continue
        for stimulus, system in zip(item.stimuli, entry.systems, strict=False):
            samples = read_audio(folder / "raters" / "media" / stimulus.file).samples
            spectrum = np.abs(np.fft.rfft(samples))
            found = np.fft.rfftfreq(samples.size, 1 / 16000)[spectrum.argmax()]
            assert found == pytest.approx(pitches[system], abs=6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_raters_get_names_a_system_a_trial_or_a_person(studies, name):
    folder, _ = studies[name]
    for place, content in files_of(folder / "raters").items():
        for secret in ("alpha", "beta", "person0", "person1", "words1", "outputs", ".flac", "talkers"):
            assert secret not in place
            assert place.endswith(".wav") or secret.encode() not in content
