"""What platforms get: complete, within their limits, and without a word on systems."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_study import NATURALNESS, SYSTEMS, write_pairs, write_scales

from doppelbench.corpora.errors import InputError
from doppelbench.listening.fields import split_numbered
from doppelbench.listening.pages import (
    LARGEST_QUESTION,
    api_question,
    hosted_page,
    lint_template,
    preview_page,
    qualifications,
    sheet_columns,
    substitute,
    task,
    template,
    write_sheets,
)
from doppelbench.listening.study import Item, Recruitment, Stimulus, Study

URL = "https://media.example.org/study"
XMLNS = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2011-11-11/HTMLQuestion.xsd}"


class Tags(HTMLParser):
    """Start tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return write_scales(tmp_path / "study", training=1)


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "input.csv").read_bytes().decode())))


def test_the_sheet_has_a_row_for_every_block_and_names_no_system(study: Study, tmp_path: Path) -> None:
    write_sheets(study, tmp_path, media_url=URL + "/", names=SYSTEMS)
    sheet = rows(tmp_path)
    assert [row["block"] for row in sheet] == ["b0", "b1"]
    assert [sheet[1][name] for name in ("item_0", "item_1")] == ["i10", "i11"]
    assert sheet[1]["output_0"] == f"{URL}/i10a.wav"
    assert sheet[1]["target_1"] == f"{URL}/i11b.wav"
    assert sheet[0]["training_0"] == sheet[1]["training_0"] == "p0"
    assert sheet[0]["trainingoutput_0"] == f"{URL}/p0a.wav"
    everything = "".join(
        path.read_text() for path in tmp_path.rglob("*") if path.suffix in (".html", ".csv", ".xml")
    )
    assert not [name for name in (*SYSTEMS, "edith", "talkers") if name in everything]


def test_every_column_is_a_variable_that_platforms_understand(study: Study) -> None:
    columns = sheet_columns(study)
    assert set(re.findall(r"\$\{([^}]*)\}", template(study))) == set(columns)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in columns)
    assert split_numbered("training_0") != split_numbered("item_0")


def test_a_short_block_leaves_cells_empty(study: Study, tmp_path: Path) -> None:
    short = replace(study.blocks[1], items=study.blocks[1].items[:1])
    write_sheets(replace(study, blocks=(study.blocks[0], short)), tmp_path, media_url=URL)
    assert rows(tmp_path)[1]["item_1"] == rows(tmp_path)[1]["output_1"] == ""


def test_the_fragment_is_wrapped_by_its_host(study: Study) -> None:
    tags = Tags(template(study)).found
    assert not {"html", "head", "body", "form"} & {tag for tag, _ in tags}
    assert [values["value"] for tag, values in tags if tag == "input" and values.get("type") == "submit"]


def test_a_dollar_sign_of_the_study_is_no_variable(tmp_path: Path) -> None:
    study = write_scales(tmp_path / "study", instructions=("Costs ${money} & <b>more</b>.",))
    text = template(study)
    assert lint_template(text, columns=sheet_columns(study)) == []
    assert "Costs &#36;{money} &amp; &lt;b&gt;more&lt;/b&gt;." in text


def test_the_question_for_the_api_is_a_whole_page_in_xml(study: Study) -> None:
    study = replace(study, instructions=("Ends ]]> here.", "Grüße"))
    text = api_question(study, study.blocks[0], media_url=URL)
    assert len(text.encode()) <= LARGEST_QUESTION
    root = ElementTree.fromstring(text.encode())
    assert root.tag == f"{XMLNS}HTMLQuestion"
    assert root.findtext(f"{XMLNS}FrameHeight") == "0"
    page = root.findtext(f"{XMLNS}HTMLContent") or ""
    tags = Tags(page).found
    (form,) = [values for tag, values in tags if tag == "form"]
    assert form["action"] == "https://www.mturk.com/mturk/externalSubmit"
    assert "assignmentId" in [values.get("name") for tag, values in tags if tag == "input"]
    assert "${" not in page
    assert f"{URL}/i00a.wav" in page
    assert 'workersandbox.mturk.com/mturk/externalSubmit"' in api_question(
        study, study.blocks[0], media_url=URL, sandbox=True
    )


def test_cdata_that_ends_early_is_split(study: Study) -> None:
    block = replace(study.blocks[0], id="x]]>y")
    text = api_question(replace(study, blocks=(block,)), block, media_url=URL)
    assert ElementTree.fromstring(text.encode()).findtext(f"{XMLNS}HTMLContent")


def test_a_question_over_the_limit_is_refused(tmp_path: Path) -> None:
    study = write_scales(tmp_path / "study", instructions=("long " * 13_000,))
    with pytest.raises(InputError, match=r"block b0 has \d+ bytes, the API takes 65535"):
        api_question(study, study.blocks[0], media_url=URL)


def test_cells_are_escaped() -> None:
    assert substitute('<i title="${a}">', {"a": '"><script>'}) == '<i title="&quot;&gt;&lt;script&gt;">'


def test_pairs_have_both_sounds_and_words_for_answers(tmp_path: Path) -> None:
    study = write_pairs(tmp_path / "study")
    write_sheets(study, tmp_path, media_url=URL)
    assert {"first_0", "second_0"} <= rows(tmp_path)[0].keys()
    facts = re.search(r'id="lt-study">(.*?)</script>', (tmp_path / "template.html").read_text(), re.DOTALL)
    assert facts is not None
    assert json.loads(facts[1])["questions"]["preference"]["answers"] == [
        ["first", "Recording A"],
        ["second", "Recording B"],
    ]


def test_the_hosted_page_has_no_script_of_its_own(study: Study) -> None:
    page = hosted_page(
        study, study.blocks[0], sitting="s", save="t", states={"i00": {"problem": "${x}'\""}}, training=False
    )
    scripts = [values for tag, values in Tags(page).found if tag == "script"]
    assert [values.get("src") for values in scripts if values.get("type") != "application/json"] == [
        "../static/page.js"
    ]
    assert not [values for _, values in Tags(page).found if "style" in values]
    (root,) = [values for _, values in Tags(page).found if values.get("id") == "lt"]
    assert json.loads(root["data-state"] or "") == {"i00": {"problem": "${x}'\""}}
    assert "p0a.wav" not in page


def test_the_preview_holds_all_it_needs_but_the_sounds(study: Study) -> None:
    page = preview_page(study, study.blocks[0], media_url="../raters/media")
    assert "${" not in page
    assert not [values for _, values in Tags(page).found if values.get("src") or values.get("href")]


def test_sounds_without_https_are_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only media with an https address"):
        write_sheets(study, tmp_path, media_url="http://media.example.org")


def test_a_system_in_the_instructions_is_refused(tmp_path: Path) -> None:
    study = write_scales(tmp_path / "study", instructions=("AutoVC made these.",))
    with pytest.raises(InputError, match="names the system autovc"):
        write_sheets(study, tmp_path, media_url=URL, names=SYSTEMS)


def test_items_that_show_their_sounds_in_another_order_are_refused(study: Study, tmp_path: Path) -> None:
    odd = Item("odd", (Stimulus("target", "a.wav", 1.0), Stimulus("output", "b.wav", 1.0)), ("naturalness",))
    with pytest.raises(InputError, match="item odd shows target, output"):
        write_sheets(replace(study, items=(*study.items, odd)), tmp_path, media_url=URL)


GOOD = '<input type="radio" name="q"><i title="${a}"></i><script>let x = 1; // note\n</script>'


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda text: text + "x" * 66_000, "has 66.*platforms take 65535"),
        (lambda text: text + "${b}", "the variable b is no column"),
        (lambda text: text.replace("${a}", ""), "the column a is not used"),
        (lambda text: text.replace("let x = 1", "let x = `${a}`"), r"a script or style holds \$\{"),
        (lambda text: text + "<button>Go</button>", 'without type="button"'),
        (lambda text: text + '<script src="https://cdn.example.org/x.js"></script>', "org/x.js is loaded"),
        (lambda text: text + '<link href="//fonts.example.org/a.css">', "fonts.example.org/a.css is loaded"),
        (lambda text: text + "<style>p { color: url(https://b.org/x) }</style>", "b.org/x is loaded"),
        (lambda text: text.replace("let x = 1", "fetch('https://spy.org/')"), "spy.org/ is loaded"),
        (lambda text: f"<form>{text}</form>", "<form> does not belong"),
        (lambda text: f"<body>{text}</body>", "<body> does not belong"),
        (lambda text: text.replace('<input type="radio" name="q">', ""), "no input, select or textarea"),
        (lambda text: text + "<!-- Exemplar -->", "names the system exemplar"),
    ],
)  # fmt: skip
def test_the_lint_finds(change: Callable[[str], str], finding: str) -> None:
    assert lint_template(GOOD, columns=["a"], names=SYSTEMS) == []
    found = lint_template(change(GOOD), columns=["a"], names=SYSTEMS)
    assert len(found) == 1
    assert re.search(finding, found[0])


def test_a_variable_in_a_script_is_no_use_of_a_column() -> None:
    text = '<input name="q"><script>"${a}"</script>'
    assert len(lint_template(text, columns=["a"])) == 2


def test_links_in_what_raters_read_are_allowed() -> None:
    text = '<input name="q">${a} Questions: https://example.org/study'
    assert lint_template(text, columns=["a"]) == []


def test_qualifications_are_those_of_the_paper() -> None:
    asked = Recruitment(masters=True, minimum_approval=98, minimum_tasks=1000, countries=("US",))
    # As accepted by the parameter validator of botocore 1.44.
    assert qualifications(asked) == [
        {"QualificationTypeId": "2F1QJWKUDD8XADTFD2Q0G6UTO95ALH", "Comparator": "Exists",
         "ActionsGuarded": "DiscoverPreviewAndAccept"},
        {"QualificationTypeId": "000000000000000000L0", "Comparator": "GreaterThan", "IntegerValues": [98],
         "ActionsGuarded": "Accept"},
        {"QualificationTypeId": "00000000000000000040", "Comparator": "GreaterThan", "IntegerValues": [1000],
         "ActionsGuarded": "Accept"},
        {"QualificationTypeId": "00000000000000000071", "Comparator": "EqualTo",
         "LocaleValues": [{"Country": "US"}], "ActionsGuarded": "Accept"},
    ]  # fmt: skip
    assert qualifications(asked, sandbox=True)[0]["QualificationTypeId"] == "2ARFPLSP75KLA8M8DH1HTEQVJT3SY6"


def test_nothing_is_asked_of_raters_unless_the_study_says_so() -> None:
    assert qualifications(Recruitment()) == []


def test_too_many_countries_are_refused() -> None:
    with pytest.raises(InputError, match="31 countries, the API takes 30"):
        qualifications(Recruitment(countries=tuple(f"A{number}" for number in range(31))))


def test_the_task_passes_the_validator_of_the_api(study: Study) -> None:
    """Offline: the validator knows the API's model, and sends nothing."""
    pytest.importorskip("botocore", reason="needs botocore: pip install botocore")
    from botocore.loaders import Loader
    from botocore.model import ServiceModel
    from botocore.validate import ParamValidator

    model = ServiceModel(Loader().load_service_model("mturk", "service-2"))
    recruitment = Recruitment(
        masters=True, minimum_approval=98, minimum_tasks=1000, countries=("US", "CA"), reward=1.5
    )
    asked = replace(study, recruitment=recruitment)
    parameters = task(asked) | {"Question": api_question(asked, asked.blocks[0], media_url=URL)}
    shape = model.operation_model("CreateHIT").input_shape
    assert ParamValidator().validate(parameters, shape).generate_report() == ""
    assert ParamValidator().validate(parameters | {"Reward": 1.5}, shape).has_errors()


def test_one_question_and_no_training_will_do(tmp_path: Path) -> None:
    study = write_scales(tmp_path / "study", blocks=1, questions=(NATURALNESS,))
    write_sheets(study, tmp_path, media_url="http://127.0.0.1:1/media", preview_media="../study/raters/media")
    assert (tmp_path / "preview.html").read_text().count("../study/raters/media/") == 4
    assert json.loads((tmp_path / "qualifications.json").read_text()) == []
    assert json.loads((tmp_path / "task.json").read_text())["Reward"] == "0.50"
