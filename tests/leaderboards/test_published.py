"""Published figures are what the paper prints: row counts, sums and means that the paper's text states."""

import math
from statistics import mean

import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.published_figures import (
    COLUMNS,
    find_published,
    published_figures,
    published_keys,
    read_figures,
)

HEADER = ",".join(COLUMNS)
GOOD = "paper-1,table-1,3,VCTK,one,,sca,99.0,,%,yes,"


def column(table, metric):
    return {
        figure.item or figure.system: figure.value
        for figure in published_figures()
        if (figure.table, figure.metric) == (table, metric)
    }


def test_every_table_of_the_exemplar_paper_stands_on_its_page():
    own = [key.split("/") for key in published_keys() if key.startswith("exemplar-2021/")]
    pages = {table: find_published(f"{paper}/{table}")[0].pages for paper, table in own}
    assert pages == {
        "table-2": (7,),
        "table-3": (8,),
        "table-4": (16,),
        "table-5a": (19,),
        "table-5b": (19,),
        "table-6": (20,),
        "table-7": (21,),
        "section-d.3": (18,),
        "section-d.4": (20,),
    }


@pytest.mark.parametrize(
    ("table", "rows"),
    [("2", 7), ("3", 4), ("4", 12), ("5a", 13 + 1), ("5b", 10 + 1), ("6", 5), ("7", 3)],
)
def test_every_row_is_there(table, rows):
    assert len(find_published(f"exemplar-2021/table-{table}")[0].rows) == rows


def test_the_geometric_means_of_table_3_are_those_of_similarity_and_content():
    similarity, content = column("table-3", "similarity_mos"), column("table-3", "content_mos")
    for system, value in column("table-3", "geometric_mean").items():
        assert round(math.sqrt(similarity[system] * content[system]), 2) == value


@pytest.mark.parametrize("metric", ["naturalness_preference", "similarity_preference", "content_preference"])
def test_preferences_that_do_not_sum_to_a_hundred_are_noted_with_their_sum(metric):
    total = sum(column("table-3", metric).values())
    assert total != pytest.approx(100, abs=0.5)
    notes = {figure.note for figure in published_figures() if figure.metric == metric}
    assert all(f"sum to {total:.1f} %" in note for note in notes)


def test_accuracies_of_table_4_are_the_means_of_real_and_fake():
    accuracy = column("table-4", "accuracy")
    whole = [name for name in accuracy if not name.endswith((", real", ", fake"))]
    assert len(whole) == 4
    for name in whole:
        # 86.85 and 99.65 are printed rounded down and up.
        parts = mean([accuracy[f"{name}, real"], accuracy[f"{name}, fake"]])
        assert accuracy[name] == pytest.approx(parts, abs=0.0501)


@pytest.mark.parametrize(
    ("table", "metrics"),
    [("table-5a", ("to_projection", "minimum")), ("table-5b", ("to_projection", "minimum", "mean"))],
)
def test_averages_of_table_5_are_those_of_its_rows(table, metrics):
    for metric in metrics:
        values = column(table, metric)
        average = values.pop("Average")
        assert mean(values.values()) == pytest.approx(average, abs=0.0051)


@pytest.mark.parametrize(("table", "broken"), [("table-5a", 1), ("table-5b", 8)])
def test_words_against_the_claimed_inequality_are_counted_and_noted(table, broken):
    projection, minimum = column(table, "to_projection"), column(table, "minimum")
    against = {word for word, value in projection.items() if value > minimum[word]}
    assert len(against - {"Average"}) == broken
    noted = {
        figure.item
        for figure in published_figures()
        if figure.table == table
        and figure.metric == "to_projection"
        and "against the property" in figure.note
    }
    assert noted == against


def test_table_6_repeats_table_2_where_the_neural_vocoder_is_kept():
    for metric in ("sca", "mcd"):
        two, six = column("table-2", metric), column("table-6", metric)
        assert six["Auto-VC with WaveNet"] == two["Auto-VC"]
        assert six["Exemplar autoencoder with WaveNet"] == two["Exemplar autoencoder"]
        assert six["Chou et al. 2019"] == two["Chou et al. 2019"]
    assert six["Auto-VC with WaveNet"] == six["Auto-VC without WaveNet"]


def test_only_the_exemplar_needs_no_extra_data_and_is_zero_shot():
    zero_shot, extra = column("table-2", "zero_shot"), column("table-2", "extra_data")
    assert [name for name in zero_shot if zero_shot[name] and not extra[name]] == ["Exemplar autoencoder"]


def test_spreads_are_printed_and_parts_of_a_table_are_found_together():
    assert find_published("exemplar-2021/table-7")[0].rows[0][1][2:] == ("77.844 ± 15.612", "29.304 ± 0.856")
    parts = find_published("exemplar-2021/table-5")
    assert [part.key for part in parts] == ["exemplar-2021/table-5a", "exemplar-2021/table-5b"]


def test_an_unknown_table_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'exemplar-2021/table-2'"):
        find_published("exemplar-2021/tabel-2")


def test_every_figure_of_the_exemplar_paper_and_none_of_video_to_speech_was_read_from_the_paper():
    """Of the papers on video-to-speech none could be read whole."""
    for figure in published_figures():
        assert figure.first_hand == (figure.paper == "exemplar-2021")
        assert figure.first_hand == (figure.page is not None)
        assert figure.first_hand or "not from the paper" in figure.note


def test_what_is_second_hand_is_called_so_where_it_is_shown():
    (table,) = find_published("kefalas-2024/quoted")
    assert (table.pages, table.first_hand) == ((), False)
    assert table.place == "second hand, GRID, LRW"
    assert table.metrics == ("pesq", "stoi", "estoi", "wer (%)")
    assert table.rows[0][1] == ("1.43", "0.598", "0.335", "17.90")
    assert any("digest" in note for note in table.notes)
    assert find_published("exemplar-2021/table-6")[0].place == "page 20, VCTK"


def test_quoted_rows_lie_within_the_range_that_is_quoted_of_all():
    lowest, highest = (
        dict(zip(("pesq", "stoi", "estoi", "wer"), map(float, row[1]), strict=True))
        for row in find_published("kefalas-2024/range")[0].rows
    )
    for figure in published_figures():
        if (figure.paper, figure.table) == ("kefalas-2024", "quoted"):
            assert lowest[figure.metric] <= figure.value <= highest[figure.metric]


def test_estoi_is_below_stoi_wherever_both_are_printed():
    both = {(f.paper, f.table, f.system, f.item): {} for f in published_figures()}
    for figure in published_figures():
        both[figure.paper, figure.table, figure.system, figure.item][figure.metric] = figure.value
    pairs = [row for row in both.values() if {"stoi", "estoi"} <= row.keys()]
    assert len(pairs) >= 14
    assert all(row["estoi"] < row["stoi"] for row in pairs)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (GOOD.replace("99.0", "much"), "value is 'much'"),
        (GOOD.replace("99.0", "nan"), "value is 'nan'"),
        (GOOD.replace("99.0", "101"), "outside 0 to 100"),
        (GOOD.replace(",3,", ",iii,"), "page is 'iii'"),
        (GOOD.replace(",3,", ",,"), "page is ''"),
        (GOOD.replace(",3,", ",iii,").replace("yes,", "no,from a digest"), "page is 'iii'"),
        (GOOD.replace(",3,", ",,").replace("yes,", "no,"), "note is empty"),
        (GOOD.replace("%", "per cent"), "unit is 'per cent'"),
        (GOOD.replace("yes", "perhaps"), "first_hand is 'perhaps'"),
        (GOOD.replace("VCTK", ""), "corpus is empty"),
        (GOOD + ",more", "13 fields where 12"),
        (GOOD, "stands in line 2 already"),
    ],
)
def test_a_damaged_row_is_refused_with_file_and_line(row, said):
    with pytest.raises(InputError, match=r"mine\.csv, line 3") as caught:
        read_figures(f"{HEADER}\n{GOOD}\n{row}\n", "mine.csv")
    assert said in str(caught.value)


def test_another_header_is_refused():
    with pytest.raises(InputError, match=r"mine\.csv, line 1"):
        read_figures("paper,value\n", "mine.csv")
