"""Every planted leak is found, and a clean study has none."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from study_sounds import ROWS, make_sounds

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, Video, read_audio, sha256_of, write_audio, write_video
from doppelbench.listening.design import make_study
from doppelbench.listening.guessing import guess_system
from doppelbench.listening.leak_check import check_no_leaks, find_leaks, names_in
from doppelbench.listening.plans import EXEMPLAR_2021_AB, P808
from doppelbench.listening.rows import Sound
from doppelbench.listening.stimuli import FILE_TIME
from doppelbench.listening.study import KEY, Key, Study, read_key, read_study, write_study


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    sounds = make_sounds(folder / "outputs", targets=3, per_target=8, rows=ROWS)
    plan = replace(P808, targets=3, trials=20, training=1, anchors=False)
    make_study(folder / "study", sounds, plan, seed=0, run="first run")
    return folder / "study"


@pytest.fixture
def study(clean, tmp_path):
    shutil.copytree(clean, tmp_path / "study")
    return tmp_path / "study"


def said(folder: Path, severity: str = "leak") -> str:
    return "\n".join(
        f"{finding.file}: {finding.what}" for finding in find_leaks(folder) if finding.severity == severity
    )


def reseal(
    folder: Path,
    study: Callable[[Study], Study] = lambda study: study,
    key: Callable[[Key], Key] = lambda key: key,
) -> None:
    """Change a study, with the hashes of its media as they are now, and seal it again."""
    old_study, old_key = read_study(folder), read_key(folder)
    media = folder / "raters" / "media"
    hashes = {path.name: sha256_of(path) for path in sorted(media.iterdir())}
    write_study(folder, replace(study(old_study), media=hashes), key(old_key))


def files_of_system(folder: Path, system: str) -> list[Path]:
    key = read_key(folder)
    return [
        folder / "raters" / "media" / item.stimuli[0].file
        for item in read_study(folder).items
        if key.entries[item.id].kind in ("system", "reference") and key.entries[item.id].systems == (system,)
    ]


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    audio = read_audio(path)
    write_audio(path, Audio(change(audio.samples).astype(np.float32), audio.rate))
    os.utime(path, (FILE_TIME, FILE_TIME))


def test_a_clean_study_has_no_findings(clean):
    assert find_leaks(clean) == []
    assert check_no_leaks(clean) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("raters/media/alpha.wav", "has a name that is not opaque"),
        ("raters/media/alpha.wav", "its name holds 'alpha'"),
        ("raters/media/alpha.wav", "is no file of the study"),
        ("raters/key.json", "is a key"),
        ("raters/person0/page.html", "its name holds 'person0'"),
    ],
)
def test_a_file_that_does_not_belong_there_is_found(study, name, what):
    (study / name).parent.mkdir(exist_ok=True)
    shutil.copy(files_of_system(study, "alpha")[0], study / name)
    assert f"{name}: {what}" in said(study)


def test_a_missing_and_a_changed_file_are_found(study):
    first, second = files_of_system(study, "alpha")[:2]
    first.unlink()
    second.write_bytes(second.read_bytes()[:-2] + b"\1\0")
    assert f"{first.name}: is missing" in said(study)
    assert f"{second.name}: was changed" in said(study)


@pytest.mark.parametrize(
    "text",
    [
        "<p>made by Alpha</p>",
        "<audio data-trial='words0_to_person0'>",
        "<!-- person1 -->",
        "const sources = ['speaker2']",
        "first run",
    ],
)
def test_a_page_that_names_what_it_must_not_is_found(study, text):
    (study / "raters" / "page.html").write_text(f"<html>How natural is it? {text}</html>")
    assert "raters/page.html: holds" in said(study)


def test_the_words_of_every_study_are_no_names(study):
    # "natural" is the label of a reference row.
    (study / "raters" / "page.html").write_text("How natural does it sound? The source, the target.")
    assert find_leaks(study) == []


def test_the_salt_is_found_without_being_printed(study):
    salt = read_key(study).salt
    (study / "raters" / "page.js").write_text(f"// {salt}")
    assert "page.js: holds the salt of the key" in said(study)
    assert salt not in said(study)


def test_sheets_hold_ids_and_files_alone(study):
    made = read_study(study)
    item = made.items[0]
    good = f"block,item_0,output_0\n{made.blocks[0].id},{item.id},https://x.org/{item.stimuli[0].file}\n"
    (study / "raters" / "sheet.csv").write_text(good)
    assert find_leaks(study) == []
    (study / "raters" / "sheet.csv").write_text(good.replace("block,", "system,"))
    assert "the column 'system' is none" in said(study)
    (study / "raters" / "sheet.csv").write_text(good.replace(item.id, "natural"))
    assert "line 2: 'natural' is no id" in said(study)


def test_ids_and_texts_of_the_study_are_looked_at(study):
    reseal(study, lambda made: replace(made, title="Beta and others"))
    assert "study.json: holds 'beta'" in said(study)
    reseal(
        study, lambda made: replace(made, title="t", id="study1"), lambda key: replace(key, study="study1")
    )
    assert "the id 'study1' is not opaque" in said(study)


def test_a_time_of_its_own_is_found(study):
    path = files_of_system(study, "beta")[0]
    os.utime(path, (FILE_TIME + 1, FILE_TIME + 1))
    assert f"{path.name}: its time differs" in said(study)


def test_a_chunk_of_metadata_is_found(study):
    path = files_of_system(study, "beta")[0]
    content = path.read_bytes()
    chunk = b"LIST" + (10).to_bytes(4, "little") + b"INFOalpha\0"
    content = content[:4] + (len(content) - 8 + len(chunk)).to_bytes(4, "little") + content[8:] + chunk
    path.write_bytes(content)
    os.utime(path, (FILE_TIME, FILE_TIME))
    reseal(study)
    assert f"{path.name}: holds the chunks fmt , data, LIST" in said(study)
    assert f"{path.name}: its size" in said(study)


def test_another_rate_is_found(study):
    path = files_of_system(study, "beta")[0]
    audio = read_audio(path)
    write_audio(path, Audio(audio.samples, 8000))
    os.utime(path, (FILE_TIME, FILE_TIME))
    reseal(study)
    assert f"{path.name}: its format differs" in said(study)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda samples: np.pad(samples, (0, 1600)), "its duration"),
        (lambda samples: np.pad(samples, (0, 1600)), "its size"),
        (lambda samples: 0.8 * samples, "its level"),
        (lambda samples: np.roll(samples, 1600), "its speech begins at 0.34 s"),
    ],
)
def test_one_sound_that_differs_from_the_others_is_found(study, change, what):
    path = files_of_system(study, "beta")[0]
    rewrite(path, change)
    reseal(study)
    assert f"{path.name}: {what}" in said(study)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda samples: np.pad(samples, (0, 160)), "the duration tells the system"),
        (lambda samples: 0.993 * samples, "the level tells the system"),
        (lambda samples: np.roll(samples, 320), "the lead tells the system"),
    ],
)
def test_a_system_that_always_differs_a_little_is_guessed(study, change, what):
    for path in files_of_system(study, "beta"):
        rewrite(path, change)
    reseal(study)
    assert what in said(study)


def test_longer_speech_of_one_system_is_a_note(study):
    for path in files_of_system(study, "beta"):
        # Its end is gone, and the level is kept.
        rewrite(path, lambda samples: np.where(np.arange(samples.size) < 8000, samples, 0.0))
    reseal(study)
    assert "the trail tells the system" in said(study, "note")
    assert "trail" not in said(study)


def test_names_in_the_order_of_the_systems_are_guessed(study):
    media = study / "raters" / "media"
    made, key = read_study(study), read_key(study)
    ranked = [path for system, _ in ROWS for path in files_of_system(study, system)]
    ranked += sorted(set(media.iterdir()) - set(ranked))
    names = {path.name: f"{number:012x}.wav" for number, path in enumerate(ranked)}
    for old, new in names.items():
        (media / old).rename(media / f"new-{new}")
    for new in names.values():
        (media / f"new-{new}").rename(media / new)
    items = tuple(
        replace(item, stimuli=tuple(replace(one, file=names[one.file]) for one in item.stimuli))
        for item in made.items
    )
    reseal(study, lambda old: replace(old, items=items))
    assert "the order of names tells the system" in said(study)
    assert key.entries


def test_items_in_the_order_of_the_systems_are_guessed(study):
    entries = read_key(study).entries
    reseal(
        study,
        lambda made: replace(
            made, items=tuple(sorted(made.items, key=lambda item: (entries[item.id].systems, item.id)))
        ),
    )
    assert "the order of items tells the system" in said(study)


def test_a_trap_of_another_length_is_found(study):
    key, made = read_key(study), read_study(study)
    item = next(item for item in made.items if key.entries[item.id].kind == "trap")
    path = study / "raters" / "media" / item.stimuli[0].file
    rewrite(path, lambda samples: np.pad(samples, (0, 12345)))
    reseal(study)
    assert f"{path.name}: its duration" in said(study)
    assert "is that of no rated sound" in said(study)


def test_one_side_for_one_system_is_found(tmp_path):
    sounds = make_sounds(tmp_path / "outputs", targets=2, per_target=6, rows=ROWS[:2])
    plan = replace(EXEMPLAR_2021_AB, targets=2, trials=12, traps=0)
    make_study(tmp_path / "s", sounds, plan, seed=0, run="first run")
    assert find_leaks(tmp_path / "s") == []
    made, key = read_study(tmp_path / "s"), read_key(tmp_path / "s")
    items, entries = [], {}
    for item in made.items:
        entry = key.entries[item.id]
        if entry.systems[0] == "beta":
            first, second, *others = item.stimuli
            stimuli = (replace(second, role="first"), replace(first, role="second"), *others)
            item, entry = replace(item, stimuli=stimuli), replace(entry, systems=entry.systems[::-1])
        items.append(item)
        entries[item.id] = entry
    reseal(
        tmp_path / "s",
        lambda old: replace(old, items=tuple(items)),
        lambda old: replace(old, entries=entries),
    )
    assert "alpha comes before beta in 12 of 12 pairs" in said(tmp_path / "s")


@pytest.fixture
def films(tmp_path):
    """A study of videos without sound, of which one system's have much detail."""
    generator, sounds = np.random.default_rng(0), []
    for system in ("alpha", "beta"):
        for n in range(12):
            path = tmp_path / system / f"clip{n}.mkv"
            path.parent.mkdir(exist_ok=True)
            frames = np.full((6, 32, 32, 3), 90 + n, np.uint8)
            if system == "beta":
                frames = generator.integers(0, 256, frames.shape, np.uint8)
            write_video(path, Video(frames, 25.0))
            sounds.append(
                Sound(system=system, kind="system", trial=f"clip{n}", target="ada", source="edith", path=path)
            )
    plan = replace(EXEMPLAR_2021_AB, targets=1, trials=12, traps=0)
    make_study(tmp_path / "s", sounds, plan, seed=0, run="first run")
    return tmp_path / "s"


def test_videos_are_even_but_for_what_is_inside_of_the_container(films):
    assert said(films) == ""
    assert "the inner size tells the system of 100 % of the sounds" in said(films, "note")


def test_a_tag_a_size_and_a_format_of_a_video_are_found(films):
    import av

    path = next((films / "raters" / "media").iterdir())
    with av.open(str(path)) as source, av.open(str(films / "new.mp4"), "w") as out:
        out.metadata["title"] = "made by alpha-net"
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)
    os.replace(films / "new.mp4", path)
    os.utime(path, (FILE_TIME, FILE_TIME))
    reseal(films)
    assert f"{path.name}: holds the tag title" in said(films)
    assert f"{path.name}: its size" in said(films)
    path.write_bytes(b"no video")
    reseal(films)
    assert f"{path.name}: cannot be read" in said(films)


def test_a_study_that_leaks_is_refused_with_the_first_leak(study):
    (study / "raters" / "a.html").write_text("alpha")
    (study / "raters" / "b.html").write_text("beta")
    with pytest.raises(InputError, match=r"raters/a\.html: holds 'alpha' \(and 1 further leak"):
        check_no_leaks(study)


def test_a_broken_seal_is_no_clean_study(study):
    (study / KEY).write_text((study / KEY).read_text().replace('"alpha"', '"gamma"'))
    with pytest.raises(InputError, match="changed after"):
        find_leaks(study)


@pytest.mark.parametrize(
    ("text", "found"),
    [("by Alpha.", True), ("alphabet", False), ("alpha_2", True), ("alpha2", False), ("", False)],
)
def test_names_are_found_as_words(text, found):
    assert bool(names_in(text, ["alpha"])) == found


def test_guessing_is_at_chance_without_a_difference_and_sure_with_one():
    generator = np.random.default_rng(0)
    trials = [f"t{n}" for n in range(30) for _ in range(3)]
    systems = ["a", "b", "c"] * 30
    # A difference between trials is none between systems.
    noise = generator.standard_normal(90)[:, None] + np.repeat(np.arange(30), 3)[:, None]
    accuracy, p = guess_system(noise, systems, trials)
    assert accuracy < 0.5
    assert p > 0.01
    shifted = noise + 3.0 * (np.array(systems) == "b")[:, None]
    accuracy, p = guess_system(shifted, systems, trials)
    assert accuracy > 0.55
    assert p < 0.001
    assert guess_system(np.ones((90, 1)), systems, trials) == (pytest.approx(1 / 3), 1.0)


def test_p_values_of_guessing_are_spread_evenly_when_nothing_differs():
    generator = np.random.default_rng(5)
    trials = [f"t{n}" for n in range(12) for _ in range(2)]
    values = [
        guess_system(generator.standard_normal((24, 2)), ["a", "b"] * 12, trials, permutations=99)[1]
        for _ in range(120)
    ]
    assert np.mean(np.array(values) <= 0.1) < 0.2
    assert np.mean(np.array(values) <= 0.5) == pytest.approx(0.5, abs=0.2)
