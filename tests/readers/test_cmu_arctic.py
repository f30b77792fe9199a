import pytest
from trees import fields, forbid_opening_media, refuse, sizes, split_of, touch

from doppelbench.corpora.readers import read_corpus


def arctic(root, count=20):
    for speaker in ("slt", "bdl"):
        folder = root / f"cmu_us_{speaker}_arctic"
        names = [f"arctic_{part}{number:04d}" for part in "ab" for number in range(1, count // 2 + 1)]
        for name in names:
            touch(folder / f"wav/{name}.wav")
        touch(folder / "etc/txt.done.data", "".join(f'( {name} "Text of {name}, etc." )\n' for name in names))
    return root


def test_the_last_sentences_of_arctic_are_held_out_from_everybody(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    corpus = read_corpus("cmu-arctic", arctic(tmp_path))
    assert sizes(corpus) == {"train": 32, "dev": 4, "test": 4}
    splits = split_of(corpus, "prompt")
    assert {name for name, split in splits.items() if split == {"test"}} == {"arctic_b0009", "arctic_b0010"}
    assert {name for name, split in splits.items() if split == {"dev"}} == {"arctic_b0007", "arctic_b0008"}
    assert fields(corpus, "id", "speaker", "text")[0] == (
        "bdl_arctic_a0001",
        "bdl",
        "Text of arctic_a0001, etc.",
    )
    assert len(corpus.parallel("bdl", "slt")) == 20
    assert sizes(read_corpus("cmu-arctic", tmp_path, held_out=1)) == {"train": 36, "dev": 2, "test": 2}


def test_the_whole_of_arctic_holds_out_100_sentences_twice(tmp_path):
    corpus = read_corpus("cmu-arctic", arctic(tmp_path, 1132)).select(speaker="slt")
    assert sizes(corpus) == {"train": 932, "dev": 100, "test": 100}


def test_a_speakers_folder_of_another_release_is_read(tmp_path):
    folder = tmp_path / "cmu_us_rms_arctic-0.95-release"
    touch(folder / "wav/arctic_a0001.wav")
    touch(folder / "etc/txt.done.data", r'( arctic_a0001 "He said \"no\"." )' + "\n")
    corpus = read_corpus("cmu-arctic", folder)
    assert fields(corpus, "speaker", "text", "split") == [("rms", 'He said "no".', "train")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("arctic_a0001 text\n", r"txt\.done\.data:1: expected \( name \"text\" \), got 'arctic_a0001 text'"),
        (
            '( arctic_a0001 "A." )\n( arctic_a0001 "A." )\n',
            r"txt\.done\.data:2: 'slt_arctic_a0001' was listed",
        ),
        ('\n( arctic_a9999 "A." )\n', r"txt\.done\.data:2: .*arctic_a9999\.wav does not exist"),
        ("", r"txt\.done\.data: the file is empty"),
    ],
)
def test_broken_prompts_are_named_by_line(tmp_path, content, message):
    touch(arctic(tmp_path) / "cmu_us_slt_arctic/etc/txt.done.data", content)
    refuse("cmu-arctic", tmp_path, message)


def test_what_is_wrong_with_arctic_is_said(tmp_path):
    refuse("cmu-arctic", tmp_path / "nowhere", r"nowhere: there is no such folder; expected cmu_us_<speaker>")
    touch(tmp_path / "slt/wav/arctic_a0001.wav")
    refuse("cmu-arctic", tmp_path, "not the expected layout; expected cmu_us_<speaker>")
    prompts = arctic(tmp_path) / "cmu_us_slt_arctic/etc/txt.done.data"
    refuse("cmu-arctic", tmp_path, "cannot hold out 11 sentences twice of 20", held_out=11)
    good = prompts.read_bytes()
    prompts.write_bytes(good + b'( arctic_b0011 "caf\xe9" )\n')
    refuse("cmu-arctic", tmp_path, r"txt\.done\.data:21: not UTF-8")
    prompts.write_bytes(good + b'( arctic_b0011 "Not recorded." )\n')
    assert len(read_corpus("cmu-arctic", tmp_path, skip_missing=True)) == 40
    prompts.unlink()
    refuse("cmu-arctic", tmp_path, r"txt\.done\.data: cannot be read")
