"""The static site of boards: opens from disk, needs no network, and says everything without a script.

An index; a page for each board with its table, the plot of quality against cost and, where a run's outputs
were at hand, players; a page for each system with its history on every board; the published figures on a
page of their own. The script sorts and filters and does nothing else. Texts of results are escaped, and a
policy in every page forbids scripts that are not the site's.
"""

import hashlib
import html
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.board import (
    Board,
    Boards,
    Column,
    Row,
    arrow,
    board_csv,
    board_markdown,
    format_number,
    rank_text,
    seconds_text,
)
from doppelbench.leaderboards.published_figures import find_published, published_keys
from doppelbench.leaderboards.result import StoredResult, slug

ALL = "boards.json"
FOLDERS = ("boards", "systems", "data", "media", "assets")
FILES = (ALL, "index.html", "published.html")
ASSETS = ("board.css", "board.js")
# Columns of cost: the field, its head, and the filter that words it.
COSTS = (
    ("training_seconds", "training", "seconds"),
    ("synthesis_seconds", "synthesis", "seconds"),
    ("peak_memory", "memory", "memory"),
    ("parameters", "parameters", "count"),
)
LABELLED_POINTS = 24
# Sizes of the plot, in units of its own; it scales with the page.
WIDTH, HEIGHT = 720.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 24.0, 18.0, 52.0
LETTER = 6.6
SUFFIXES = {".mp4": "video", ".flac": "audio", ".wav": "audio"}


@dataclass(frozen=True, slots=True)
class Player:
    """One output to hear or see, by its place in the site."""

    system: str
    kind: str
    file: str


@dataclass(frozen=True, slots=True)
class Standing:
    """A system on one board."""

    board: Board
    row: Row


def write_site(boards: Sequence[Board], out: Path, *, results: Sequence[StoredResult] = ()) -> list[Path]:
    """Write the site.

    Args:
        boards: in the order of the index.
        out: the folder; a site that is there is replaced.
        results: what the boards were made of, whose examples are copied.

    Returns:
        The pages and data files that were written.

    Raises:
        InputError: the folder holds something that is no site.
    """
    _clear(out)
    written: list[Path] = []

    def write(name: str, text: str) -> None:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        written.append(path)

    render = _renderer()
    for name in ASSETS:
        write(f"assets/{name}", _page_file(name))
    standings = _standings(boards)
    pages = {key: f"systems/{slug('-'.join(key))}.html" for key in standings}
    examples = {stored.id: stored.examples for stored in results}
    for board in boards:
        places = {row.id: "../" + pages[board.track, row.system.key] for row in board.rows}
        players = _copy_examples(board, examples, out)
        write(
            f"boards/{board.id}.html",
            render(
                "board.html.j2",
                title=board.title,
                up="../",
                board=board,
                pages=places,
                plot=cost_plot(board),
                players=players,
                published=[key for key in board.published if _is_published(key)],
                costs=[
                    cost for cost in COSTS if any(getattr(row.system.cost, cost[0]) for row in board.rows)
                ],
                presets=sorted({row.system.preset for row in board.rows if row.system.preset}),
                titles={other.id: other.title for other in boards},
            ),
        )
        write(f"data/{board.id}.json", board.as_json())
        write(f"data/{board.id}.csv", board_csv(board))
        write(f"data/{board.id}.md", board_markdown(board))
    for key, own in standings.items():
        write(
            pages[key],
            render("system.html.j2", title=key[1], up="../", key=key[1], track=key[0], standings=own),
        )
    tables = [table for key in published_keys() for table in find_published(key)]
    write("published.html", render("published.html.j2", title="Published figures", up="", tables=tables))
    write("index.html", render("index.html.j2", title="Boards", up="", boards=boards))
    write(ALL, Boards(schema=1, boards=tuple(boards)).as_json())
    return written


def cost_plot(board: Board) -> str:
    """Quality against cost as an SVG image; empty where no system's training time is known.

    The points are the competing systems, with their intervals; the dashed lines are reference rows. The label
    of the image says what it shows, and the figures stand in the table.
    """
    head = board.head
    points = [
        (row, figure, row.system.cost.training_seconds)
        for row in board.rows
        if row.section != "reference"
        and row.system.cost.training_seconds
        and (figure := row.figure(head.id)) is not None
        and figure.value is not None
    ]
    if not points:
        return ""
    lines = [
        (row, figure.value)
        for row in board.rows
        if row.section == "reference"
        and (figure := row.figure(head.id)) is not None
        and figure.value is not None
    ]
    bounds = [bound for _, figure, _ in points for bound in (figure.low, figure.high, figure.value)]
    shown = [float(bound) for bound in bounds if bound is not None] + [float(value) for _, value in lines]
    low, high = min(shown), max(shown)
    margin = 0.06 * (high - low) or 1.0
    low, high = low - margin, high + margin
    logs = [math.log10(seconds) for _, _, seconds in points if seconds]
    first, last = min(logs), max(logs)
    room = max(0.15, 0.12 * (last - first))
    first, last = first - room, last + room

    def x(seconds: float) -> float:
        return LEFT + (math.log10(seconds) - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (high - value) / (high - low) * (HEIGHT - TOP - BOTTOM)

    unit = f", {head.unit}" if head.unit else ""
    label = (
        f"{head.name} against training time of {len(points)} systems; "
        f"{head.direction} is better. The figures are in the table."
    )
    parts = [
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{html.escape(label, quote=True)}">'
    ]
    for tick in _ticks(low, high):
        parts.append(
            f'<line class="grid" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
            f'<text x="{LEFT - 8:g}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    for seconds in _time_ticks(10**first, 10**last):
        parts.append(
            f'<line class="grid" y1="{TOP:g}" y2="{HEIGHT - BOTTOM:g}" x1="{x(seconds):.1f}" '
            f'x2="{x(seconds):.1f}"/>'
            f'<text x="{x(seconds):.1f}" y="{HEIGHT - BOTTOM + 18:g}" text-anchor="middle">'
            f"{seconds_text(seconds)}</text>"
        )
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 10:g}" text-anchor="middle">training time, '
        "all models of the system (logarithmic)</text>"
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:g}) rotate(-90)" text-anchor="middle">'
        f"{html.escape(head.name + unit)} {arrow(head)}</text>"
    )
    taken: list[tuple[float, float, float, float]] = []
    for row, value in lines:
        parts.append(
            f'<line class="reference" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{y(value):.1f}" '
            f'y2="{y(value):.1f}"><title>{html.escape(row.system.key)}</title></line>'
        )
        # Rows that lie on one another are named once; the table has them all.
        place = _free(
            WIDTH - RIGHT - LETTER * len(row.system.key), y(value) - 4, row.system.key, taken, (0.0,)
        )
        if place:
            parts.append(_label(*place, row.system.key, "reference"))
    for _, figure, seconds in points:
        assert seconds is not None
        assert figure.value is not None
        cx, cy = x(seconds), y(figure.value)
        taken.append((cx - 6, cy - 6, cx + 6, cy + 6))
    for row, figure, seconds in points:
        assert seconds is not None
        assert figure.value is not None
        cx, cy = x(seconds), y(figure.value)
        if figure.low is not None and figure.high is not None:
            parts.append(
                f'<line class="bar" x1="{cx:.1f}" x2="{cx:.1f}" y1="{y(figure.low):.1f}" '
                f'y2="{y(figure.high):.1f}"/>'
            )
        kind = "point" if row.section == "ranked" else "point incomplete"
        said = f"{row.id}: {format_number(figure.value, head.unit)}, {seconds_text(seconds)}"
        parts.append(
            f'<circle class="{kind}" cx="{cx:.1f}" cy="{cy:.1f}" r="4.5"><title>{html.escape(said)}</title>'
            "</circle>"
        )
        if len(points) <= LABELLED_POINTS:
            text = row.system.key
            right = cx + 9 + LETTER * len(text) < WIDTH - RIGHT
            start = cx + 9 if right else cx - 9 - LETTER * len(text)
            place = _free(start, cy + 4, text, taken, (0.0, -13.0, 13.0, -26.0, 26.0))
            if place:
                parts.append(_label(*place, text, "name"))
    parts.append("</svg>")
    return "".join(parts)


def _free(
    left: float,
    base: float,
    text: str,
    taken: list[tuple[float, float, float, float]],
    shifts: Sequence[float],
) -> tuple[float, float] | None:
    """The first place for a text that covers nothing, and note it; None when there is none."""
    for shift in shifts:
        box = (left, base + shift - 11, left + LETTER * len(text), base + shift + 2)
        inside = box[1] > 0 and box[3] < HEIGHT - BOTTOM
        if inside and not any(
            box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
            for other in taken
        ):
            taken.append(box)
            return left, base + shift
    return None


def _label(left: float, base: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{left:.1f}" y="{base:.1f}">{html.escape(text)}</text>'


def _ticks(low: float, high: float) -> list[float]:
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next((factor for factor in (1, 2, 5) if (high - low) / (step * factor) <= 6), 10)
    first = math.ceil(low / step)
    return [round(step * number, 10) for number in range(first, math.floor(high / step) + 1)]


def _time_ticks(first: float, last: float) -> list[float]:
    """Seconds, minutes, hours and days that people count in."""
    steps = [1, 2, 5, 10, 20, 60, 120, 300, 600, 1200, 3600, 7200, 18000, 36000, 86400, 172800, 432000]
    steps += [864000, 1728000, 4320000]
    inside = [float(step) for step in steps if first <= step <= last]
    every = max(1, math.ceil(len(inside) / 7))
    return inside[::every]


def _standings(boards: Sequence[Board]) -> dict[tuple[str, str], list[Standing]]:
    found: dict[tuple[str, str], list[Standing]] = {}
    for board in boards:
        for row in board.rows:
            found.setdefault((board.track, row.system.key), []).append(Standing(board, row))
    return dict(sorted(found.items()))


def _copy_examples(
    board: Board, examples: Mapping[str, Mapping[str, Sequence[tuple[str, Path]]]], out: Path
) -> list[tuple[str, list[Player]]]:
    """Copy the examples of the ranked results; players by trial."""
    trials: dict[str, list[Player]] = {}
    for row in board.rows:
        for trial, path in examples.get(row.result, {}).get(row.system.key, ()):
            kind = SUFFIXES.get(path.suffix)
            if kind is None:
                continue
            content = path.read_bytes()
            name = f"media/{hashlib.sha256(content).hexdigest()[:16]}{path.suffix}"
            (out / "media").mkdir(exist_ok=True)
            (out / name).write_bytes(content)
            trials.setdefault(trial, []).append(Player(row.system.key, kind, name))
    return sorted(trials.items())


def _renderer() -> Any:
    from jinja2 import DictLoader, Environment, StrictUndefined

    names = ("base.html.j2", "index.html.j2", "board.html.j2", "system.html.j2", "published.html.j2")
    environment = Environment(
        loader=DictLoader({name: _page_file(name) for name in names}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = format_number
    environment.filters["seconds"] = seconds_text
    environment.filters["rank"] = rank_text
    environment.filters["arrow"] = arrow
    environment.filters["cost"] = lambda value, kind: environment.filters[kind](value)
    environment.filters["memory"] = _memory
    environment.filters["count"] = _count
    environment.filters["share"] = _share
    environment.filters["day"] = lambda stamp: str(stamp)[:10]
    environment.globals["column_of"] = _column_of

    def render(name: str, **values: Any) -> str:
        return str(environment.get_template(name).render(**values)).strip() + "\n"

    return render


def _column_of(board: Board, identity: str) -> Column:
    return next(column for column in board.columns if column.id == identity)


def _memory(size: int | None) -> str:
    if size is None:
        return "–"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _count(count: int | None) -> str:
    if count is None:
        return "–"
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count:,}"


def _share(share: float) -> str:
    """Per cent rounded down, so that only what is complete reads 100 %."""
    return f"{math.floor(100 * share)} %"


def _is_published(key: str) -> bool:
    return any(known == key or known[:-1] == key for known in published_keys())


def _page_file(name: str) -> str:
    return (resources.files("doppelbench.leaderboards") / "pages" / name).read_text(encoding="utf-8")


def _clear(out: Path) -> None:
    """Take away an older site and nothing else."""
    if out.is_file():
        raise InputError(f"{out} is a file; name a folder for the site")
    if out.is_dir() and any(out.iterdir()) and not (out / ALL).is_file():
        raise InputError(f"{out} holds files but no {ALL}, so it is no site; name another folder")
    for name in FOLDERS:
        if (out / name).is_symlink():
            raise InputError(f"{out / name} is a link; name another folder for the site")
        shutil.rmtree(out / name, ignore_errors=True)
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
