import gzip
from collections import Counter

import pytest
from trees import cells, fields, forbid_opening_media, refuse, sizes, touch

from doppelbench.corpora.readers import read_corpus
from doppelbench.corpora.readers.asvspoof import read_asvspoof

TRAIN = "LA_0079 LA_T_1138215 - - bonafide\nLA_0079 LA_T_1271820 - A01 spoof\n"
LA_FOLDER = "LA/ASVspoof2019_LA_cm_protocols"


def la_2019(root):
    lists = {
        ("train", "train.trn"): TRAIN,
        ("dev", "dev.trl"): "LA_0069 LA_D_1047731 - - bonafide\n",
        ("eval", "eval.trl"): "LA_0039 LA_E_2834763 - A11 spoof\nLA_0014 LA_E_8877452 - A14 spoof\n",
    }
    for (part, end), lines in lists.items():
        touch(root / f"{LA_FOLDER}/ASVspoof2019.LA.cm.{end}.txt", lines)
        for line in lines.splitlines():
            touch(root / f"LA/ASVspoof2019_LA_{part}/flac/{line.split()[1]}.flac")
    touch(root / "LA/ASVspoof2019_LA_eval/flac/LA_E_A1234567.flac")
    asv = "LA_0015 LA_D_1 bonafide target\n"
    touch(root / "LA/ASVspoof2019_LA_asv_protocols/ASVspoof2019.LA.asv.dev.gi.trl.txt", asv)
    return root


def test_trials_of_2019_carry_label_and_attack(tmp_path, monkeypatch):
    forbid_opening_media(monkeypatch)
    corpus = read_corpus("asvspoof", la_2019(tmp_path))
    assert sorted(fields(corpus, "id", "speaker", "style", "split")) == [
        ("LA_D_1047731", "LA_0069", "bonafide", "dev"),
        ("LA_E_2834763", "LA_0039", "A11", "test"),
        ("LA_E_8877452", "LA_0014", "A14", "test"),
        ("LA_T_1138215", "LA_0079", "bonafide", "train"),
        ("LA_T_1271820", "LA_0079", "A01", "train"),
    ]
    assert [clip.id for clip in corpus.clips(label="bonafide", split="train")] == ["LA_T_1138215"]
    assert [clip.id for clip in corpus.clips(attack="A11")] == ["LA_E_2834763"]
    assert len(corpus.clips(attack=None)) == 2
    assert "codec" not in corpus.table
    assert str(corpus.locate(corpus.clips(attack="A01")[0].audio)).endswith("train/flac/LA_T_1271820.flac")


def test_one_protocol_can_be_named(tmp_path):
    path = "LA/mine.txt"
    touch(la_2019(tmp_path) / path, TRAIN)
    refuse("asvspoof", tmp_path, r"mine\.txt: the name tells no split; pass split=", protocol=path)
    corpus = read_corpus("asvspoof", tmp_path, protocol=path, split="dev")
    assert sizes(corpus) == {"dev": 2}


def test_environments_of_physical_access_are_a_column(tmp_path):
    touch(
        tmp_path / "ASVspoof2019.PA.cm.train.trn.txt",
        "PA_0079 PA_T_1 aaa - bonafide\nPA_0079 PA_T_2 aab AA spoof\n",
    )
    for name in ("PA_T_1", "PA_T_2"):
        touch(tmp_path / f"flac/{name}.flac")
    corpus = read_corpus("asvspoof", tmp_path)
    assert cells(corpus, "environment") == ["aaa", "aab"]
    assert fields(corpus, "style") == [("bonafide",), ("AA",)]


KEYS = {
    "LA": "LA_0009 LA_E_9332881 alaw ita_tx A07 spoof notrim {}\n",
    "PA": "PA_0010 PA_E_1000001 R1 M3 d4 r2 m1 s4 c4 spoof notrim {}\n",
    "DF": "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim {} traditional_vocoder - - - -\n",
}


def keys_2021(root, kind):
    lines = [KEYS[kind].format("progress"), KEYS[kind].format("eval").replace("1 ", "2 ", 1)]
    touch(root / f"{kind}-keys-full/keys/{kind}/CM/trial_metadata.txt", "".join(lines))
    touch(root / f"{kind}-keys-full/keys/{kind}/ASV/trial_metadata.txt", "another layout\n")
    touch(root / f"ASVspoof2021_{kind}_eval/ASVspoof2021.{kind}.cm.eval.trl.txt", "LA_E_9332881\n")
    for line in lines:
        touch(root / f"ASVspoof2021_{kind}_eval/flac/{line.split()[1]}.flac")
    return root


@pytest.mark.parametrize(
    ("kind", "style", "codec"), [("LA", "A07", "alaw"), ("PA", "spoof", None), ("DF", "A14", "nocodec")]
)
def test_keys_of_2021_are_evaluation_alone(tmp_path, kind, style, codec):
    corpus = read_corpus("asvspoof", keys_2021(tmp_path, kind))
    assert fields(corpus, "split", "style") == [("test", style)]
    assert cells(corpus, "phase") == ["eval"]
    assert ([None] if codec is None else cells(corpus, "codec")) == [codec]
    assert ("codec" in corpus.table) == (codec is not None)
    assert cells(read_corpus("asvspoof", tmp_path, phase="all"), "phase") == ["progress", "eval"]
    refuse("asvspoof", tmp_path, "no phase 'hidden'; there are eval, progress", phase="hidden")


def test_trials_of_asvspoof_5_are_read_from_ten_columns(tmp_path):
    touch(tmp_path / "ASVspoof5.train.tsv", "T_4850 T_0000000000 F - - - AC3 A05 spoof -\n")
    touch(tmp_path / "ASVspoof5.dev.track_1.tsv", "D_0062 D_0000000001 M - - - - bonafide bonafide -\n")
    touch(tmp_path / "ASVspoof5.eval.track_1.tsv", "E_1607 E_0009538969 F C05 3 - AC2 A21 spoof -\n")
    touch(tmp_path / "ASVspoof5.dev.track_2.trial.tsv", "another layout\n")
    for name in ("flac_T/T_0000000000", "flac_D/D_0000000001", "flac_E_eval/E_0009538969"):
        touch(tmp_path / f"{name}.flac")
    corpus = read_corpus("asvspoof", tmp_path)
    assert sorted(fields(corpus, "id", "speaker", "style", "split")) == [
        ("D_0000000001", "D_0062", "bonafide", "dev"),
        ("E_0009538969", "E_1607", "A21", "test"),
        ("T_0000000000", "T_4850", "A05", "train"),
    ]
    assert [clip.id for clip in corpus.clips(codec="C05")] == ["E_0009538969"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TRAIN + "LA_0079 LA_T_3 - bonafide\n", r"train\.trn\.txt:3: 4 columns where the first line has 5"),
        ("LA_T_1138215\n", r"train\.trn\.txt:1: 1 columns are no protocol with labels; .* 5, 8, 10, 12, 13"),
        ("\n" + TRAIN.replace("spoof", "fake"), r"train\.trn\.txt:3: label 'fake' is neither bonafide nor"),
        (TRAIN * 2, r"train\.trn\.txt:3: 'LA_T_1138215' was listed before"),
        (TRAIN + "LA_0079 LA_T_3 - - bonafide\n", r"train\.trn\.txt:3: .*LA_T_3\.flac does not exist"),
        ("", r"train\.trn\.txt: the file is empty"),
    ],
)
def test_broken_protocols_are_named_by_line(tmp_path, content, message):
    touch(la_2019(tmp_path) / f"{LA_FOLDER}/ASVspoof2019.LA.cm.train.trn.txt", content)
    refuse("asvspoof", tmp_path, message)


def test_what_is_wrong_with_asvspoof_is_said(tmp_path):
    refuse("asvspoof", tmp_path / "nowhere", r"nowhere: there is no such folder; expected ASVspoof2019\.LA")
    touch(tmp_path / "flac/x.flac")
    refuse("asvspoof", tmp_path, r"not the expected layout; expected ASVspoof2019\.LA")
    la_2019(tmp_path)
    refuse("asvspoof", tmp_path, "phase is eval, progress, hidden or all", phase="train")
    refuse("asvspoof", tmp_path, "split is one of train, dev, test", split="eval")
    refuse("asvspoof", tmp_path, r"gone\.txt: cannot be read", protocol="gone.txt", split="dev")
    protocol = tmp_path / LA_FOLDER / "ASVspoof2019.LA.cm.train.trn.txt"
    protocol.write_bytes(TRAIN.encode() + b"LA_0079 caf\xe9 - - bonafide\n")
    refuse("asvspoof", tmp_path, r"train\.trn\.txt:3: not UTF-8")
    touch(protocol, TRAIN + "LA_0079 LA_T_3 - - bonafide\n")
    assert len(read_corpus("asvspoof", tmp_path, skip_missing=True)) == 5


@pytest.mark.realdata
def test_the_real_protocol_of_2019_has_its_published_numbers(realdata, tmp_path):
    packed = realdata / "d_scores/asvspoof2019_la/ASVspoof2019.LA.cm.eval.trl.txt.gz"
    content = gzip.decompress(packed.read_bytes()).decode()
    touch(tmp_path / "ASVspoof2019.LA.cm.eval.trl.txt", content)
    rows = [line.split() for line in content.splitlines()[::50]]
    for row in rows:
        touch(tmp_path / f"flac/{row[1]}.flac")
    corpus = read_asvspoof(tmp_path, skip_missing=True)
    assert len(content.splitlines()) == 7355 + 63882
    assert Counter(cells(corpus, "attack")) == Counter(row[3] if row[4] == "spoof" else None for row in rows)
