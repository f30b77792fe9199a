import pytest
from trees import refuse, sizes, split_of, touch

from doppelbench.corpora.readers import read_corpus


def talkers(root, *numbers, clips=1):
    names = [f"bba{letter}{digit}n" for letter in "abcdefghij" for digit in "1234"][:clips]
    for number in numbers:
        for name in names:
            touch(root / f"s{number}/{name}.mpg")
    return root


def test_unseen_33_is_the_list_of_vca_gan_and_nobody_else(tmp_path):
    corpus = read_corpus("grid", talkers(tmp_path, *range(1, 36)), protocol="unseen-33")
    assert sizes(corpus) == {"train": 16, "dev": 7, "test": 10}
    splits = split_of(corpus, "speaker")
    assert {"s21", "s35"} & splits.keys() == set()
    assert {name for name, split in splits.items() if split == {"dev"}} == {
        f"s{number}" for number in (9, 20, 23, 27, 29, 30, 34)
    }
    assert {name for name, split in splits.items() if split == {"test"}} == {
        f"s{number}" for number in (2, 4, 11, 13, 15, 18, 19, 25, 31, 33)
    }


def test_seen_4_has_its_talkers_in_every_split(tmp_path):
    corpus = read_corpus("grid", talkers(tmp_path, 1, 2, 3, 4, 29, clips=40), protocol="seen-4")
    assert corpus.speakers == ["s1", "s2", "s29", "s4"]
    for talker in corpus.speakers:
        assert sizes(corpus.select(speaker=talker)) == {"train": 36, "dev": 2, "test": 2}


@pytest.mark.parametrize(
    ("protocol", "absent"), [("seen-4", "s4, s29"), ("unseen-33", "s3, s4, s5, .*s32, s33, s34")]
)
def test_a_protocol_of_named_talkers_refuses_to_go_without_them(tmp_path, protocol, absent):
    refuse("grid", talkers(tmp_path, 1, 2), f"{protocol} needs talkers .*: {absent}$", protocol=protocol)
