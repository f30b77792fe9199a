import csv
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from doppelbench.corpora.corpus import Corpus
from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, Video, read_audio, write_audio, write_video
from doppelbench.corpora.readers import READERS, read_corpus
from doppelbench.corpora.readers.folder import cut_at_pauses
from doppelbench.corpora.readers.grid import read_align, sentence_of_name
from doppelbench.corpora.readers.splits import by_key, by_order

RATE = 8000


def touch(path: Path, content: str = "sound") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")
    return path


def speech_like(*bursts: float, pause: float = 0.3) -> np.ndarray:
    """Noise bursts of the given seconds, with silent pauses between them."""
    generator = np.random.default_rng(0)
    parts = [np.zeros(0)]
    for burst in bursts:
        parts += [generator.uniform(-0.5, 0.5, round(burst * RATE)), np.zeros(round(pause * RATE))]
    return np.concatenate(parts[:-1]).astype(np.float32)


def fields(corpus: Corpus, *names: str) -> list[tuple]:
    return [tuple(getattr(clip, name) for name in names) for clip in corpus.clips()]


def sizes(corpus: Corpus) -> dict[str, int]:
    return corpus.table["split"].value_counts().to_dict()


def vctk_080(root: Path, speakers: int = 3, sentences: int = 20) -> Path:
    for speaker in range(225, 225 + speakers):
        for number in range(1, sentences + 1):
            name = f"p{speaker}/p{speaker}_{number:03d}"
            touch(root / f"wav48/{name}.wav")
            touch(root / f"txt/{name}.txt", f"Sentence number {number}.\n")
    return root


def test_every_listed_reader_loads_and_says_what_it_expects():
    for name, spec in READERS.items():
        assert spec.name == name
        assert callable(spec.load())
        assert all((spec.title, spec.layout, spec.split, spec.source))


def test_listing_the_readers_loads_no_heavy_package():
    code = (
        "import sys, doppelbench.corpora.readers as r; list(r.READERS);"
        "sys.exit(bool({'pandas', 'torch', 'av', 'soundfile'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["vctk", "librispeech", "ljspeech", "grid", "folder", "kaldi"])
def test_a_missing_root_and_another_layout_say_what_was_expected(tmp_path, name):
    with pytest.raises(InputError, match=r"nowhere: .*expected .*(wav|flac|mpg)"):
        read_corpus(f"{name}:{tmp_path}/nowhere")
    touch(tmp_path / "readme.md")
    with pytest.raises(InputError, match=r"expected .*(wav|flac|mpg)"):
        read_corpus(name, tmp_path)


def test_corpora_are_named_in_several_ways(tmp_path):
    vctk_080(tmp_path)
    expected = read_corpus("vctk", tmp_path, seed=3).corpus_hash
    assert read_corpus({"reader": "vctk", "root": str(tmp_path), "seed": 3}).corpus_hash == expected
    assert read_corpus({"reader": "vctk", "root": "/nowhere"}, tmp_path, seed=3).corpus_hash == expected
    corpus = read_corpus(f"vctk:{tmp_path}", seed=3)
    corpus.save(tmp_path / "m.parquet")
    assert read_corpus(str(tmp_path / "m.parquet")).clips() == corpus.with_hashes().clips()


def test_wrong_names_are_answered_with_the_right_ones(tmp_path):
    with pytest.raises(InputError, match=r"no reader 'vtck'; there are vctk, librispeech"):
        read_corpus("vtck", tmp_path)
    with pytest.raises(InputError, match="unknown option seeed; there are mic, seed"):
        read_corpus("vctk", tmp_path, seeed=1)
    with pytest.raises(InputError, match="where the data set lies"):
        read_corpus("vctk")
    with pytest.raises(InputError, match="key 'reader'"):
        read_corpus({"root": str(tmp_path)})


def test_no_sentence_of_vctk_is_in_two_splits(tmp_path):
    corpus = read_corpus("vctk", vctk_080(tmp_path))
    split_of_text: dict[str | None, set[str]] = {}
    for clip in corpus.clips():
        split_of_text.setdefault(clip.text, set()).add(clip.split)
    assert all(len(splits) == 1 for splits in split_of_text.values())
    assert sizes(corpus) == {"train": 48, "dev": 6, "test": 6}
    assert all(
        corpus.select(split=split).speakers == ["p225", "p226", "p227"] for split in ("train", "dev", "test")
    )
    assert fields(corpus, "id", "speaker", "text")[0] == ("p225_001", "p225", "Sentence number 1.")
    assert len(corpus.parallel()) == 60


def test_the_split_of_vctk_follows_the_seed(tmp_path):
    vctk_080(tmp_path)
    assert fields(read_corpus("vctk", tmp_path), "split") == fields(read_corpus("vctk", tmp_path), "split")
    assert fields(read_corpus("vctk", tmp_path), "split") != fields(
        read_corpus("vctk", tmp_path, seed=1), "split"
    )


def test_vctk_092_is_read_with_one_microphone(tmp_path):
    for mic in ("mic1", "mic2"):
        touch(tmp_path / f"wav48_silence_trimmed/p225/p225_001_{mic}.flac")
        touch(tmp_path / f"wav48_silence_trimmed/s5/s5_001_{mic}.flac")
    touch(tmp_path / "wav48_silence_trimmed/log.txt")
    touch(tmp_path / "txt/p225/p225_001.txt", "Please call Stella.")
    corpus = read_corpus("vctk", tmp_path)
    assert fields(corpus, "id", "text") == [("p225_001", "Please call Stella."), ("s5_001", None)]
    assert all(clip.audio and clip.audio.endswith("mic1.flac") for clip in corpus.clips())
    second = read_corpus("vctk", tmp_path, mic="mic2").clips()
    assert all(clip.audio and clip.audio.endswith("mic2.flac") for clip in second)


def test_vctk_without_texts_is_split_by_number(tmp_path):
    for speaker in ("p225", "p226"):
        for number in range(10):
            touch(tmp_path / f"{speaker}/{speaker}_{number:03d}.wav")
    table = read_corpus("vctk", tmp_path).table
    assert (table.groupby(table["id"].str[-3:])["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "dev", "test"}


def test_a_script_that_is_not_utf_8_is_named(tmp_path):
    vctk_080(tmp_path)
    (tmp_path / "txt/p225/p225_002.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match=r"p225_002\.txt: not UTF-8"):
        read_corpus("vctk", tmp_path)


def librispeech(root: Path) -> Path:
    for subset, speaker in (("train-clean-100", 19), ("dev-other", 84), ("test-clean", 61)):
        folder = root / f"LibriSpeech/{subset}/{speaker}/198"
        for number in range(2):
            touch(folder / f"{speaker}-198-{number:04d}.flac")
        lines = [f"{speaker}-198-{number:04d} WORDS OF {speaker}" for number in range(2)]
        touch(folder / f"{speaker}-198.trans.txt", "\n".join(lines) + "\n")
    return root


def test_librispeech_follows_its_subsets(tmp_path):
    corpus = read_corpus("librispeech", librispeech(tmp_path))
    assert fields(corpus, "id", "speaker", "style", "split", "text")[::2] == [
        ("84-198-0000", "84", "198", "dev", "WORDS OF 84"),
        ("61-198-0000", "61", "198", "test", "WORDS OF 61"),
        ("19-198-0000", "19", "198", "train", "WORDS OF 19"),
    ]


def test_librispeech_in_speakers_folders_needs_a_subset(tmp_path):
    touch(tmp_path / "mine/61/61-70968-0000.flac")
    with pytest.raises(InputError, match="split="):
        read_corpus("librispeech", tmp_path / "mine")
    assert fields(read_corpus("librispeech", tmp_path / "mine", split="dev"), "split", "text") == [
        ("dev", None)
    ]
    (tmp_path / "mine").rename(tmp_path / "libri_test_other")
    assert fields(read_corpus("librispeech", tmp_path / "libri_test_other"), "split") == [("test",)]


def test_broken_transcripts_of_librispeech_are_named_by_line(tmp_path):
    script = librispeech(tmp_path) / "LibriSpeech/test-clean/61/198/61-198.trans.txt"
    script.write_text("61-198-0000 FINE\n\n61-198-0001\n")
    with pytest.raises(InputError, match=r"61-198\.trans\.txt:3: expected 2 fields"):
        read_corpus("librispeech", tmp_path)
    script.write_text("61-198-0000 FINE\n61-198-0000 AGAIN\n")
    with pytest.raises(InputError, match=r"trans\.txt:2: '61-198-0000' was listed before"):
        read_corpus("librispeech", tmp_path)
    script.write_text("".join(f"61-198-{number:04d} WORDS\n" for number in range(9)))
    with pytest.raises(InputError, match=r"7 media file\(s\) do not exist.*0002.*0006\.flac \.\.\.$"):
        read_corpus("librispeech", tmp_path)


def ljspeech(root: Path, count: int = 40) -> Path:
    names = [f"LJ001-{number:04d}" for number in range(1, count + 1)]
    for name in names:
        touch(root / f"wavs/{name}.wav")
    touch(root / "metadata.csv", "".join(f'{name}|Dr. "{name}|Doctor {name}\n' for name in names))
    return root


def test_ljspeech_ends_with_dev_and_test(tmp_path):
    corpus = read_corpus("ljspeech", ljspeech(tmp_path))
    assert [split for (split,) in fields(corpus, "split")] == ["train"] * 32 + ["dev"] * 4 + ["test"] * 4
    assert fields(corpus, "id", "speaker", "text")[0] == ("LJ001-0001", "LJ", "Doctor LJ001-0001")
    raw = read_corpus("ljspeech", tmp_path, normalized=False, held_out=1)
    assert raw.clips()[0].text == 'Dr. "LJ001-0001'
    assert sizes(raw) == {"train": 38, "dev": 1, "test": 1}
    with pytest.raises(InputError, match="cannot hold out 21"):
        read_corpus("ljspeech", tmp_path, held_out=21)


def test_the_full_ljspeech_holds_out_250_clips_twice(tmp_path):
    corpus = read_corpus("ljspeech", ljspeech(tmp_path, 3000))
    assert sizes(corpus) == {"train": 2500, "dev": 250, "test": 250}


def test_broken_metadata_of_ljspeech_is_named_by_line(tmp_path):
    metadata = ljspeech(tmp_path) / "metadata.csv"
    good = metadata.read_text()
    metadata.write_text(good + "LJ001-0041|only\n")
    with pytest.raises(InputError, match=r"metadata\.csv:41: expected id\|text\|normalised text, got 2"):
        read_corpus("ljspeech", tmp_path)
    metadata.write_text(good + "LJ009-0001|a|b\n")
    with pytest.raises(InputError, match=r"metadata\.csv: 1 media file.*LJ009-0001\.wav"):
        read_corpus("ljspeech", tmp_path)
    metadata.write_text(good + "LJ001-0001|a|b\n")
    with pytest.raises(InputError, match=r"LJ001-0001.*unique"):
        read_corpus("ljspeech", tmp_path)
    metadata.write_text("\n")
    with pytest.raises(InputError, match="empty"):
        read_corpus("ljspeech", tmp_path)


ALIGN = "0 23750 sil\n23750 29500 bin\n29500 34000 blue\n34000 35500 at\n35500 41000 f\n41000 47250 two\n"


def test_grid_takes_text_and_times_from_the_align_file(tmp_path):
    touch(tmp_path / "s1/bbaf2n.mpg")
    align = touch(tmp_path / "align/s1/bbaf2n.align", ALIGN + "47250 53000 now\n53000 74500 sil\n")
    touch(tmp_path / "s1/sgwp8a.mpg")
    touch(tmp_path / "s2/video/bbaf2n.mp4")
    corpus = read_corpus("grid", tmp_path)
    assert fields(corpus, "id", "speaker", "text", "split") == [
        ("s1_bbaf2n", "s1", "bin blue at f two now", "train"),
        ("s1_sgwp8a", "s1", "set green with p eight again", "train"),
        ("s2_bbaf2n", "s2", "bin blue at f two now", "test"),
    ]
    assert all(clip.audio == clip.video for clip in corpus.clips())
    assert corpus.locate(corpus.table["alignment"][0]) == align
    words = read_align(align)
    assert (words[0].text, words[0].start, words[0].end) == ("bin", 0.95, 1.18)
    assert len(words) == 6


def test_unseen_talkers_of_grid_are_disjoint_and_complete(tmp_path):
    for number in range(1, 35):
        touch(tmp_path / f"s{number}/bbaf2n.mpg")
    corpus = read_corpus("grid", tmp_path).select(speaker=[f"s{n}" for n in range(1, 35) if n != 21])
    assert sizes(corpus) == {"train": 16, "dev": 7, "test": 10}


def test_seen_talkers_of_grid_are_in_every_split(tmp_path):
    for talker in ("s1", "s2"):
        for letter in "abcdefghij":
            for digit in "1234":
                touch(tmp_path / f"{talker}/bba{letter}{digit}n.mpg")
    corpus = read_corpus("grid", tmp_path, protocol="seen")
    for talker in ("s1", "s2"):
        counts = corpus.select(speaker=talker).table["split"].value_counts()
        assert counts.to_dict() == {"train": 36, "dev": 2, "test": 2}
    assert fields(corpus, "split") != fields(read_corpus("grid", tmp_path, protocol="seen", seed=1), "split")
    with pytest.raises(InputError, match="unseen or seen"):
        read_corpus("grid", tmp_path, protocol="random")


@pytest.mark.parametrize("name", ["bbaf2", "xbaf2n", "bbaw2n", "bbaf2nn", "hello1"])
def test_a_name_outside_the_grammar_of_grid_is_refused(name):
    with pytest.raises(InputError, match=name):
        sentence_of_name(Path(f"s1/{name}.mpg"))


def test_broken_align_files_are_named_by_line(tmp_path):
    touch(tmp_path / "s1/bbaf2n.mpg")
    touch(tmp_path / "s1/bbaf2n.align", ALIGN + "47250 now\n")
    with pytest.raises(InputError, match=r"bbaf2n\.align:7: expected start, end and word"):
        read_corpus("grid", tmp_path)


def test_a_folder_for_each_speaker(tmp_path):
    for speaker in ("ann", "bob"):
        for number in range(10):
            write_audio(tmp_path / f"{speaker}/take {number}.wav", Audio(speech_like(0.5), RATE))
    touch(tmp_path / "ann/take 3.txt", "Three takes.\n")
    corpus = read_corpus("folder", tmp_path, name="friends")
    assert corpus.name == "friends"
    assert corpus.speakers == ["ann", "bob"]
    assert fields(corpus, "id", "text")[3] == ("ann_take 3", "Three takes.")
    assert corpus.select(speaker="bob").summary()["clips"].to_dict() == {
        "train": 8,
        "dev": 1,
        "test": 1,
        "all": 10,
    }
    assert read_corpus("folder", tmp_path, fractions=(1, 0, 0)).table["split"].unique().tolist() == ["train"]
    write_audio(tmp_path / "stray.wav", Audio(speech_like(0.5), RATE))
    with pytest.raises(InputError, match=r"stray\.wav: lies beside"):
        read_corpus("folder", tmp_path)


def test_a_long_recording_is_cut_at_its_pauses(tmp_path):
    samples = speech_like(2.2, 1.7, 2.5, 1.4, 2.0)
    path = tmp_path / "speech.flac"
    write_audio(path, Audio(samples, RATE))
    clips = read_corpus("folder", path, max_seconds=3).clips()
    assert [clip.id for clip in clips] == [f"speech_{number:04d}" for number in range(len(clips))]
    assert {clip.speaker for clip in clips} == {"speech"}
    assert clips[0].start == 0
    assert clips[-1].end == pytest.approx(samples.size / RATE)
    for before, after in pairwise(clips):
        assert before.end == after.start
        middle = round(after.start * RATE)
        assert np.abs(samples[middle - 160 : middle + 160]).max() == 0
    pieces = [read_audio(path, start=clip.start, end=clip.end).samples for clip in clips]
    np.testing.assert_array_equal(np.concatenate(pieces), read_audio(path).samples)


@pytest.mark.parametrize("seconds", [3.001, 4.0, 5.9, 6.01, 10.0, 29.99])
def test_pieces_are_never_too_long_nor_crumbs(seconds):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * RATE))
    pieces = cut_at_pauses(samples, RATE, 3.0)
    lengths = np.array([end - start for start, end in pieces])
    assert lengths.max() <= 3.0 + 1e-9
    assert lengths.min() >= 0.7
    assert lengths.sum() == pytest.approx(samples.size / RATE)


def test_a_folder_of_recordings_is_one_speaker_with_sound_or_pictures(tmp_path):
    write_audio(tmp_path / "ann/one.wav", Audio(speech_like(2.5, 2.5), RATE))
    frames = np.zeros((50, 16, 16, 3), np.uint8)
    write_video(tmp_path / "ann/two.mkv", Video(frames, 25.0, Audio(speech_like(1.8), RATE)))
    corpus = read_corpus("folder", tmp_path / "ann", max_seconds=4)
    assert corpus.speakers == ["ann"]
    assert [clip.id for clip in corpus.clips()] == ["ann_one_0000", "ann_one_0001", "ann_two"]
    assert corpus.clips()[2].video == str(tmp_path / "ann/two.mkv")
    assert read_corpus("folder", tmp_path / "ann", speaker="Ann").speakers == ["Ann"]
    assert len(read_corpus("folder", tmp_path / "ann", max_seconds=None)) == 2


def write_csv(path: Path, *rows: list[str], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def test_a_csv_manifest_names_the_fields_of_clips(tmp_path):
    touch(tmp_path / "wav/x.wav")
    path = write_csv(
        tmp_path / "list.csv",
        ["id", "speaker", "audio", "text", "split", "start", "end", "mood"],
        ["a", "ann", "wav/x.wav", 'She said "no", twice', "test", "0.5", "1.5", "glad"],
        ["b", "ann", "wav/x.wav", "", "dev", "", "", ""],
    )
    corpus = read_corpus(str(path))
    assert corpus.name == "list"
    assert fields(corpus, "id", "text", "split", "start", "end") == [
        ("a", 'She said "no", twice', "test", 0.5, 1.5),
        ("b", None, "dev", None, None),
    ]
    assert corpus.clips()[0].audio == str(tmp_path / "wav/x.wav")
    assert [clip.id for clip in corpus.clips(mood="glad")] == ["a"]
    assert fields(read_corpus("csv", path, where={"start": 0.5}), "id") == [("a",)]
    assert fields(read_corpus("csv", path, where={"mood": None}), "id") == [("b",)]


def test_columns_of_a_csv_can_be_named_and_rows_chosen(tmp_path):
    rows = [[f"{kind}/{name}.wav", kind, f"Text {name}"] for kind in ("real", "fake") for name in "xyz"]
    for row in rows:
        touch(tmp_path / row[0])
    path = write_csv(tmp_path / "list.tsv", ["file", "kind", "transcript"], *rows, delimiter="\t")
    options = {"columns": {"audio": "file", "text": "transcript"}, "speaker": "ann"}
    assert len(read_corpus("csv", path, **options)) == 6
    chosen = read_corpus("csv", path, where={"kind": "real"}, split="test", **options)
    assert fields(chosen, "id", "speaker", "text", "split")[0] == ("x", "ann", "Text x", "test")
    assert len(read_corpus("csv", path, where={"kind": ["real", "fake"]}, **options)) == 6
    assert fields(read_corpus("csv", path, **options), "id")[0] == ("real_x",)
    assert fields(read_corpus("csv", path, prefix="fake/", **options), "id") == [("x",), ("y",), ("z",)]
    by_sentence = read_corpus("csv", path, split="sentence", fractions=(0.34, 0.33, 0.33), **options)
    assert by_sentence.table.groupby("text")["split"].nunique().tolist() == [1, 1, 1]
    with pytest.raises(InputError, match="no row is left"):
        read_corpus("csv", path, prefix="nothing/", **options)
    with pytest.raises(InputError, match="no column 'group'; there are file, kind, transcript"):
        read_corpus("csv", path, where={"group": "x"}, **options)
    with pytest.raises(InputError, match="sound is no field of a clip"):
        read_corpus("csv", path, columns={"sound": "file"})


def test_a_broken_csv_is_named_by_line(tmp_path):
    touch(tmp_path / "x.wav")
    path = tmp_path / "list.csv"
    for content, message in (
        ("", "the file is empty"),
        ("id,speaker,audio\n", "there are no rows"),
        ("id,speaker,audio\na,ann,x.wav\n\nb,ann\n", r"list\.csv:4: expected 3 fields, got 2"),
        ('id,speaker,audio\na,ann,"x.wav\n', r"list\.csv:2: "),
        ("id,id,audio\na,ann,x.wav\n", "named twice"),
        ("id,speaker,audio\na,ann,x.wav\na,ann,x.wav\n", "row 2 .*unique"),
        (
            "id,speaker,audio\na,ann,x.wav\nb,ann,y.wav\nc,ann,z.wav\n",
            r"2 media file\(s\) do not exist.*y\.wav",
        ),
        ("id,speaker,text\na,ann,hello\n", "neither audio nor video"),
        ("speaker,text\nann,hello\n", "no column for audio or video"),
        ("id,speaker,audio,split\na,ann,x.wav,valid\n", "row 1 .*split"),
        ("id,speaker,audio,start\na,ann,x.wav,now\n", "start is 'now'"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=message):
            read_corpus("csv", path)
    path.write_bytes(b"id,speaker,audio\na,Ren\xe9,x.wav\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read_corpus("csv", path)
    with pytest.raises(InputError, match="no such file"):
        read_corpus("csv", tmp_path / "gone.csv")


def kaldi(root: Path) -> Path:
    touch(root / "a.wav")
    touch(root / "b.flac")
    touch(root / "wav.scp", f"rec-a a.wav\nrec-b {root / 'b.flac'}\n")
    touch(root / "utt2spk", "rec-a ann\nrec-b bob\n")
    touch(root / "text", "rec-a hello there\nrec-b\n")
    return root


def test_a_kaldi_directory_is_one_split(tmp_path):
    corpus = read_corpus("kaldi", kaldi(tmp_path / "test_clean"))
    assert corpus.name == "test_clean"
    assert fields(corpus, "id", "speaker", "text", "split") == [
        ("rec-a", "ann", "hello there", "test"),
        ("rec-b", "bob", "", "test"),
    ]
    assert corpus.clips()[1].audio == str(tmp_path / "test_clean/b.flac")
    assert fields(read_corpus("kaldi", tmp_path / "test_clean", split="dev"), "split") == [("dev",)] * 2


def test_segments_cut_recordings(tmp_path):
    kaldi(tmp_path)
    touch(tmp_path / "segments", "u1 rec-a 0.5 1.25\nu2 rec-a 1.25 -1\n")
    touch(tmp_path / "utt2spk", "u1 ann\nu2 bob\n")
    assert fields(read_corpus("kaldi", tmp_path), "id", "speaker", "start", "end") == [
        ("u1", "ann", 0.5, 1.25),
        ("u2", "bob", 1.25, None),
    ]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("wav.scp", "rec-a touch {root}/executed |\n", "command, which is never executed"),
        ("wav.scp", "rec-a | touch {root}/executed\n", "command, which is never executed"),
        ("wav.scp", "rec-a feats.ark:1234\n", "Kaldi archive"),
        ("wav.scp", "rec-a\n", r"wav\.scp:1: expected 2 fields"),
        ("wav.scp", "rec-a a.wav\nrec-a a.wav\n", r"wav\.scp:2: 'rec-a' was listed before"),
        ("wav.scp", "rec-a gone.wav\nrec-b a.wav\n", r"1 media file\(s\) do not exist"),
        ("wav.scp", "\n", "empty"),
        ("utt2spk", "rec-a ann\n", "'rec-b' has no speaker"),
        ("segments", "u1 rec-c 0 1\n", "'rec-c', which wav.scp does not list"),
        ("segments", "u1 rec-a zero 1\n", "not numbers of seconds"),
        ("segments", "u1 rec-a 0\n", r"segments:1: expected 4 fields"),
    ],
)
def test_broken_kaldi_lists_are_named(tmp_path, file, content, message):
    kaldi(tmp_path)
    touch(tmp_path / file, content.format(root=tmp_path))
    with pytest.raises(InputError, match=message):
        read_corpus("kaldi", tmp_path)
    assert not (tmp_path / "executed").exists()


def test_splits_keep_keys_together_and_to_the_fractions():
    keys = [f"{number % 50}" for number in range(200)]
    splits = by_key(keys, seed=0)
    assert all(splits[index] == splits[index + 50] for index in range(150))
    assert [splits.count(name) for name in ("train", "dev", "test")] == [160, 20, 20]
    assert by_key(keys[::-1], seed=0) == splits[::-1]


@pytest.mark.parametrize("count", [0, 1, 3, 10, 17])
def test_splits_by_order_never_go_back(count):
    splits = by_order(count)
    assert len(splits) == count
    assert splits == sorted(splits, key=("train", "dev", "test").index)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.5, 0.6, 0.1), (1.2, -0.1, -0.1)])
def test_fractions_that_do_not_add_up_are_refused(fractions):
    with pytest.raises(InputError, match="add up to 1"):
        by_order(10, fractions)


@pytest.mark.realdata
def test_real_vctk(realdata):
    corpus = read_corpus("vctk", realdata / "a_parallel/vctk")
    assert (len(corpus), corpus.speakers) == (40, ["p225", "p226", "p227", "p228"])
    assert corpus.summary().loc["all", "seconds"] == pytest.approx(285.71, abs=0.1)


@pytest.mark.realdata
def test_real_manifest_gives_vctk_its_texts(realdata):
    options = {"columns": {"audio": "file", "text": "transcript"}, "prefix": "a_parallel/vctk/"}
    corpus = read_corpus("csv", realdata / "MANIFEST.csv", split="sentence", **options)
    assert len(corpus) == 40
    pairs = corpus.parallel("p225", "p226")
    assert len(pairs) == 9
    assert all(first.id[-3:] == second.id[-3:] for first, second in pairs)
    assert corpus.with_hashes().table["sha256"].tolist() == corpus.table["sha256"].tolist()
    grouped = read_corpus(
        "csv", realdata / "MANIFEST.csv", columns=options["columns"], where={"group": "b_long"}
    )
    assert grouped.speakers == ["George W. Bush", "LJ (Linda Johnson)"]


@pytest.mark.realdata
def test_real_arctic_is_one_speaker(realdata):
    corpus = read_corpus("folder", realdata / "a_parallel/cmu_arctic_slt", speaker="slt")
    assert fields(corpus, "id", "speaker") == [("slt_arctic_a0009", "slt")]


@pytest.mark.realdata
def test_real_librispeech(realdata):
    corpus = read_corpus("librispeech", realdata / "b_multispeaker/librispeech_test_other")
    assert (len(corpus), len(corpus.speakers)) == (100, 10)
    assert set(corpus.table["split"]) == {"test"}


@pytest.mark.realdata
def test_real_ljspeech_without_metadata_is_a_folder_of_one_speaker(realdata):
    with pytest.raises(InputError, match=r"metadata\.csv"):
        read_corpus("ljspeech", realdata / "b_long/ljspeech")
    corpus = read_corpus("folder", realdata / "b_long/ljspeech", speaker="LJ")
    assert (len(corpus.select(style=None)), corpus.speakers) == (32, ["LJ"])


@pytest.mark.realdata
def test_a_real_address_is_cut_where_it_is_quiet(realdata):
    path = realdata / "b_long/columbia_address_16k.flac"
    clips = read_corpus("folder", path).clips()
    audio = read_audio(path)
    power = np.square(audio.samples)
    quiet = [power[round(clip.start * audio.rate) :][:1600].mean() for clip in clips[1:]]
    assert np.median(quiet) < power.mean() / 10
    assert max(clip.end - clip.start for clip in clips) <= 10


@pytest.mark.realdata
def test_real_grid(realdata):
    corpus = read_corpus("grid", realdata / "c_talking_head/grid")
    assert (len(corpus), corpus.speakers) == (120, ["s1"])
    assert corpus.table["alignment"].notna().all()
    assert all(clip.text == sentence_of_name(Path(str(clip.video))) for clip in corpus.clips())
