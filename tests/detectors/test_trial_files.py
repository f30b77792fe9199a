"""Protocols and score files that people bring are read in every layout, matched, and refused with reasons."""

import gzip

import numpy as np
import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.detectors.trial_files import (
    match,
    read_asv_scores,
    read_protocol,
    read_scores,
    read_trials,
    write_scores,
)
from doppelbench.detectors.trial_lines import read_text
from doppelbench.detectors.trials import Trials, is_bonafide

PROTOCOLS = {
    "ASVspoof 2019": (
        "LA_0039 LA_E_1 - A11 spoof\nLA_0014 LA_E_2 - - bonafide\n",
        ["LA_E_1", "LA_E_2"],
        {"speaker": ["LA_0039", "LA_0014"], "attack": ["A11", ""]},
    ),
    "ASVspoof 2021 LA": (
        "LA_0009 LA_E_1 alaw ita_tx A07 spoof notrim eval\n"
        "LA_0020 LA_E_2 none loc_tx bonafide bonafide trim hidden\n",
        ["LA_E_1", "LA_E_2"],
        {"speaker": ["LA_0009", "LA_0020"], "attack": ["A07", ""], "codec": ["alaw", "none"]},
    ),
    "ASVspoof 2021 DF": (
        "LA_0023 DF_E_1 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
        "TEF2 DF_E_2 low_m4a vcc2020 bonafide bonafide notrim eval bonafide - - - -\n",
        ["DF_E_1", "DF_E_2"],
        {"speaker": ["LA_0023", "TEF2"], "attack": ["A14", ""], "codec": ["nocodec", "low_m4a"]},
    ),
    "ASVspoof 2021 PA": (
        "PA_0001 PA_E_1 R1 M1 d1 r1 s1 c1 - spoof notrim eval\n"
        "PA_0002 PA_E_2 R1 M1 d1 r1 s1 c1 - bonafide notrim eval\n",
        ["PA_E_1", "PA_E_2"],
        {"speaker": ["PA_0001", "PA_0002"]},
    ),
    "ASVspoof 5": (
        "E_1607 E_1 F C05 3 - AC3 A26 spoof -\nE_0094 E_2 M - - - - bonafide bonafide -\n",
        ["E_1", "E_2"],
        {"speaker": ["E_1607", "E_0094"], "attack": ["A26", ""], "codec": ["C05", "-"]},
    ),
    "two columns": ("one.wav fake\ntwo.wav genuine\n", ["one.wav", "two.wav"], {}),
}


@pytest.fixture
def write(tmp_path):
    def to(text, name="file.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to


@pytest.mark.parametrize("layout", PROTOCOLS)
def test_protocols_of_the_challenges_are_recognised_by_their_columns(write, layout):
    text, ids, groups = PROTOCOLS[layout]
    found = read_protocol(write(text))
    assert found.layout == layout
    assert list(found.ids) == ids
    assert found.bonafide.tolist() == [False, True]
    assert found.groups == groups
    assert found.scores is None


@pytest.mark.parametrize(
    "text",
    [
        "file,speaker,label\n0.wav,Alec Guinness,spoof\n1.wav,Alec Guinness,bona-fide\n",
        "file,speaker,attack\na00/x/0.wav,x,a07\na00/x/1.wav,x,a00\n",
        "file_name,label\n/data/0.wav,spoof\n/data/1.wav,bonafide\n",
        "filename\tcm-label\nE_1\tspoof\nE_2\tbonafide\n",
        "path|speaker|label\nx.wav|ann|fake\ny.wav|ann|real\n",
        'id,label,extra\n"a, b",Fake,1\nc,Real,2\n',
    ],
)
def test_tables_with_a_header_are_protocols(write, text):
    assert read_protocol(write(text)).bonafide.tolist() == [False, True]


def test_speaker_names_with_spaces_and_real_speech_of_spoofceleb_are_kept(write):
    named = read_protocol(write("file,speaker,label\n0.wav,Alec Guinness,spoof\n"))
    assert named.groups["speaker"] == ["Alec Guinness"]
    celeb = read_protocol(write("file,speaker,attack\na/0.wav,x,a07\na/1.wav,x,a00\n"))
    assert celeb.groups["attack"] == ["a07", ""]
    assert "a00 is real" in celeb.notes[0]


def test_a_generic_table_holds_protocol_and_scores(write):
    path = write(
        "id,label,score,attack,speaker,codec\nu1,bonafide,1.5,-,ann,mp3\nu2,spoof,-2e-1,A1,ben,none\n",
        "t.csv",
    )
    found = read_trials(path)
    assert found.scores.tolist() == [1.5, -0.2]
    assert found.groups == {"attack": ["", "A1"], "speaker": ["ann", "ben"], "codec": ["mp3", "none"]}
    assert read_trials(path, higher_is_bonafide=False).scores.tolist() == [-1.5, 0.2]


@pytest.mark.parametrize(
    ("text", "layout"),
    [
        ("u1 0.5\nu2 -1\n", "id score"),
        ("  u1   0.5\n\n  u2 -1e0\n", "id score"),
        ("u1\t0.5\nu2\t-1\n", "id score"),
        ("u1 - bonafide 0.5\nu2 A07 spoof -1\n", "id attack label score"),
        ("filename\tcm-score\nu1\t0.5\nu2\t-1\n", "table"),
        ("spk\tfilename\tcm-score\tasv-score\tsasv-score\ns\tu1\t0.5\t-\t-\ns\tu2\t-1\t-\t-\n", "table"),
        ("id,score\nu1,0.5\nu2,-1\n", "table"),
        ("Output, u1, 1, 0.5\nOutput, u2, -1, -1\n", "log lines"),
    ],
)
def test_score_files_are_recognised_by_their_content(write, text, layout):
    found = read_scores(write(text))
    assert found.layout == layout
    assert list(found.ids) == ["u1", "u2"]
    assert found.scores.tolist() == [0.5, -1.0]


def test_ids_with_spaces_are_peeled_from_the_right(write):
    found = read_scores(write("my clip one.wav - spoof -3.5\nother - bonafide 2\n"))
    assert list(found.ids) == ["my clip one.wav", "other"]
    assert found.bonafide.tolist() == [False, True]


def test_the_declared_direction_negates_on_reading(write):
    assert read_scores(write("u1 0.5\n"), higher_is_bonafide=False).scores.tolist() == [-0.5]


def test_two_columns_of_numbers_need_the_column_to_be_named(write):
    path = write("u1 -0.1 -2.0\nu2 -3.0 -0.5\n")
    with pytest.raises(InputError, match="nothing says which is the score"):
        read_scores(path)
    assert read_scores(path, score_column=3).scores.tolist() == [-2.0, -0.5]
    with pytest.raises(InputError, match="score_column 4 is not one of columns 2 to 3"):
        read_scores(path, score_column=4)


def test_a_bare_column_follows_the_order_of_the_protocol(write):
    protocol = read_protocol(write("a spoof\nb bonafide\n", "p.txt"))
    found = match(protocol, read_scores(write("-1\n2.5\n")))
    assert found.scores.tolist() == [-1.0, 2.5]
    assert "order of the protocol" in found.notes[-1]
    with pytest.raises(InputError, match="one score for each of 2 trials, not 3"):
        match(protocol, read_scores(write("-1\n2.5\n3\n")))


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(write, end, mark):
    text = mark + end.join(["s u1 - - bonafide", "", "s u2 - A1 spoof", ""]).encode()
    assert list(read_protocol(write(text)).ids) == ["u1", "u2"]
    table = mark + end.join(["id,score", "u1,1", "u2,2", ""]).encode()
    assert read_scores(write(table)).scores.tolist() == [1.0, 2.0]


def test_line_ends_may_be_mixed_and_files_compressed(tmp_path):
    path = tmp_path / "scores.txt.gz"
    path.write_bytes(gzip.compress(b"u1 1\r\nu2 2\nu3 3\ru4 4"))
    assert read_scores(path).scores.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \r\n", "the file is empty"),
        (b"\xff\xfeu\x001\x00", "UTF-16"),
        (b"u1 1\r\nu2 2\nu\xe9 3\n", r"file.txt:3: byte 0xe9 is not UTF-8"),
        (b"u1 1\nu\x002 2\n", r"file.txt:2: the line holds a null byte"),
        (b"u1 1\nu2\n", r"file.txt:2: 1 columns where the first line has 2"),
        (b"u1 1\nu2 3 4\n", r"file.txt:2: 3 columns where the first line has 2"),
        (b"u1 1\n\nu2 high\n", r"file.txt:3: score 'high' is not a number"),
        (b"u1 1\nu2 1_0\n", r"file.txt:2: score '1_0' is not a number"),
        (b"u1 1\nu2 nan\n", r"file.txt:2: the score of trial 'u2' is nan"),
        (b"u1 -inf\nu2 1\n", r"file.txt:1: the score of trial 'u1' is -inf"),
        (b"u1 1\nu2 1\nu1 2\n", r"file.txt:3: trials occur more than once: u1"),
        (b"u1 - bonafide 1\nu2 - sp00f 2\n", r"file.txt:2: label 'sp00f' is neither bona fide nor spoof"),
        (b"u1 - bonafide 1\nu2 spoof 2\n", r"file.txt:2: 3 columns; expected id, attack, label, score"),
        (b"u1,1\nu2,2\n", "the header must name id and score"),
        (b"id,score\n", "a header and no row"),
        (b'id,score\n"u1,1\nu2,2\n', r"file.txt:3: the table cannot be read"),
        (b'id,score\nu1,1\n"u"2,2\n', r"file.txt:3: the table cannot be read"),
        (b"id,score\n" + b"u" * 200000 + b",1\n", r"file.txt:2: the table cannot be read"),
    ],
)
def test_malformed_score_files_are_refused_with_file_line_and_reason(write, text, message):
    with pytest.raises(InputError, match=message):
        read_scores(write(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"s u1 -\n", "3 columns are no known protocol"),
        (b"s u1 - A1 spoof\ns u2 - spoof\n", r"file.txt:2: 4 columns where the first line has 5"),
        (b"s u1 - A1 spoof\ns u1 - - bonafide\n", r"file.txt:2: trials occur more than once: u1"),
        (b"u1 1\nu2 0\n", r"file.txt:1: label '1' is neither .*numbers mean either"),
        (b"id,speaker\nu1,x\n", "names no column of labels"),
        (b"id,label,score\nu1,spoof,x\n", r"file.txt:2: score 'x' is not a number"),
    ],
)
def test_malformed_protocols_are_refused_with_file_line_and_reason(write, text, message):
    with pytest.raises(InputError, match=message):
        read_protocol(write(text))


def test_a_missing_and_a_huge_and_a_damaged_file_are_refused(write, tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        read_scores(tmp_path / "absent.txt")
    with pytest.raises(InputError, match="larger than 10 bytes"):
        read_text(write("u1 1\nu2 2\nu3 3\n"), max_bytes=10)
    with pytest.raises(InputError, match="cannot be read"):
        read_scores(write(b"\x1f\x8b\x08\x00 broken", "s.txt.gz"))


def test_a_compressed_file_is_measured_by_what_comes_out_of_it(tmp_path):
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(gzip.compress(b"u1 1\n" * 100000))
    with pytest.raises(InputError, match="larger than 1000 bytes"):
        read_text(path, max_bytes=1000)


@pytest.mark.parametrize("word", ["bonafide", "bona-fide", "BonaFide", "genuine", "human", "Real"])
def test_words_for_bona_fide(word):
    assert is_bonafide(word) is True


@pytest.mark.parametrize("word", ["spoof", "Fake"])
def test_words_for_spoof(word):
    assert is_bonafide(word) is False


@pytest.mark.parametrize("word", ["", "1", "0", "A07", "bonafid"])
def test_words_that_are_not_known_never_become_spoof(word):
    assert is_bonafide(word) is None


def test_numbers_are_labels_once_they_are_said_to_be(write):
    path = write("u1 1\nu2 0\n")
    assert read_protocol(path, labels={"1": "bonafide", "0": "spoof"}).bonafide.tolist() == [True, False]
    assert read_protocol(path, labels={"1": "fake", "0": "real"}).bonafide.tolist() == [False, True]
    with pytest.raises(InputError, match="must be bonafide or spoof"):
        read_protocol(path, labels={"1": "yes", "0": "spoof"})


def test_phases_are_chosen_or_said_to_be_together(write):
    path = write(PROTOCOLS["ASVspoof 2021 LA"][0], "key.txt")
    assert "all phases (eval, hidden)" in read_protocol(path).notes[0]
    chosen = read_protocol(path, phase="hidden")
    assert list(chosen.ids) == ["LA_E_2"]
    assert not chosen.notes
    with pytest.raises(InputError, match="no phase 'dev'; there are eval, hidden"):
        read_protocol(path, phase="dev")
    with pytest.raises(InputError, match="only protocols of ASVspoof 2021"):
        read_protocol(write(PROTOCOLS["ASVspoof 2019"][0]), phase="eval")
    scores = write("LA_E_2 2\nLA_E_1 1\n", "s.txt")
    assert read_trials(path, scores, phase="hidden").scores.tolist() == [2.0]


def test_matching_follows_the_protocol_whatever_the_order_of_the_scores(write):
    protocol = read_protocol(write(PROTOCOLS["ASVspoof 2019"][0], "p.txt"))
    found = match(protocol, read_scores(write("LA_E_2 7\nLA_E_1 -7\n")))
    assert list(found.ids) == ["LA_E_1", "LA_E_2"]
    assert found.scores.tolist() == [-7.0, 7.0]
    assert found.groups["attack"] == ["A11", ""]


def test_folders_and_suffixes_are_ignored_where_that_is_what_it_takes(write):
    protocol = read_protocol(write("a spoof\nb bonafide\n", "p.txt"))
    found = match(protocol, read_scores(write("wav/b.wav 1\nwav/a.wav 2\n")))
    assert found.scores.tolist() == [2.0, 1.0]
    assert "folders and suffixes" in found.notes[-1]


def test_folders_that_tell_trials_apart_are_kept(write):
    protocol = read_protocol(write("x/a spoof\ny/a bonafide\n", "p.txt"))
    assert match(protocol, read_scores(write("y/a 1\nx/a 2\n"))).scores.tolist() == [2.0, 1.0]
    with pytest.raises(InputError, match="no id occurs in both"):
        match(protocol, read_scores(write("a 1\n")))


def test_a_dot_in_an_id_is_no_suffix(write):
    protocol = read_protocol(write("clip.1 spoof\nclip.2 bonafide\n", "p.txt"))
    assert match(protocol, read_scores(write("clip.2.wav 1\nclip.1.wav 2\n"))).scores.tolist() == [2.0, 1.0]


def test_missing_trials_are_named_or_become_a_note(write):
    protocol = read_protocol(write("".join(f"u{n} spoof\n" for n in range(9)), "p.txt"))
    scores = read_scores(write("u0 1\nu8 2\n", "s.txt"))
    with pytest.raises(InputError, match=r"s.txt against .*p.txt: 7 of 9 .*: u1, u2, u3, u4, u5 and 2 more"):
        match(protocol, scores)
    found = match(protocol, scores, allow_missing=True)
    assert list(found.ids) == ["u0", "u8"]
    assert "2 of 9 trials have a score" in found.notes


def test_extra_trials_are_named_or_become_a_note(write):
    protocol = read_protocol(write("u1 spoof\nu2 bonafide\n", "p.txt"))
    scores = read_scores(write("u1 1\nLA_E_A1 5\nu2 2\n"))
    with pytest.raises(InputError, match="1 scores are of trials not in the protocol: LA_E_A1"):
        match(protocol, scores)
    found = match(protocol, scores, allow_extra=True)
    assert found.scores.tolist() == [1.0, 2.0]
    assert "1 scores of trials not in the protocol were left out: LA_E_A1" in found.notes


def test_labels_of_both_files_must_agree(write):
    protocol = read_protocol(write("u1 spoof\nu2 bonafide\n", "p.txt"))
    with pytest.raises(InputError, match="labels of 1 trials disagree: u2"):
        match(protocol, read_scores(write("u1 A1 spoof 1\nu2 A1 spoof 2\n")))


def test_a_labelled_score_file_is_its_own_protocol(write):
    found = read_trials(write("my clip - bonafide 1\nother A07 spoof 2\n"))
    assert list(found.ids) == ["my clip", "other"]
    assert found.scores.tolist() == [1.0, 2.0]
    assert found.groups["attack"] == ["", "A07"]
    repeated = write("u1 - bonafide 1\nu2 A07 spoof 2\nu1 - bonafide 1\n", "r.txt")
    with pytest.raises(InputError, match=r"r.txt:3: trials occur more than once: u1"):
        read_trials(repeated)
    kept = read_trials(repeated, allow_repeats=True)
    assert len(kept.scores) == 3
    assert "1 trials are repetitions" in kept.notes[0]


def test_a_protocol_without_scores_cannot_be_matched_with_itself(write):
    with pytest.raises(InputError, match="no column of scores"):
        read_trials(write("u1 spoof\n"))


def test_scores_of_a_speaker_verification(write):
    found = read_asv_scores(write("bonafide target 3.5\nbonafide nontarget -1\nA07 spoof 2\n"))
    assert (found.target.tolist(), found.nontarget.tolist(), found.spoof.tolist()) == ([3.5], [-1.0], [2.0])
    with pytest.raises(InputError, match=r"file.txt:2: key 'other' is not target, nontarget or spoof"):
        read_asv_scores(write("bonafide target 3.5\nA07 other 1\n"))
    with pytest.raises(InputError, match="there are no nontarget trials"):
        read_asv_scores(write("bonafide target 3.5\n"))
    with pytest.raises(InputError, match=r"file.txt:1: the score is nan"):
        read_asv_scores(write("bonafide target nan\n"))


@pytest.mark.parametrize("name", ["s.txt", "score.tsv"])
def test_scores_written_are_read_back_to_the_last_bit(tmp_path, name):
    scores = np.random.default_rng(0).normal(size=50) * 10.0 ** np.arange(-25, 25)
    ids = [f"utt_{n}" for n in range(50)]
    write_scores(tmp_path / name, ids, scores)
    found = read_scores(tmp_path / name)
    assert list(found.ids) == ids
    assert np.array_equal(found.scores, scores)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("ids", "scores", "message"),
    [
        (["a b"], [1.0], "holds white space"),
        (["a", "a"], [1.0, 2.0], "more than once"),
        (["a"], [np.nan], "finite"),
        (["a"], [1.0, 2.0], "1 ids for 2 scores"),
    ],
)
def test_scores_that_could_not_be_read_back_are_not_written(tmp_path, ids, scores, message):
    with pytest.raises(InputError, match=message):
        write_scores(tmp_path / "s.txt", ids, np.array(scores))
    assert not list(tmp_path.iterdir())


def test_trials_made_in_memory_are_checked():
    with pytest.raises(InputError, match="the score of trial 'b' is nan"):
        Trials(ids=["a", "b"], scores=np.array([1.0, np.nan]), bonafide=np.array([True, False]))
    with pytest.raises(InputError, match="have lengths"):
        Trials(ids=["a"], scores=np.zeros(2), bonafide=np.array([True, False]))
    with pytest.raises(InputError, match="there are no trials"):
        Trials(ids=[], scores=np.zeros(0), bonafide=np.zeros(0, bool))
    with pytest.raises(InputError, match="group 'style' is not one of"):
        Trials(ids=["a"], scores=np.zeros(1), bonafide=np.zeros(1, bool), groups={"style": ["x"]})


@pytest.mark.realdata
def test_the_evaluation_protocol_of_asvspoof_2019(realdata):
    found = read_protocol(realdata / "d_scores/asvspoof2019_la/ASVspoof2019.LA.cm.eval.trl.txt.gz")
    assert found.layout == "ASVspoof 2019"
    assert found.bonafide.sum() == 7355
    assert (~found.bonafide).sum() == 63882
    assert sorted(set(found.groups["attack"])) == ["", *(f"A{n:02d}" for n in range(7, 20))]


@pytest.mark.realdata
def test_score_files_of_the_challenges_toolkit(realdata):
    folder = realdata / "d_scores/asvspoof2019_toolkit_example"
    # The file lists each bona fide trial once for each of six attacks.
    with pytest.raises(InputError, match=r"cm_dev.txt.gz:1681: trials occur more than once: p257/p257_225"):
        read_trials(folder / "cm_dev.txt.gz")
    trials = read_trials(folder / "cm_dev.txt.gz", allow_repeats=True)
    assert len(trials.ids) == len(trials.scores) == 20364
    assert "repetitions" in trials.notes[0]
    asv = read_asv_scores(folder / "asv_dev.txt.gz")
    assert len(asv.target) + len(asv.nontarget) + len(asv.spoof) == 20364
