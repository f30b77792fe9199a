"""Fetches the weights that a recogniser needs, and keeps them only with the SHA-256 that was published."""

import difflib
import urllib.error
import urllib.request
from pathlib import Path

from doppelbench.benchmark.config import ConfigError
from doppelbench.corpora.errors import DependencyError
from doppelbench.corpora.media import sha256_of
from doppelbench.engine.files import replacing

BLOCK = 1 << 20


def prefetch(name: str) -> Path:
    """Fetch weights by the name that a recipe uses, such as ``whisper:small``; what is there already is kept.

    Returns:
        Path of the checked file.

    Raises:
        ConfigError: nothing is to be fetched under this name.
        DependencyError: openai-whisper is not installed, there is no network, or the content is another one.
    """
    kind, _, size = name.partition(":")
    if kind != "whisper":
        raise ConfigError(f"nothing to fetch for {name!r}; known: whisper:<size>")
    try:
        import whisper
    except ImportError:
        raise DependencyError("openai-whisper is not installed; pip install 'doppelbench[whisper]'") from None
    from doppelbench.metrics.recognizers import whisper_cache

    if size not in whisper._MODELS:
        near = difflib.get_close_matches(size, whisper.available_models(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(whisper.available_models())}"
        raise ConfigError(f"whisper has no size {size!r}; {hint}")
    url = whisper._MODELS[size]
    # The publisher writes the SHA-256 of a checkpoint into its address.
    return fetch(url, url.split("/")[-2], whisper_cache() / f"{size}.pt")


def fetch(url: str, sha256: str, path: Path) -> Path:
    """Fetch a file, check it, and put it in its place as a whole.

    Raises:
        DependencyError: no network, or the content has another hash; nothing is left behind.
    """
    if path.is_file() and sha256_of(path) == sha256:
        return path
    with replacing(path) as part:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, part.open("wb") as file:
                while block := answer.read(BLOCK):
                    file.write(block)
        except (urllib.error.URLError, TimeoutError) as error:
            raise DependencyError(f"{url} cannot be fetched ({error}); copy the file to {path}") from None
        found = sha256_of(part)
        if found != sha256:
            raise DependencyError(f"{url}: the SHA-256 is {found} instead of {sha256}; the file was not kept")
    return path
