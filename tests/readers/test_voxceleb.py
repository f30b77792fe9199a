import pytest
from trees import fields, forbid_opening_media, refuse, sizes, touch

from doppelbench.corpora.readers import read_corpus

CLIPS = ("id10001/1zcIwhmdeo4/00001", "id10001/7gWzIy6yIIk/00001", "id10270/x6uYqmx31kE/00001")


def voxceleb1(root):
    for clip in CLIPS:
        touch(root / f"wav/{clip}.wav")
    touch(root / "wav/notes/about/it.wav")
    return root


def test_the_test_speakers_of_voxceleb1_are_held_out(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    corpus = read_corpus("voxceleb", voxceleb1(tmp_path))
    assert fields(corpus, "id", "speaker", "style", "split", "video") == [
        ("id10001_1zcIwhmdeo4_00001", "id10001", "1zcIwhmdeo4", "train", None),
        ("id10001_7gWzIy6yIIk_00001", "id10001", "7gWzIy6yIIk", "train", None),
        ("id10270_x6uYqmx31kE_00001", "id10270", "x6uYqmx31kE", "test", None),
    ]


def test_sound_and_films_of_voxceleb2_are_one_clip(tmp_path):
    for part, person in (("dev", "id00012"), ("test", "id00017")):
        touch(tmp_path / f"{part}/aac/{person}/21Uxsk56VDQ/00001.m4a")
        touch(tmp_path / f"{part}/mp4/{person}/21Uxsk56VDQ/00001.mp4")
        touch(tmp_path / f"{part}/mp4/{person}/21Uxsk56VDQ/00002.mp4")
    corpus = read_corpus("voxceleb", tmp_path)
    folder = tmp_path / "test"
    assert fields(corpus, "split", "audio", "video")[2:] == [
        (
            "test",
            str(folder / "aac/id00017/21Uxsk56VDQ/00001.m4a"),
            str(folder / "mp4/id00017/21Uxsk56VDQ/00001.mp4"),
        ),
        ("test", *[str(folder / "mp4/id00017/21Uxsk56VDQ/00002.mp4")] * 2),
    ]
    assert sizes(corpus) == {"train": 2, "test": 2}


def test_a_folder_named_test_above_the_root_means_nothing(tmp_path):
    root = voxceleb1(tmp_path / "test" / "vox1_dev_wav")
    assert sizes(read_corpus("voxceleb", root)) == {"train": 2, "test": 1}


def test_identification_follows_the_official_list(tmp_path):
    voxceleb1(tmp_path)
    lines = [f"{number} {clip}.wav" for number, clip in zip((3, 1, 2), CLIPS, strict=True)]
    touch(tmp_path / "iden_split.txt", "\n".join(lines) + "\n")
    corpus = read_corpus("voxceleb", tmp_path, protocol="identification")
    assert fields(corpus, "split") == [("test",), ("train",), ("dev",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"4 {CLIPS[0]}.wav\n", r"iden_split\.txt:1: expected 1, 2 or 3 and a clip"),
        (f"1 {CLIPS[0]}.wav\nid10001\n", r"iden_split\.txt:2: expected 1, 2 or 3"),
        ("1 A.J._Buckley/1zcIwhmdeo4/0000001.wav\n", r"iden_split\.txt:1: expected .* id10001/"),
        (f"1 {CLIPS[0]}.wav\n2 {CLIPS[0]}.wav\n", r"iden_split\.txt:2: 'id10001_1zc.*' was listed before"),
        ("1 id10001/1zcIwhmdeo4/00009.wav\n", r"iden_split\.txt:1: .*00009\.wav does not exist"),
        ("\n", r"iden_split\.txt: the file is empty"),
    ],
)
def test_broken_lists_are_named_by_line(tmp_path, content, message):
    touch(voxceleb1(tmp_path) / "iden_split.txt", content)
    refuse("voxceleb", tmp_path, message, protocol="identification")


def test_what_is_wrong_with_voxceleb_is_said(tmp_path):
    refuse("voxceleb", tmp_path / "nowhere", r"nowhere: there is no such folder; expected id10001/")
    touch(tmp_path / "x.wav")
    refuse("voxceleb", tmp_path, "not the expected layout; expected id10001/")
    voxceleb1(tmp_path)
    refuse("voxceleb", tmp_path, "verification or identification", protocol="both")
    refuse("voxceleb", tmp_path, r"iden_split\.txt: cannot be read", protocol="identification")
    (tmp_path / "iden_split.txt").write_bytes(f"1 {CLIPS[0]}.wav\n".encode() + b"1 caf\xe9\n")
    refuse("voxceleb", tmp_path, r"iden_split\.txt:2: not UTF-8", protocol="identification")
    touch(tmp_path / "iden_split.txt", f"1 {CLIPS[0]}.wav\n1 id10001/gone/00001.wav\n")
    options = {"protocol": "identification", "skip_missing": True}
    assert len(read_corpus("voxceleb", tmp_path, **options)) == 1
    touch(tmp_path / f"copy/{CLIPS[0]}.wav")
    refuse("voxceleb", tmp_path, r"the clip is also in .*; read one copy at a time")
