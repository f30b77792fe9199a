"""Detection runs on films: the audit names what tells fakes from natural films without a look at the face."""

from pathlib import Path

import pytest
from film_clips import blurred, natural, write_film

from doppelbench.benchmark.detection_folder import read_record
from doppelbench.benchmark.detection_recipe import DetectionRecipe, DetectorChoice
from doppelbench.benchmark.detection_run import execute

FILMS = 6


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    rows = ["path,label,attack,speaker,source_speaker,text"]
    for voice in range(2):
        for number in range(FILMS):
            film = natural(10 * voice + number)
            for label, attack, made in (("bonafide", "", film), ("spoof", "blurring", blurred(film))):
                clip = write_film(folder / f"{voice}-{number}{attack}.mkv", made)
                rows.append(f"{Path(clip.video).name},{label},{attack},v{voice},cleo,sentence {number}")
    (folder / "films.csv").write_text("\n".join(rows))
    recipe = DetectionRecipe(
        tables=(folder / "films.csv",),
        detectors=(DetectorChoice(name="sharpness-only", preset="tiny"),),
        draws=20,
        device="cpu",
        jobs=1,
    )
    execute(recipe, folder / "run")
    return read_record(folder / "run")


def test_sharpness_alone_is_flagged(record):
    flagged = {row["feature"] for row in record["audit"] if row["flagged"]}
    assert "sharpness" in flagged
    assert not flagged & {"width", "height", "fps", "frames", "duration"}


def test_the_warning_comes_before_the_figures(record):
    (warning,) = [found for found in record["findings"] if found["where"].startswith("audit")]
    assert warning["severity"] == "warning"
    assert "sharpness" in warning["message"]


def test_films_are_judged_as_they_came(record):
    assert {row["stage"] for row in record["audit"]} == {"raw"}
