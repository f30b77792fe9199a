"""JSON of strangers: bounded, UTF-8, no key twice, no number that is not finite, no hidden characters."""

import json
import math
from typing import Any, NoReturn

from doppelbench.corpora.errors import InputError
from doppelbench.leaderboards.submission_findings import is_plain, printable

LARGEST = 1 << 18
DEEPEST = 16
# Within a text these two are harmless.
BREAKS = "\n\t"


def read_strict_json(content: bytes, name: str) -> Any:
    """Parse a whole JSON file.

    Args:
        content: bytes of the file, with or without a byte-order mark.
        name: of the file, for messages.

    Raises:
        InputError: too large, not UTF-8, not JSON, nested too deeply, a key twice, NaN or infinity, or text
            with control characters.
    """
    if len(content) > LARGEST:
        raise InputError(f"{name}: {len(content)} bytes, more than {LARGEST}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not a UTF-8 text file ({error.reason} at byte {error.start})") from None

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise InputError(f"{name}: the key {printable(twice)} stands twice")
        return dict(pairs)

    def refuse(word: str) -> NoReturn:
        raise InputError(f"{name}: {word} is no number that JSON knows")

    def finite(digits: str) -> float:
        number = float(digits)
        if not math.isfinite(number):
            raise InputError(f"{name}: the number {printable(digits, 20)} is too large")
        return number

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except json.JSONDecodeError as error:
        raise InputError(f"{name}, line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise InputError(f"{name}: nested more than {DEEPEST} deep") from None
    except ValueError:
        # Of more digits than Python turns into an integer.
        raise InputError(f"{name}: it holds a number that is too large") from None
    _check_texts(value, name)
    return value


def _check_texts(value: Any, name: str) -> None:
    waiting = [(value, 1)]
    while waiting:
        part, depth = waiting.pop()
        if depth > DEEPEST:
            raise InputError(f"{name}: nested more than {DEEPEST} deep")
        if isinstance(part, dict):
            waiting += [(key, depth) for key in part] + [(inner, depth + 1) for inner in part.values()]
        elif isinstance(part, list):
            waiting += [(inner, depth + 1) for inner in part]
        elif isinstance(part, str):
            hidden = next((sign for sign in part if sign not in BREAKS and not is_plain(sign)), None)
            if hidden is not None:
                raise InputError(f"{name}: a text holds the hidden character U+{ord(hidden):04X}")
