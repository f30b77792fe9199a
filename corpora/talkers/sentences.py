"""What the talkers say: the command sentences of the GRID corpus, and free English sentences.

GRID's grammar (Cooke et al., "An audio-visual corpus for speech perception and automatic speech recognition",
JASA 120(5), 2006) is ``<command> <colour> <preposition> <letter> <digit> <adverb>``; the letter w is left
out, being the only one of more than one syllable. Free sentences come from frames with slots, so that there
are as many as anybody asks for.
"""

import random
from collections.abc import Iterator, Sequence

GRID: tuple[tuple[str, ...], ...] = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple("abcdefghijklmnopqrstuvxyz"),
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("again", "now", "please", "soon"),
)

_SUBJECTS = (
    "the baker", "my cousin", "our neighbour", "a young pilot", "the old judge", "her father", "the choir",
    "a tired nurse", "the new teacher", "his brother", "the farmer", "a quiet boy", "the mayor", "one sailor",
    "the watchmaker", "every guest", "their uncle", "the gardener", "a clever girl", "the whole team",
)  # fmt: skip
_VERBS = (
    "carried", "forgot", "borrowed", "painted", "described", "photographed", "dropped", "repaired", "noticed",
    "measured", "sold", "brought back", "gave away", "washed", "searched for", "hid", "found", "wanted",
)  # fmt: skip
_OBJECTS = (
    "the wooden box", "a yellow umbrella", "three heavy books", "the broken chair", "some fresh cheese",
    "a pair of gloves", "the silver watch", "two large maps", "the kitchen table", "an empty bottle",
    "a jar of honey", "the garden hose", "several letters", "the blue bicycle", "a thick rope",
    "the spare key", "a bag of onions", "the green vase", "an old piano", "half of the money",
)  # fmt: skip
_PLACES = (
    "near the station", "behind the church", "on the bridge", "under the stairs", "at the harbour",
    "in the valley", "beside the lake", "across the road", "outside the theatre", "on the top shelf",
    "in front of the bank", "by the open window", "at the end of the lane", "in a small village",
)  # fmt: skip
_TIMES = (
    "yesterday", "on thursday", "before lunch", "after the storm", "every morning", "late at night",
    "last winter", "without a word", "for the third time", "during the concert", "in a hurry",
)  # fmt: skip
_STATES = (
    "was colder than usual", "looked rather strange", "smelled of smoke", "is worth a visit",
    "seemed far too small", "was covered with snow", "shook in the wind", "had been closed for years",
    "is easy to miss", "sounded quite different", "was full of people", "needs a coat of paint",
)  # fmt: skip
_THINGS = (
    "the valley", "this bridge", "the village hall", "our garage", "the ferry", "that old mill", "the market",
    "the northern beach", "her workshop", "the museum", "the youth club", "his boat",
)  # fmt: skip
_QUESTIONS = ("why have you", "how could they have", "who else has", "when should we have", "has anyone")
_PARTICIPLES = ("moved", "measured", "chosen", "thrown away", "opened", "washed", "followed", "touched")

_FRAMES: tuple[tuple[Sequence[str] | str, ...], ...] = (
    (_SUBJECTS, _VERBS, _OBJECTS, _PLACES),
    (_SUBJECTS, _VERBS, _OBJECTS, _TIMES),
    (_THINGS, _STATES),
    (_THINGS, _PLACES, _STATES),
    (_QUESTIONS, _PARTICIPLES, _OBJECTS),
    ("i think", _SUBJECTS, _VERBS, _OBJECTS),
    (_TIMES, _THINGS, _STATES),
    ("please leave", _OBJECTS, _PLACES),
    ("we heard that", _SUBJECTS, _VERBS, _OBJECTS, _TIMES),
    ("there is", ("a fox", "a judge", "a huge puddle", "a choir", "a small shop", "some ice"), _PLACES),
)


def balanced_grid_sentences(count: int, seed: str) -> list[str]:
    """Return ``count`` different GRID sentences in which the words of each slot are used equally often."""
    generator = random.Random(seed)
    columns = []
    for words in GRID:
        column: list[str] = []
        while len(column) < count:
            column += generator.sample(words, len(words))
        columns.append(column[:count])
    sentences = [" ".join(words) for words in zip(*columns, strict=True)]
    if len(set(sentences)) < count:
        return balanced_grid_sentences(count, seed + "'")
    return sentences


def _grid_sentence(generator: random.Random) -> str:
    return " ".join(generator.choice(words) for words in GRID)


def _free_sentence(generator: random.Random) -> str:
    frame = generator.choice(_FRAMES)
    return " ".join(slot if isinstance(slot, str) else generator.choice(slot) for slot in frame)


def training_sentences(seed: str, exclude: Sequence[str]) -> Iterator[str]:
    """Yield different sentences without end, GRID and free ones in turn, none of which is in ``exclude``."""
    generator = random.Random(seed)
    used = set(exclude)
    draw = (_grid_sentence, _free_sentence)
    turn = 0
    while True:
        sentence = draw[turn % 2](generator)
        if sentence not in used:
            used.add(sentence)
            turn += 1
            yield sentence


def spoken_form(sentence: str) -> str:
    """Return the text given to espeak-ng: a lone ``a`` of GRID's letter slot as phonemes, a question mark."""
    words = sentence.split()
    is_grid = len(words) == len(GRID) and all(word in slot for word, slot in zip(words, GRID, strict=True))
    if is_grid and words[3] == "a":
        # Otherwise espeak-ng reads the article.
        words[3] = "[['eI]]"
    end = "?" if sentence.startswith(_QUESTIONS) else "."
    return " ".join(words) + end
