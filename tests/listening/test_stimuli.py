"""What raters hear has one begin, one level and one duration, whatever it was made of."""

import numpy as np
import pytest
from study_sounds import RATE, voice

from doppelbench.corpora.errors import MediaError
from doppelbench.corpora.level import TARGET_DB, active_level
from doppelbench.corpora.media import Audio, Video, read_audio, read_video, write_audio, write_video
from doppelbench.listening.containers import mp4_boxes, wav_chunks
from doppelbench.listening.stimuli import (
    FILE_TIME,
    LEAD,
    TRAIL,
    Rendering,
    fill_up,
    instruction_text,
    interrupted,
    loudness_noise,
    low_pass,
    natural_seconds,
    peak_of,
    placed,
    render,
    speak_instructions,
    speech_span,
    trap_seconds,
    write_film,
    write_sound,
)


def tone(frequency: float, seconds: float, rate: int = RATE) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "original.flac"
    write_audio(path, voice(200, 1.0, 0.01, np.random.default_rng(3)))
    return path


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3200, 800), (17, 5000), (8000, 0)])
def test_speech_begins_at_one_time_and_lasts_as_long_as_before(before, after):
    original = np.pad(tone(300, 0.7), (before, after))
    out = placed(original, RATE, 2.0)
    assert out.size == 2 * RATE
    first, last = speech_span(out, RATE)
    assert first == round(LEAD * RATE)
    assert (last - first) / RATE == pytest.approx(0.7, abs=0.021)
    assert active_level(out, RATE) == pytest.approx(TARGET_DB, abs=0.01)


def test_what_is_too_long_is_cut_and_still_ends_in_silence():
    out = placed(tone(300, 5.0), RATE, 2.0)
    assert out.size == 2 * RATE
    assert not out[-round((TRAIL - 0.05) * RATE) :].any()


def test_the_own_duration_holds_all_of_the_speech(sound):
    seconds = natural_seconds(sound)
    made = render(Rendering(sound))
    assert made.seconds == seconds
    first, last = speech_span(made.samples, RATE)
    assert last - first == pytest.approx(RATE * 1.0, abs=0.03 * RATE)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
def test_sounds_of_any_rate_become_one_size(tmp_path, rate):
    sizes = set()
    for own in (8000, 16000, 48000):
        path = tmp_path / f"{own}.wav"
        write_audio(path, Audio(tone(300, 0.8, own), own))
        made = render(Rendering(path, seconds=1.5), rate)
        write_sound(tmp_path / "out.wav", made, 1.0)
        sizes.add((tmp_path / "out.wav").stat().st_size)
        assert (tmp_path / "out.wav").stat().st_mtime == FILE_TIME
        assert [name for name, _ in wav_chunks(tmp_path / "out.wav")] == ["fmt ", "data"]
    assert sizes == {44 + 2 * round(1.5 * rate)}


@pytest.mark.parametrize(
    ("frequency", "least", "most"), [(1000, -0.1, 0.1), (3500, -6.5, -5.5), (5000, -90, -40)]
)
def test_the_anchor_loses_what_is_above_its_cutoff(frequency, least, most):
    original = tone(frequency, 1.0)
    inner = slice(RATE // 4, -RATE // 4)
    change = 20 * np.log10(np.std(low_pass(original, RATE)[inner]) / np.std(original[inner]))
    assert least <= change <= most


def test_noise_keeps_the_loudness_over_time_and_nothing_of_the_voice():
    original = np.concatenate([tone(220, 1.0), 0.01 * tone(220, 1.0), tone(220, 1.0)])
    made = loudness_noise(original, RATE, np.random.default_rng(0))
    parts = [np.std(made[k * RATE + 3000 : (k + 1) * RATE - 3000]) for k in range(3)]
    assert parts[0] == pytest.approx(parts[2], rel=0.1)
    assert parts[1] < 0.05 * parts[0]
    spectrum = np.abs(np.fft.rfft(made[:RATE])) ** 2
    # A tone has all power at its place, white noise a thousandth.
    assert spectrum[200:240].sum() < 0.05 * spectrum.sum()


def test_the_degraded_is_the_same_every_time(sound):
    how = Rendering(sound, "noise", 2.0)
    assert np.array_equal(render(how).samples, render(how).samples)


def test_a_silent_or_empty_original_is_refused_by_name(tmp_path):
    write_audio(tmp_path / "silent.wav", Audio(np.zeros(8000, np.float32), RATE))
    write_audio(tmp_path / "click.wav", Audio(np.r_[np.zeros(4000), 0.5, np.zeros(4000)].astype("f4"), RATE))
    for name, status in (("silent", "silent"), ("click", "too_short"), ("absent", "missing")):
        with pytest.raises(MediaError) as caught:
            natural_seconds(tmp_path / f"{name}.wav")
        assert caught.value.status == status


@pytest.fixture(scope="module")
def instructions():
    return speak_instructions({"2": instruction_text("2", "Poor"), "first": instruction_text("first", "A")})


def test_instructions_are_spoken_at_the_level_of_the_house(instructions):
    for samples in instructions.values():
        assert 1.0 < samples.size / RATE < 5.0
        assert active_level(samples, RATE) == pytest.approx(TARGET_DB, abs=1.0)
    assert not np.array_equal(instructions["2"], instructions["first"])
    assert instruction_text("2", "Poor").endswith("select the answer two")


def test_a_trap_begins_as_a_sound_and_has_the_wanted_duration(sound, instructions):
    for seconds in (trap_seconds(instructions), 8.0):
        made = render(Rendering(sound, "instruction", seconds, "2"), RATE, instructions)
        usual = render(Rendering(sound, "none", seconds))
        assert made.samples.size == usual.samples.size == round(seconds * RATE)
        begin = slice(round(LEAD * RATE), round((LEAD + 0.7) * RATE))
        assert np.corrcoef(made.samples[begin], usual.samples[begin])[0, 1] > 0.999
        assert active_level(made.samples, RATE) == pytest.approx(TARGET_DB, abs=0.05)


def test_the_whole_instruction_is_in_the_trap(instructions):
    least = trap_seconds(instructions)
    out = interrupted(tone(300, 10.0), RATE, least, instructions["2"])
    assert np.array_equal(out[-instructions["2"].size :], instructions["2"])
    assert out.size <= round((least - LEAD - TRAIL) * RATE)


@pytest.fixture
def clips(tmp_path):
    """Two videos of different length and detail."""
    paths = []
    for number, count in enumerate((8, 12)):
        generator = np.random.default_rng(number)
        frames = np.full((count, 32, 48, 3), 60, np.uint8)
        if number:
            frames = generator.integers(0, 256, frames.shape, np.uint8)
        frames[:, 8:16, 8:16, 0] = 200
        sound = Audio(tone(300 + 100 * number, count / 25), RATE)
        paths.append(tmp_path / f"clip{number}.mkv")
        write_video(paths[-1], Video(frames, 25.0, sound))
    return paths


def test_videos_of_a_trial_get_one_length_one_size_and_play(tmp_path, clips, instructions):
    seconds = max(natural_seconds(path) for path in clips)
    outs = []
    for path in clips:
        made = render(Rendering(path, "none", seconds))
        assert active_level(made.audio.samples, RATE) == pytest.approx(TARGET_DB, abs=0.05)
        outs.append(tmp_path / f"{path.stem}.mp4")
        write_film(outs[-1], made, 0.9)
    assert outs[0].stat().st_size != outs[1].stat().st_size
    fill_up(outs)
    assert outs[0].stat().st_size == outs[1].stat().st_size
    for out in outs:
        assert mp4_boxes(out)[-1][0] == "free"
        video = read_video(out)
        assert len(video.frames) == 12
        assert out.stat().st_mtime == FILE_TIME
    assert abs(read_audio(outs[0]).seconds - read_audio(outs[1]).seconds) < 0.001
    # The last picture stands still.
    still = read_video(outs[0]).frames[-4:].astype(int)
    assert np.abs(still - still[0]).mean() < 2


def test_treatments_of_a_video_reach_pictures_and_sound(clips, instructions):
    coarse = render(Rendering(clips[1], "noise"))
    assert len(np.unique(coarse.frames[0].reshape(-1, 3), axis=0)) <= 36
    seconds = trap_seconds(instructions)
    trap = render(Rendering(clips[0], "instruction", seconds, "2"), RATE, instructions)
    assert len(trap.frames) == round(25 * seconds)
    assert trap.audio.seconds == pytest.approx(seconds, abs=1e-3)
    spoken = instructions["2"]
    wanted = np.correlate(trap.audio.samples, spoken[:4000], "valid")
    assert wanted.argmax() + spoken.size <= trap.audio.samples.size


def test_a_video_without_sound_stays_without(tmp_path):
    write_video(tmp_path / "mute.mkv", Video(np.zeros((5, 32, 32, 3), np.uint8), 25.0))
    made = render(Rendering(tmp_path / "mute.mkv", seconds=0.4))
    assert made.audio is None
    assert len(made.frames) == 10
    assert peak_of(made) == 0.0


def test_chunks_and_rests_of_a_wav_are_listed(tmp_path):
    write_audio(tmp_path / "a.wav", Audio(tone(300, 0.1), RATE))
    with open(tmp_path / "a.wav", "ab") as file:
        file.write(b"alpha")
    assert [name for name, _ in wav_chunks(tmp_path / "a.wav")] == ["fmt ", "data", "(rest)"]
