"""Published tables of votes: small hand-made ones, CREMA-D's counts and VCC 2018's system means."""

import gzip
from pathlib import Path

import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.listening.agreement import krippendorff_alpha
from doppelbench.listening.tabulated_counts import (
    ItemCounts,
    pooled_share,
    read_counts,
    read_system_means,
    table_of_counts,
    votes_of_counts,
)

EMOTIONS = ("A", "D", "F", "H", "N", "S")
INTENDED = {"ANG": "A", "DIS": "D", "FEA": "F", "HAP": "H", "NEU": "N", "SAD": "S"}


def intended(entry: ItemCounts) -> str:
    return INTENDED[entry.cells["fileName"].split("_")[2]]


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_counts_become_votes_majorities_and_agreement(tmp_path: Path) -> None:
    path = table(tmp_path / "counts.csv", "clip,good,bad,note\nc1,3,1,x\nc2,2,2,y\n")
    first, second = read_counts(path, item="clip", answers=["good", "bad"])
    assert (first.n, first.majority, first.agreement, first.cells) == (4, ("good",), 0.75, {"note": "x"})
    assert second.majority == ("good", "bad")
    votes = votes_of_counts([first], "verdict")
    assert [vote.answer for vote in votes] == ["good", "good", "good", "bad"]
    assert len({vote.rater for vote in votes}) == 4
    assert pooled_share([first, second], lambda entry: "good") == pytest.approx(5 / 8)


def test_system_means_are_ranked_and_equal_ones_share_a_rank(tmp_path: Path) -> None:
    path = table(tmp_path / "means.csv", "system_ID,mean\na,2.5\nb,4\nc,2.5\nd,1\n")
    assert [(entry.system, entry.rank) for entry in read_system_means(path)] == [
        ("b", 1),
        ("a", 2),
        ("c", 2),
        ("d", 4),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,good\nc1,3\n", "line 1: the columns bad are missing"),
        ("clip,good,bad\nc1,3,x\n", "line 2: the counts of c1"),
        ("clip,good,bad\nc1,3,-1\n", "line 2: the counts of c1"),
        ("clip,good,bad\nc1,0,0\n", "line 2: the counts of c1"),
        ("clip,good,bad\nc1,1,0\nc1,1,0\n", "line 3: the item c1 stands there twice"),
        ("clip,good,bad\nc1,1\n", "line 2: has 2 cells"),
        ('clip,good,bad\nc1,1,"0', "no table that can be read"),
        ("", "the columns clip, good, bad are missing"),
    ],
)
def test_damaged_counts_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_counts(table(tmp_path / "counts.csv", text), item="clip", answers=["good", "bad"])
    assert message in str(caught.value)
    assert "counts.csv" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["system_ID,mean\na,high\n", "system_ID,mean\na,nan\n", "system_ID,mean\na,1\na,2\n"]
)
def test_damaged_means_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"line [23]"):
        read_system_means(table(tmp_path / "means.csv", text))


@pytest.mark.parametrize(
    # The time of day would stand in the archives and in the names of the tests, which all workers must share.
    "content",
    [b"no gzip", gzip.compress(b"clip,good", mtime=0)[:-6], gzip.compress(b"\xff\xfe", mtime=0)],
)
def test_a_damaged_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "counts.csv.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="no table that can be read"):
        read_counts(path, item="clip", answers=["good"])


def test_no_votes_have_no_share() -> None:
    with pytest.raises(ValueError, match="no votes"):
        pooled_share([], lambda entry: "good")


@pytest.mark.realdata
def test_the_votes_of_crema_d_give_the_aggregates_stated_with_them(realdata: Path) -> None:
    counts = read_counts(realdata / "f_votes/crema_d/tabulatedVotes.csv.gz", item="", answers=EMOTIONS)
    assert len(counts) == 22326
    assert sum(entry.n for entry in counts) == 212000
    assert [e.item for e in counts if e.n != int(e.cells["numResponses"])] == []
    assert [e.item for e in counts if abs(e.agreement - float(e.cells["agreement"])) > 1e-9] == []
    assert [e.item for e in counts if ":".join(e.majority) != e.cells["emoVote"]] == []
    for digit, expected in (("1", 40.002625), ("2", 57.437128), ("3", 63.073644)):
        own = [entry for entry in counts if entry.item.startswith(digit)]
        assert 100 * pooled_share(own, intended) == pytest.approx(expected, abs=1e-5)


@pytest.mark.realdata
def test_raters_of_crema_d_agree_more_with_eyes_than_without(realdata: Path) -> None:
    counts = read_counts(realdata / "f_votes/crema_d/tabulatedVotes.csv.gz", item="", answers=EMOTIONS)
    alphas = [
        krippendorff_alpha(
            table_of_counts([e for e in counts if e.item.startswith(digit)]), range(6), "nominal"
        )
        for digit in "123"
    ]
    assert 0.1 < (alphas[0] or 0) < (alphas[1] or 0) < (alphas[2] or 0) < 0.7


@pytest.mark.realdata
def test_the_system_means_of_vcc_2018(realdata: Path) -> None:
    means = read_system_means(realdata / "f_votes/vcc2018/vcc2018_system.csv")
    assert len(means) == 38
    found = {entry.system: entry for entry in means}
    assert found["NAT_T00"].mean == pytest.approx(4.612132352941177, abs=1e-12)
    assert found["NAT_T00"].rank == 2
    assert [entry.system for entry in means[:4]] == ["NAT_S00", "NAT_T00", "SPO_N10", "HUB_N10"]
    assert [entry.rank for entry in means] == sorted(entry.rank for entry in means)
