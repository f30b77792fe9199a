"""The instructions that lie in an empty submission."""

from collections.abc import Mapping

from doppelbench.leaderboards.submission_manifest import FIELD_HELP
from doppelbench.leaderboards.submission_trials import TrialSheet

SOUND_SCRIPT = """\
import csv
import soundfile

def convert(samples, rate, target):  # your system; this one changes nothing
    return samples

for trial in csv.DictReader(open("trials.csv", encoding="utf-8")):
    samples, rate = soundfile.read(trial["input"])
    soundfile.write(trial["output"], convert(samples, rate, trial["target"]), rate)
"""
COLUMN_HELP = {
    "trial": "names the trial",
    "source": "clip of the corpus whose words are said, that drives the face, or whose lips are read",
    "input": "file with the source; empty unless the folder was made with `--inputs`",
    "target": "who is to be heard or seen; recordings of them lie in `inputs/enrolment/<target>`",
    "text_allowed": "whether the words of the source may be used",
    "output": "file that you write",
    "seconds": "how long it should be, that is, as long as the source",
    "fps": "frames per second of a film",
    "size": "its height and width in pixels",
}


def instructions(sheet: TrialSheet, recipe: str, task: str, *, inputs: bool) -> str:
    """Return README.md of an empty submission.

    Args:
        sheet: its trials.
        recipe: they are of.
        task: one line that says what is to be made.
        inputs: whether the media lie in the folder.
    """
    film = sheet.media == "video"
    first = sheet.rows[0]
    outputs = (
        f"Each output is a Matroska film: FFV1 without loss, {first.size} x {first.size} pixels, "
        f"{first.fps:g} frames a second, the speech as FLAC."
        if film
        else "Each output is a FLAC file: one channel, 16 bits, 16000 to 48000 samples a second."
    )
    media = (
        "`inputs/sources` holds what is to be answered, `inputs/enrolment` recordings of the targets. Train "
        "on the latter as you like; say in `submission.json` what else your system has heard."
        if inputs
        else "The media are those of the recipe's corpus; `doppelbench submit init "
        f"{recipe} --inputs --out DIR` writes them as plain files."
    )
    parts = [
        f"# A submission for the recipe {recipe}",
        f"{task}. {len(sheet.rows)} trials.",
        "1. Write one file for every line of `trials.csv`, under the name in its column `output`.\n"
        "2. Fill in `submission.json`.\n"
        "3. Check, pack, and send the archive:",
        f"```sh\ndoppelbench submit check . --recipe {recipe}\n"
        "doppelbench submit pack . --out ../my-system.zip\n```",
        "## Outputs",
        f"{outputs} A trial that your system cannot answer is left out: it then counts as missing, which is "
        "fairer to you than noise.",
        media,
    ]
    if first.input.endswith(".flac") and not film:
        parts += ["Nothing but the package soundfile is needed:", f"```python\n{SOUND_SCRIPT}```"]
    parts += [
        "## trials.csv",
        _table("column", COLUMN_HELP),
        "## submission.json",
        _table("field", FIELD_HELP),
    ]
    return "\n\n".join(parts) + "\n"


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {title} | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {text} |" for name, text in rows.items()]
    return "\n".join(lines)
