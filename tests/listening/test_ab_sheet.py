"""An AB sheet is balanced, and nothing that listeners get tells which system made a sound."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.level import active_level
from doppelbench.corpora.media import Audio, read_audio, write_audio
from doppelbench.listening.ab_sheet import AbPair, balanced_order, make_ab_sheet, read_key

SYSTEMS = ("wide-net", "other-net")
QUESTION = "Which of the two do you prefer?"


def tone(number: int, gain: float, rate: int = 16000, seconds: float = 0.2) -> Audio:
    """A tone whose frequency says which sound it is, with a click that makes its peak high."""
    time = np.arange(round(seconds * rate)) / rate
    samples = np.sin(2 * np.pi * (200 + 40 * number) * time)
    samples[len(samples) // 2] += 30.0 * (number == 1)
    return Audio((gain * samples).astype(np.float32), rate)


def frequency(path: Path) -> int:
    audio = read_audio(path)
    spectrum = np.abs(np.fft.rfft(audio.samples - audio.samples.mean()))
    return round(np.fft.rfftfreq(audio.samples.size, 1 / audio.rate)[spectrum.argmax()])


def make_pairs(folder: Path, count: int = 7, *, reference: bool = False) -> list[AbPair]:
    pairs = []
    for number in range(count):
        files = tuple(folder / system / f"t{number}.flac" for system in (*SYSTEMS, "natural"))
        for which, file in enumerate(files):
            file.parent.mkdir(parents=True, exist_ok=True)
            # The second system is quieter and has another rate.
            write_audio(
                file, tone(3 * number + which, (0.03, 0.003, 0.01)[which], (16000, 22050, 16000)[which])
            )
        outputs = (files[0], files[1])
        pairs.append(AbPair(f"t{number}", "abc"[number % 3], outputs, files[2] if reference else None))
    return pairs


def sheet_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "raters" / "sheet.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, list[AbPair]]:
    folder = tmp_path_factory.mktemp("ab")
    pairs = make_pairs(folder / "outputs", reference=True)
    make_ab_sheet(folder / "sheet", SYSTEMS, pairs, question=QUESTION, seed=5)
    return folder / "sheet", pairs


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("sizes", [(4, 4, 4), (3, 5, 1), (7,), (1, 1, 1, 1)])
def test_each_system_comes_first_equally_often_overall_and_for_every_target(seed, sizes):
    targets = [f"target{index}" for index, size in enumerate(sizes) for _ in range(size)]
    swapped = balanced_order(targets, np.random.default_rng(seed))
    assert abs(2 * sum(swapped) - len(targets)) <= 1
    for name in set(targets):
        own = [flag for flag, target in zip(swapped, targets, strict=True) if target == name]
        assert abs(2 * sum(own) - len(own)) <= 1


def test_the_order_differs_between_seeds():
    orders = {tuple(balanced_order(["a"] * 12, np.random.default_rng(seed))) for seed in range(10)}
    assert len(orders) > 5


def test_the_key_says_which_sound_is_whose(made):
    folder, pairs = made
    trials = {pair.trial: number for number, pair in enumerate(pairs)}
    key = {row["pair"]: row for row in read_key(folder)}
    assert Counter(row["trial"] for row in key.values()) == Counter(list(trials))
    for row in sheet_of(folder):
        own = key[row["pair"]]
        number = trials[own["trial"]]
        for side in ("first", "second"):
            expected = 200 + 40 * (3 * number + SYSTEMS.index(own[side]))
            assert frequency(folder / "raters" / "sounds" / row[side]) == pytest.approx(expected, abs=5)
        expected = 200 + 40 * (3 * number + 2)
        assert frequency(folder / "raters" / "sounds" / row["reference"]) == pytest.approx(expected, abs=5)
        assert {own["first"], own["second"]} == set(SYSTEMS)
        assert (row["question"], row["answer"]) == (QUESTION, "")


def test_nothing_that_raters_get_names_a_system_a_trial_or_a_target(made):
    folder, pairs = made
    given = [path for path in (folder / "raters").rglob("*") if path.is_file()]
    assert len(given) == 1 + 3 * len(pairs)
    for path in given:
        content = path.read_bytes()
        name = path.relative_to(folder / "raters").as_posix().encode()
        for secret in (*SYSTEMS, "natural", "outputs", *(f"t{n}.flac" for n in range(7))):
            assert secret.encode() not in content
            assert secret.encode() not in name
    assert not list((folder / "raters").rglob("key*"))


def test_rate_loudness_and_times_of_the_files_tell_nothing(made):
    folder, _ = made
    files = sorted((folder / "raters" / "sounds").iterdir())
    sounds = [read_audio(file) for file in files]
    assert {sound.rate for sound in sounds} == {16000}
    levels = [active_level(sound.samples, sound.rate) for sound in sounds]
    assert max(levels) - min(levels) < 0.1
    assert max(np.abs(sound.samples).max() for sound in sounds) < 1.0
    assert len({file.stat().st_mtime for file in files}) == 1


def test_the_same_seed_gives_the_same_sheet_and_another_seed_another(tmp_path):
    pairs = make_pairs(tmp_path / "outputs")
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        make_ab_sheet(tmp_path / name, SYSTEMS, pairs, question=QUESTION, seed=seed)
    contents = {
        name: [path.read_bytes() for path in sorted((tmp_path / name).rglob("*")) if path.is_file()]
        for name in ("one", "again", "two")
    }
    assert contents["one"] == contents["again"]
    assert contents["one"] != contents["two"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pairs": 0}, "no trial that both"),
        ({"question": "Is Wide-Net better?"}, "names the system wide-net"),
        ({"pairs": 2}, "t0 stands in two pairs"),
        ({"full": True}, "holds files already"),
    ],
)
def test_what_would_spoil_a_test_is_refused(tmp_path, change, said):
    pairs = make_pairs(tmp_path / "outputs", 1) * change.get("pairs", 1)
    if "full" in change:
        (tmp_path / "sheet").mkdir()
        (tmp_path / "sheet" / "key.csv").write_text("kept")
    with pytest.raises(InputError, match=said):
        make_ab_sheet(tmp_path / "sheet", SYSTEMS, pairs, question=change.get("question", QUESTION), seed=0)


def test_a_key_that_is_none_is_refused(tmp_path):
    (tmp_path / "key.csv").write_text("pair,system\n1,x\n")
    with pytest.raises(InputError, match=r"key\.csv, line 1"):
        read_key(tmp_path)
    with pytest.raises(InputError, match="no key that can be read"):
        read_key(tmp_path / "absent")
