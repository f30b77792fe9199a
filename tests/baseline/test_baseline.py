"""The suite is gated by itself: a small run must give the stored figures, and a planted bug must not."""

import json
import shutil
from pathlib import Path

import pytest
from planted_bugs import BUGS, planted
from small_run import make_run
from stored_baseline import CHANGES, FIGURES, HERE, OWN, RULES, digest, judge, named_digest, own_change


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("baseline") / "run")


@pytest.fixture
def copied(tmp_path) -> Path:
    """The files of the baseline, to be changed."""
    folder = tmp_path / "stored"
    folder.mkdir()
    for name in (FIGURES, RULES, "recipe.yaml", CHANGES):
        shutil.copy(HERE / name, folder)
    return folder


def test_the_figures_of_the_suite_are_those_that_are_stored(small):
    checks, said = judge(small)
    assert not said, "\n".join([*said, OWN])
    assert {check.basis for check in checks} == {"figures"}
    assert len(checks) > 60


def test_nobody_changed_the_baseline_without_a_reason():
    assert named_digest() == digest(), (
        "figures.json, rules.yaml or recipe.yaml of tests/baseline is not what the last line of CHANGES.md "
        f"names. {OWN}"
    )


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_seen(small, tmp_path, bug):
    broken = Path(shutil.copytree(small, tmp_path / "run"))
    for system in BUGS[bug]:
        shutil.rmtree(broken / "outputs" / system)
    if not BUGS[bug]:
        # A score is kept while its inputs and its signature stay; a mistake in a metric changes neither.
        for name in ("items.parquet", "timings.parquet"):
            (broken / name).unlink()
    with planted(bug):
        make_run(broken)
    _, said = judge(broken)
    assert said
    touched = BUGS[bug] or ("mcd",)
    assert all(any(name in sentence for name in touched) for sentence in said)
    assert any("and is" in sentence and "tolerance" in sentence for sentence in said)


@pytest.mark.parametrize("name", [FIGURES, RULES, "recipe.yaml"])
def test_an_edit_without_a_reason_does_not_fit_the_hash(copied, name):
    assert digest(copied) == named_digest(copied)
    path = copied / name
    if name == FIGURES:
        content = json.loads(path.read_text())
        content["systems"][0]["figures"][0]["value"] = 12.0
        path.write_text(json.dumps(content))
    else:
        path.write_text(path.read_text().replace("50", "60").replace("200", "201"))
    assert digest(copied) != named_digest(copied)


def test_a_change_is_owned_with_a_reason_that_is_kept(small, copied):
    with pytest.raises(ValueError, match="nothing to own"):
        own_change(small, "no reason at all is needed here", copied)
    content = json.loads((copied / FIGURES).read_text())
    [figure] = [
        figure
        for system in content["systems"]
        for figure in system["figures"]
        if (system["key"], figure["metric"]) == ("natural", "secs")
    ]
    figure.update(value=0.5, low=0.4, high=0.6)
    (copied / FIGURES).write_text(json.dumps(content))
    _, said = judge(small, copied)
    assert len(said) == 1
    assert said[0].startswith("secs of natural was 0.500 and is 1.000: better by 0.5 (tolerance 0.001")
    with pytest.raises(ValueError, match="say why"):
        own_change(small, " ", copied)
    line = own_change(small, "the reference | was scaled wrongly", copied)
    assert "the reference / was scaled wrongly" in line
    assert "natural secs 0.500 → 1.000" in line
    assert (copied / CHANGES).read_text().endswith(line)
    assert digest(copied) == named_digest(copied)
    assert judge(small, copied)[1] == []
