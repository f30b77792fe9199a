"""The page that raters see, from one source for every place where it is shown.

``rater_page/fragment.html.j2``, ``page.css`` and ``page.js`` become the template and sheet of a crowd
platform (a fragment with ``${variables}``, and a CSV file with one row a block; Turkle takes the same two
files), the ``HTMLQuestion`` of the platform's API, the page that :mod:`doppelbench.listening.server` serves,
and a preview that opens from disk. The platform's rules are those of the Mechanical Turk requester
documentation; they are checked by :func:`lint_template` before anything is written.

Nothing here knows a system: a page is made from the study alone, and training, traps and gold go the way of
every other item.
"""

import csv
import html
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from doppelbench.corpora.errors import InputError
from doppelbench.listening.fields import BLOCK, ITEM, numbered
from doppelbench.listening.study import ROLE_TITLES, Block, Item, Recruitment, Role, Study

if TYPE_CHECKING:
    from jinja2 import Environment

Mode = Literal["platform", "hosted", "preview"]

# The API's bound on a question, in bytes.
LARGEST_QUESTION = 65_535
QUESTIONS, TRAINING = "questions", "training"
TEMPLATE, SHEET, PREVIEW, QUESTION_FOLDER = "template.html", "input.csv", "preview.html", "questions"
TASK, QUALIFICATIONS = "task.json", "qualifications.json"
SUBMIT = "https://{host}/mturk/externalSubmit"
HOST, SANDBOX_HOST = "www.mturk.com", "workersandbox.mturk.com"
QUESTION_SCHEMA = (
    "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2011-11-11/HTMLQuestion.xsd"
)
MASTERS, SANDBOX_MASTERS = "2F1QJWKUDD8XADTFD2Q0G6UTO95ALH", "2ARFPLSP75KLA8M8DH1HTEQVJT3SY6"
APPROVAL, TASKS_DONE, LOCALE = "000000000000000000L0", "00000000000000000040", "00000000000000000071"
# What the API takes in one set of countries.
MOST_COUNTRIES = 30
DAY = 86_400
LOOPBACK = ("localhost", "127.0.0.1", "::1")

_VARIABLE = re.compile(r"\$\{(\w*)\}")
_URL_ATTRIBUTES = ("src", "href", "action", "formaction", "poster", "data")


@cache
def page_asset(name: str) -> str:
    """Text of ``page.css`` or ``page.js``."""
    return resources.files("doppelbench.listening").joinpath("rater_page", name).read_text(encoding="utf-8")


def sheet_columns(study: Study) -> list[str]:
    """Columns of the input sheet; the template has a variable for every one.

    Raises:
        InputError: the study cannot be laid out, see :func:`roles_of`.
    """
    roles, columns = roles_of(study), [BLOCK]
    for place in range(_places(study)):
        columns += [numbered(name, place) for name in (ITEM, QUESTIONS, *roles)]
    for place in range(len(study.training)):
        columns += [numbered(TRAINING, place)]
        columns += [numbered(f"{TRAINING}{name}", place) for name in (QUESTIONS, *roles)]
    return columns


def sheet_row(study: Study, block: Block, *, media_url: str, training: bool = True) -> dict[str, str]:
    """Cells of one block; those of places and roles that it does not have are empty.

    Args:
        study: with the block.
        block: one of its blocks.
        media_url: of the folder with the media.
        training: whether the training items come first.
    """
    row = dict.fromkeys(sheet_columns(study), "")
    row[BLOCK] = block.id
    for place, name in enumerate(block.items):
        _fill(row, study.item(name), place, (ITEM, ""), media_url)
    for place, name in enumerate(study.training if training else ()):
        _fill(row, study.item(name), place, (TRAINING, TRAINING), media_url)
    return row


def roles_of(study: Study) -> tuple[Role, ...]:
    """Roles of the study's stimuli, in the order in which every item shows them.

    Raises:
        InputError: two items show their roles in different orders, or one has a role twice.
    """
    roles: list[Role] = []
    for item in sorted(study.items, key=lambda item: -len(item.stimuli)):
        own = [stimulus.role for stimulus in item.stimuli]
        roles += [role for role in own if role not in roles]
        if own != [role for role in roles if role in own]:
            raise InputError(f"study {study.id}: item {item.id} shows {', '.join(own)}, unlike other items")
    return tuple(roles)


def template(study: Study) -> str:
    """The fragment for a platform: ``${variables}``, and no ``html``, ``body`` or ``form``."""
    css, js = _slim(page_asset("page.css")), _slim(page_asset("page.js"))
    return f"<style>{css}</style>\n{_fragment(study, 'platform')}\n<script>{js}</script>\n"


def substitute(text: str, row: Mapping[str, str]) -> str:
    """Put the cells of a row, escaped, in the place of the variables.

    Raises:
        KeyError: a variable that the row does not have.
    """
    return _VARIABLE.sub(lambda match: html.escape(row[match[1]]), text)


def api_question(study: Study, block: Block, *, media_url: str, sandbox: bool = False) -> str:
    """The ``HTMLQuestion`` of a block for the platform's API.

    Args:
        study: with the block.
        block: one of its blocks.
        media_url: of the folder with the media.
        sandbox: post to the sandbox where the platform does not say where to.

    Raises:
        InputError: the question is larger than the API takes.
    """
    body = substitute(_fragment(study, "platform"), sheet_row(study, block, media_url=media_url))
    action = SUBMIT.format(host=SANDBOX_HOST if sandbox else HOST)
    page = _page(title=study.title, body=body, action=action, script=True)
    content = page.replace("]]>", "]]]]><![CDATA[>")
    question = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<HTMLQuestion xmlns="{QUESTION_SCHEMA}">\n'
        f"<HTMLContent><![CDATA[{content}]]></HTMLContent>\n<FrameHeight>0</FrameHeight>\n</HTMLQuestion>\n"
    )
    size = len(question.encode())
    if size > LARGEST_QUESTION:
        raise InputError(
            f"study {study.id}: the question of block {block.id} has {size} bytes, the API takes "
            f"{LARGEST_QUESTION}; make blocks smaller or instructions shorter"
        )
    return question


def hosted_page(
    study: Study, block: Block, *, sitting: str, save: str, states: Mapping[str, Any], training: bool
) -> str:
    """The page that our own server shows for one sitting; styles and script come from ``../static``.

    Args:
        study: with the block.
        block: what the rater does.
        sitting: opaque id.
        save: address that answers are posted under.
        states: what the server has of the items already, by item id.
        training: whether the training items come first.
    """
    hosted = {"sitting": sitting, "save": save, "state": json.dumps(states)}
    row = sheet_row(study, block, media_url="../media", training=training)
    body = substitute(_fragment(study, "hosted", hosted), row)
    return _page(title=study.title, body=body, script=True, assets="../static")


def preview_page(study: Study, block: Block, *, media_url: str) -> str:
    """A page that opens from disk and shows at its end what would be sent."""
    body = substitute(_fragment(study, "preview"), sheet_row(study, block, media_url=media_url))
    return _page(title=study.title, body=body, script=True)


def message_page(title: str, paragraphs: Iterable[str], *, assets: str | None) -> str:
    """A page without a task, such as the one with the completion code.

    Args:
        title: heading, as text.
        paragraphs: HTML.
        assets: folder with the style sheet, or None to put it into the page.
    """
    return _page(
        title=title, paragraphs=[f"<h1>{html.escape(title)}</h1>", *paragraphs], script=False, assets=assets
    )


def qualifications(recruitment: Recruitment, *, sandbox: bool = False) -> list[dict[str, Any]]:
    """``QualificationRequirements`` of the platform's API.

    Raises:
        InputError: more countries than the API takes in one requirement.
    """
    found: list[dict[str, Any]] = []
    if recruitment.masters:
        found.append(
            {
                "QualificationTypeId": SANDBOX_MASTERS if sandbox else MASTERS,
                "Comparator": "Exists",
                "ActionsGuarded": "DiscoverPreviewAndAccept",
            }
        )
    for name, bound in ((APPROVAL, recruitment.minimum_approval), (TASKS_DONE, recruitment.minimum_tasks)):
        if bound is not None:
            found.append(
                {
                    "QualificationTypeId": name,
                    "Comparator": "GreaterThan",
                    "IntegerValues": [bound],
                    "ActionsGuarded": "Accept",
                }
            )
    if len(recruitment.countries) > MOST_COUNTRIES:
        raise InputError(
            f"the study names {len(recruitment.countries)} countries, the API takes {MOST_COUNTRIES}"
        )
    if recruitment.countries:
        found.append(
            {
                "QualificationTypeId": LOCALE,
                "Comparator": "In" if len(recruitment.countries) > 1 else "EqualTo",
                "LocaleValues": [{"Country": name} for name in recruitment.countries],
                "ActionsGuarded": "Accept",
            }
        )
    return found


def task(study: Study, *, sandbox: bool = False) -> dict[str, Any]:
    """Parameters of ``CreateHIT`` that all blocks of a study share; ``Question`` is each block's own."""
    return {
        "Title": study.title,
        "Description": "Play short recordings and answer questions about each.",
        "Keywords": "audio, listening, rating, survey",
        # The API takes a string without a sign, and refuses a number.
        "Reward": f"{study.recruitment.reward:.2f}",
        "MaxAssignments": study.recruitment.raters_per_item,
        "AssignmentDurationInSeconds": 60 * study.recruitment.minutes,
        "LifetimeInSeconds": 7 * DAY,
        "AutoApprovalDelayInSeconds": 3 * DAY,
        "QualificationRequirements": qualifications(study.recruitment, sandbox=sandbox),
    }


def write_sheets(
    study: Study,
    folder: Path,
    *,
    media_url: str,
    preview_media: str | None = None,
    names: Sequence[str] = (),
    sandbox: bool = False,
) -> list[Path]:
    """Write everything that a platform needs.

    Args:
        study: to be shown.
        folder: gets ``template.html`` and ``input.csv`` (for the platform's site and for Turkle),
            ``questions`` with one XML file a block, ``task.json`` and ``qualifications.json`` (for the API),
            and ``preview.html``, the first block to be opened from disk.
        media_url: https address of the folder with the media.
        preview_media: the folder with the media as ``preview.html`` should name it, relative to itself; or
            None to use ``media_url``.
        names: of systems, which must not occur in the template or the sheet.
        sandbox: use the platform's sandbox.

    Returns:
        The files.

    Raises:
        InputError: an address that raters' browsers would refuse, a question that is too large, or a template
            that breaks a rule of the platforms.
    """
    address = urlsplit(media_url)
    if address.scheme != "https" and address.hostname not in LOOPBACK:
        raise InputError(f"{media_url}: platforms show only media with an https address")
    if not study.blocks:
        raise InputError(f"study {study.id}: there is no block to show")
    columns, text = sheet_columns(study), template(study)
    rows = [sheet_row(study, block, media_url=media_url) for block in study.blocks]
    sheet = sheet_text(columns, rows)
    findings = lint_template(text, columns=columns, names=names)
    findings += [f"the sheet names the system {name}" for name in _named(sheet, names)]
    if findings:
        raise InputError(f"study {study.id}: {findings[0]}")
    files = {TEMPLATE: text, SHEET: sheet}
    for block in study.blocks:
        files[f"{QUESTION_FOLDER}/{block.id}.xml"] = api_question(
            study, block, media_url=media_url, sandbox=sandbox
        )
    files[TASK] = json.dumps(task(study, sandbox=sandbox), indent=1)
    files[QUALIFICATIONS] = json.dumps(qualifications(study.recruitment, sandbox=sandbox), indent=1)
    files[PREVIEW] = preview_page(study, study.blocks[0], media_url=preview_media or media_url)
    (folder / QUESTION_FOLDER).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8", newline="")
    return [folder / name for name in files]


def sheet_text(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """A sheet as CSV text: UTF-8, quoted where needed, lines that end as RFC 4180 says."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def lint_template(text: str, *, columns: Sequence[str], names: Sequence[str] = ()) -> list[str]:
    """What a platform would refuse or break in a fragment, and what would tell a rater a system.

    Args:
        text: the fragment.
        columns: of the sheet.
        names: of systems.

    Returns:
        One sentence for each finding; empty when there is none.
    """
    found = []
    size = len(text.encode())
    if size > LARGEST_QUESTION:
        found.append(f"the template has {size} bytes, platforms take {LARGEST_QUESTION}")
    parser = _Fragment()
    parser.feed(text)
    parser.close()
    variables = set(_VARIABLE.findall(parser.markup))
    found += [f"the variable {name} is no column of the sheet" for name in sorted(variables - set(columns))]
    found += [
        f"the column {name} is not used by the template"
        for name in dict.fromkeys(columns)
        if name not in variables
    ]
    if "${" in parser.code:
        found.append(
            "a script or style holds ${, which platforms replace; write it without template literals"
        )
    found += parser.findings
    if not parser.inputs:
        found.append("there is no input, select or textarea in the markup; platforms refuse such a template")
    found += [f"the template names the system {name}" for name in _named(text, names)]
    return found


class _Fragment(HTMLParser):
    """Walks through a fragment and notes what breaks a rule."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.findings: list[str] = []
        self.inputs = 0
        self.code = ""
        self.markup = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        line = self.getpos()[0]
        self.markup += self.get_starttag_text() or ""
        values = {name: value or "" for name, value in attrs}
        if tag in ("html", "head", "body", "form"):
            self.findings.append(
                f"line {line}: <{tag}> does not belong into a fragment, the platform adds it"
            )
        if tag == "button" and values.get("type", "").lower() != "button":
            self.findings.append(f'line {line}: a <button> without type="button" submits the form')
        self.inputs += tag in ("input", "select", "textarea")
        for name in _URL_ATTRIBUTES:
            if re.match(r"\s*(https?:)?//", values.get(name, ""), re.IGNORECASE):
                self.findings.append(f"line {line}: {values[name]} is loaded from another site")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            self.markup += data
            return
        self.code += data
        # Loaded by a script or a style; the addresses that forms may be sent to load nothing.
        for match in re.finditer(
            r"(?:https?:)?//[^\s\"')]+|@import[^;]*", re.sub(r"(?m)^\s*//.*$", "", data)
        ):
            if match[0] not in (f"https://{HOST}", f"https://{SANDBOX_HOST}"):
                self.findings.append(f"line {self.getpos()[0]}: {match[0]} is loaded from another site")


def _named(text: str, names: Sequence[str]) -> list[str]:
    """Systems whose names occur as words of a text."""
    return [name for name in names if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)]


def _places(study: Study) -> int:
    return max((len(block.items) for block in study.blocks), default=0)


def _fill(row: dict[str, str], item: Item, place: int, names: tuple[str, str], media_url: str) -> None:
    first, prefix = names
    row[numbered(first, place)] = item.id
    row[numbered(prefix + QUESTIONS, place)] = " ".join(item.questions)
    for stimulus in item.stimuli:
        row[numbered(prefix + stimulus.role, place)] = f"{media_url.rstrip('/')}/{quote(stimulus.file)}"


def _fragment(study: Study, mode: Mode, hosted: Mapping[str, str] | None = None) -> str:
    roles = roles_of(study)
    facts = {
        "id": study.id,
        "modality": study.modality,
        "share": study.rules.minimum_played,
        "roles": {role: ROLE_TITLES[role] for role in roles},
        "questions": {
            question.name: {
                "text": question.text,
                "answers": [[answer.value, answer.word] for answer in question.answers],
            }
            for question in study.questions
        },
    }
    return (
        _environment()
        .get_template("fragment.html.j2")
        .render(
            study=study,
            mode=mode,
            hosted=hosted or {},
            facts=_script_json(facts),
            places=list(_place_attributes(study, roles)),
            keys=max(len(question.answers) for question in study.questions),
            reward=f"${study.recruitment.reward:.2f}" if study.recruitment.reward > 0 else "",
            minutes=f"{study.recruitment.minutes} minutes",
        )
    )


def _place_attributes(study: Study, roles: Sequence[Role]) -> Iterator[list[tuple[str, str]]]:
    """Data attributes of every place and the variables that fill them, training first."""
    for place in range(len(study.training)):
        names = [(name, f"${{{numbered(TRAINING + name, place)}}}") for name in (QUESTIONS, *roles)]
        yield [(TRAINING, "1"), (ITEM, f"${{{numbered(TRAINING, place)}}}"), *names]
    for place in range(_places(study)):
        yield [(name, f"${{{numbered(name, place)}}}") for name in (ITEM, QUESTIONS, *roles)]


def _page(
    *,
    title: str,
    script: bool,
    body: str | None = None,
    paragraphs: Sequence[str] = (),
    action: str = "",
    assets: str | None = None,
) -> str:
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            body=body,
            paragraphs=paragraphs,
            action=action,
            assets=assets,
            script=script,
            css=_slim(page_asset("page.css")) if assets is None else "",
            js=_slim(page_asset("page.js")) if assets is None and script else "",
        )
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # Escaping is done by the filter, because a dollar sign of the study's text must not become a variable.
    environment = Environment(
        loader=PackageLoader("doppelbench.listening", "rater_page"),
        undefined=StrictUndefined,
        autoescape=False,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda value: html.escape(str(value)).replace("$", "&#36;")
    return environment


def _script_json(value: object) -> str:
    """JSON for the inside of a script element: nothing that ends the element, or is a variable."""
    text = json.dumps(value, ensure_ascii=False)
    for sign in "<>&$":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _slim(text: str) -> str:
    """Drop indentation and whole-line comments; the API counts every byte."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))
