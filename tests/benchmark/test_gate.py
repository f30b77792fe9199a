"""A gate fails on what is worse beyond tolerance and chance, on what is missing, and on nothing else."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from command_line import cli, complaint
from stored_runs import STOI, WER, write_run

from doppelbench.benchmark.compare import without_trained_parts
from doppelbench.benchmark.config import ConfigError
from doppelbench.benchmark.gate import annotations, gate, load_rules, write_junit
from doppelbench.corpora.errors import InputError

N = 48


@pytest.fixture(scope="module")
def stoi():
    return np.random.default_rng(0).uniform(0.5, 0.9, N)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(1).normal(0, 0.01, N)


@pytest.fixture(scope="module")
def base(tmp_path_factory, stoi):
    return write_run(tmp_path_factory.mktemp("base") / "base", {("a", "stoi"): stoi})


def rules_of(folder, text):
    path = folder / "gate.yaml"
    path.write_text(text, encoding="utf-8")
    return load_rules(path)


def verdicts(checks):
    return [check.verdict for check in checks]


def test_a_real_loss_fails_and_noise_passes_by_default(tmp_path, base, stoi, noise):
    worse = write_run(tmp_path / "worse", {("a", "stoi"): stoi + noise - 0.05})
    (check,) = gate(worse, base, load_rules(None))
    assert check.verdict == "fail"
    assert re.search(r"worse by 0\.0\d+ \(tolerance 0, adjusted p 0\.0001\)", check.reasons[0])
    # As far down as the noise itself reaches.
    noisy = write_run(tmp_path / "noisy", {("a", "stoi"): stoi + noise - noise.mean() - 0.001})
    (check,) = gate(noisy, base, load_rules(None))
    assert check.verdict == "warn"
    assert "worse by 0.001" in check.reasons[0]
    better = write_run(tmp_path / "better", {("a", "stoi"): stoi + 0.05})
    assert verdicts(gate(better, base, load_rules(None))) == ["pass"]
    assert verdicts(gate(base, base, load_rules(None))) == ["pass"]


@pytest.mark.parametrize(
    ("tolerance", "verdict"), [("0.049", "fail"), ("0.05", "warn"), ("9%", "warn"), ("5%", "fail")]
)
def test_a_tolerance_is_absolute_or_relative_and_its_limit_passes(tmp_path, tolerance, verdict):
    base = write_run(tmp_path / "base", {("a", "stoi"): np.linspace(0.5, 0.7, 20)})
    worse = write_run(tmp_path / "worse", {("a", "stoi"): np.linspace(0.45, 0.65, 20)})
    rules = rules_of(tmp_path, f"rules: [{{metric: stoi, tolerance: {tolerance}}}]")
    assert verdicts(gate(worse, base, rules)) == [verdict]


def test_rounding_does_not_break_a_tolerance_that_is_just_met(tmp_path):
    # 0.8 - 0.7 is 0.10000000000000009.
    base = write_run(tmp_path / "base", {("a", "stoi"): [0.8, 0.8]})
    worse = write_run(tmp_path / "worse", {("a", "stoi"): [0.7, 0.7]})
    rules = rules_of(tmp_path, "rules: [{tolerance: 0.1, significance: null}]")
    assert verdicts(gate(worse, base, rules)) == ["warn"]


def test_direction_of_the_metric_decides_what_is_worse(tmp_path):
    values = np.random.default_rng(2).uniform(5, 8, 20)
    base = write_run(tmp_path / "base", {("a", "mcd"): values})
    higher = write_run(tmp_path / "higher", {("a", "mcd"): values + 1})
    lower = write_run(tmp_path / "lower", {("a", "mcd"): values - 1})
    assert verdicts(gate(higher, base, load_rules(None))) == ["fail"]
    assert verdicts(gate(lower, base, load_rules(None))) == ["pass"]


def test_without_significance_the_tolerance_alone_decides(tmp_path, base, stoi, noise):
    noisy = write_run(tmp_path / "noisy", {("a", "stoi"): stoi + noise - noise.mean() - 0.001})
    rules = rules_of(tmp_path, "rules: [{metric: stoi, significance: null}]")
    (check,) = gate(noisy, base, rules)
    assert check.verdict == "fail"
    assert "adjusted p" not in check.reasons[0]
    rules = rules_of(tmp_path, "rules: [{metric: stoi, significance: null, tolerance: 0.002}]")
    assert verdicts(gate(noisy, base, rules)) == ["warn"]


def test_rules_that_are_not_tested_are_no_part_of_the_family(tmp_path):
    generator = np.random.default_rng(5)
    values = generator.normal(6, 1, 40)
    scores = {(system, "mcd"): values for system in "abcd"}
    base = write_run(tmp_path / "base", scores)
    new = write_run(
        tmp_path / "new", {place: own + generator.normal(0, 1, 40) for place, own in scores.items()}
    )
    all_tested = gate(new, base, load_rules(None))
    one_tested = gate(
        new, base, rules_of(tmp_path, "rules: [{significance: null, tolerance: 9}, {system: a}]")
    )
    own = one_tested[0].comparison
    assert own.adjusted_p == own.p < all_tested[0].comparison.adjusted_p
    assert one_tested[1].comparison.adjusted_p is None


def test_less_than_full_coverage_fails_unless_allowed(tmp_path, base, stoi):
    new = write_run(tmp_path / "new", {("a", "stoi"): [*stoi[:-3], "silent", "silent", "crashed"]})
    (check,) = gate(new, base, load_rules(None))
    assert check.verdict == "fail"
    assert "45 of 48 items were scored" in check.reasons[0]
    rules = rules_of(tmp_path, "rules: [{min_coverage: 0.9}]")
    assert verdicts(gate(new, base, rules)) == ["pass"]


def test_a_run_of_fewer_trials_than_the_baseline_fails_unless_allowed(tmp_path, base, stoi):
    new = write_run(tmp_path / "new", {("a", "stoi"): stoi[:40]})
    (check,) = gate(new, base, load_rules(None))
    assert check.verdict == "fail"
    assert check.reasons == ("8 of the 48 trials of the baseline are not in the run",)
    assert verdicts(gate(new, base, rules_of(tmp_path, "rules: [{min_coverage: 0.8}]"))) == ["pass"]


def test_absolute_bounds_hold_for_the_whole_figure(tmp_path, base, stoi):
    mean = stoi.mean()
    for bounds, verdict in (
        (f"min: {mean - 0.01}", "pass"),
        (f"min: {mean + 0.01}", "fail"),
        (f"max: {mean - 0.01}", "fail"),
    ):
        (check,) = gate(base, base, rules_of(tmp_path, f"rules: [{{metric: stoi, {bounds}}}]"))
        assert check.verdict == verdict
        assert all(str(mean)[:6] in reason for reason in check.reasons)


def test_a_system_without_a_baseline_is_held_to_bounds_alone(tmp_path, base, stoi):
    new = write_run(tmp_path / "new", {("a", "stoi"): stoi, ("new", "stoi"): stoi - 0.4})
    assert len(gate(new, base, load_rules(None))) == 1
    checks = gate(new, base, rules_of(tmp_path, "rules: [{metric: stoi, min: 0.5}]"))
    assert [(check.system, check.verdict) for check in checks] == [("a", "pass"), ("new", "fail")]


def test_a_missing_system_or_metric_fails_with_a_sentence(tmp_path, stoi):
    base = write_run(tmp_path / "base", {("a", "stoi"): stoi, ("a", "mcd"): stoi, ("b", "stoi"): stoi})
    new = write_run(tmp_path / "new", {("a", "stoi"): stoi})
    checks = {(check.system, check.metric): check for check in gate(new, base, load_rules(None))}
    assert checks["a", "stoi"].verdict == "pass"
    assert checks["a", "mcd"].reasons == (f"{new} lacks mcd of a, which {base} has",)
    assert checks["b", "stoi"].reasons == (f"{new} lacks the system b, which {base} has",)
    assert {checks["a", "mcd"].verdict, checks["b", "stoi"].verdict} == {"fail"}


def test_what_cannot_be_compared_fails(tmp_path):
    counts = {("a", "wer"): [(1, 4), (0, 5), (2, 6)]}
    base = write_run(tmp_path / "base", counts)
    new = write_run(tmp_path / "new", counts, signatures={"wer": WER.replace("basic", "none")})
    (check,) = gate(new, base, load_rules(None))
    assert check.verdict == "fail"
    assert check.reasons == ("cannot be compared with the baseline: basic against none",)


def test_the_last_rule_that_matches_decides(tmp_path, stoi):
    scores = {("a", "stoi"): stoi, ("b", "stoi"): stoi, ("a", "pesq_wb"): stoi}
    base = write_run(tmp_path / "base", scores, signatures={"pesq_wb": "pesq_wb|v1"})
    rules = rules_of(tmp_path, "rules: [{}, {metric: 'pesq_*'}, {metric: stoi, system: b}]")
    found = {(check.system, check.metric): check.rule for check in gate(base, base, rules)}
    assert found == {("a", "stoi"): 1, ("a", "pesq_wb"): 2, ("b", "stoi"): 3}


def test_a_rule_for_what_no_run_has_fails(tmp_path, base):
    rules = rules_of(tmp_path, "rules: [{}, {metric: stoi, system: nobody}]")
    checks = gate(base, base, rules)
    assert verdicts(checks) == ["pass", "fail"]
    assert "no figure that rule 2 matches" in checks[1].reasons[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules: [{metric: stoi, tolerence: 1}]", "did you mean 'tolerance'"),
        ("rulez: []", "expected the key rules"),
        ("rules: []", "rules"),
        ("{rules: [{}], more: 1}", "unknown key 'more'"),
        ("rules: [{metric: stio}]", "did you mean stoi"),
        ("rules: [{tolerance: 2 dB}]", "per cent of the baseline"),
        ("rules: [{tolerance: -1}]", "not negative"),
        ("rules: [{tolerance: .nan}]", "not negative"),
        ("rules: [{tolerance: yes}]", "not negative"),
        ("rules: [{tolerance: [1]}]", "not negative"),
        ("rules: [{significance: 0}]", "significance"),
        ("rules: [{min_coverage: 2}]", "min_coverage"),
        ("rules: [{min: 2, max: 1}]", "above max"),
        ("rules: [", "not valid YAML"),
        ("- 1", "expected the key rules"),
    ],
)
def test_wrong_rules_are_refused_with_a_sentence(tmp_path, text, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        rules_of(tmp_path, text)


def test_a_file_of_rules_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_rules(tmp_path / "none.yaml")


def test_a_gate_without_anything_to_judge_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no scores"):
        gate(*[write_run(tmp_path / "run", {("a", "stoi"): []})] * 2, load_rules(None))


def test_junit_has_one_valid_case_a_check_whatever_the_names(tmp_path, stoi):
    name = 'a <"&> \x07\n%'
    base = write_run(tmp_path / "base", {(name, "stoi"): stoi, ("b", "stoi"): stoi})
    new = write_run(tmp_path / "new", {("b", "stoi"): stoi})
    checks = gate(new, base, load_rules(None))
    write_junit(tmp_path / "reports" / "junit.xml", checks)
    suite = ElementTree.parse(tmp_path / "reports" / "junit.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    failed, passed = suite.findall("testcase")
    assert failed.get("classname") == name.replace("\x07", "\ufffd")
    assert "lacks the system" in failed.find("failure").get("message")
    assert passed.find("failure") is None


def test_annotations_are_one_escaped_line_each(tmp_path, stoi, noise):
    name = "a,b: 100%\nnext"
    base = write_run(tmp_path / "base", {(name, "stoi"): stoi, ("b", "stoi"): stoi, ("c", "stoi"): stoi})
    new = write_run(
        tmp_path / "new", {("b", "stoi"): stoi, ("c", "stoi"): stoi + noise - noise.mean() - 0.001}
    )
    error, warning = annotations(gate(new, base, load_rules(None)))
    assert error.startswith("::error title=stoi of a%2Cb%3A 100%25%0Anext::")
    assert "\n" not in error
    assert "100%25%0Anext" in error.partition("next::")[2]
    assert warning.startswith("::warning title=stoi of c::worse by 0.001")


def test_the_verb_prints_writes_and_exits(tmp_path, base, stoi, noise):
    assert cli("gate", base, "--against", base).returncode == 0
    worse = write_run(tmp_path / "worse", {("a", "stoi"): stoi + noise - 0.05})
    junit = tmp_path / "junit.xml"
    result = cli("gate", worse, "--against", base, "--junit", junit, "--github", "--format", "json")
    assert result.returncode == 3
    assert complaint(result) == "doppelbench: the gate failed: 1 of 1 checks"
    assert "::error title=stoi of a::worse by" in result.stderr
    (row,) = json.loads(result.stdout)
    assert row["verdict"] == "fail"
    assert row["comparison"]["adjusted_p"] < 0.05
    assert ElementTree.parse(junit).getroot().get("failures") == "1"

    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{metric: stoi, tolerance: 10%}]")
    result = cli("gate", worse, "--against", base, "--rules", rules)
    assert (result.returncode, "warn" in result.stdout) == (0, True)

    rules.write_text("rules: [{metrik: stoi}]")
    result = cli("gate", worse, "--against", base, "--rules", rules)
    assert result.returncode == 1
    assert "did you mean 'metric'" in complaint(result)
    assert cli("gate", worse, "--against", tmp_path / "none").returncode == 2


def stored_result(folder, figures, signature=STOI):
    """The file of a result: by system the value of ``stoi`` and the number of its items."""
    content = {
        "schema": 1,
        "name": "baseline",
        "created": "2026-01-01T00:00:00+00:00",
        "track": "voice-conversion",
        "corpus": {"label": "talkers", "hash": "a" * 16},
        "trials": {"count": 4, "hash": "b" * 16},
        "ranking": ["stoi"],
        "metrics": [{"name": "stoi", "signature": signature, "direction": "higher"}],
        "systems": [
            {
                "key": key,
                "figures": [
                    {"metric": "stoi", "value": value, "low": None, "high": None, "n": n, "expected": n}
                ],
            }
            for key, (value, n) in figures.items()
        ],
    }
    path = folder / "result.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


ALONE = "rules: [{tolerance: 0.02, significance: null, either_way: %s}]"


@pytest.mark.parametrize(
    ("value", "either_way", "verdict"),
    [
        (0.70, "false", "pass"),
        (0.69, "false", "warn"),
        (0.67, "false", "fail"),
        (0.73, "false", "pass"),
        (0.73, "true", "fail"),
        (0.71, "true", "pass"),
    ],
)
def test_figures_of_other_recordings_are_held_to_tolerances_alone(tmp_path, value, either_way, verdict):
    against = stored_result(tmp_path, {"a": (0.7, 4)})
    run = write_run(tmp_path / "run", {("a", "stoi"): [value] * 4}, recordings="other")
    (check,) = gate(run, against, rules_of(tmp_path, ALONE % either_way))
    assert (check.verdict, check.basis) == (verdict, "figures")
    if verdict == "fail":
        assert re.search(r"(better|worse) by 0\.03 \(tolerance 0\.02\)", check.reasons[0])


def test_a_baseline_of_items_knows_either_way_too(tmp_path, base, stoi):
    better = write_run(tmp_path / "better", {("a", "stoi"): stoi + 0.05})
    (check,) = gate(better, base, rules_of(tmp_path, "rules: [{either_way: true}]"))
    assert check.verdict == "fail"
    assert check.reasons[0].startswith("better by 0.05 (tolerance 0, adjusted p 0.000")


def test_figures_alone_cannot_be_tested(tmp_path):
    against = stored_result(tmp_path, {"a": (0.7, 4)})
    run = write_run(tmp_path / "run", {("a", "stoi"): [0.7] * 4})
    with pytest.raises(ConfigError, match=r"rule 1 tests for significance, but .* keeps figures"):
        gate(run, against, load_rules(None))


def test_what_figures_lack_or_rest_on_fails(tmp_path):
    against = stored_result(tmp_path, {"a": (0.7, 5), "gone": (0.7, 4)})
    run = write_run(tmp_path / "run", {("a", "stoi"): [0.7, 0.7, 0.7, "silent"]})
    rules = "rules: [{significance: null}, {significance: null, system: nobody}]"
    checks = {check.system: check for check in gate(run, against, rules_of(tmp_path, rules))}
    assert verdicts(checks.values()) == ["fail"] * 3
    assert "3 of 4 items were scored" in checks["a"].reasons[0]
    assert "4 items were expected, 5 are in the baseline" in checks["a"].reasons[1]
    assert "lacks the system gone" in checks["gone"].reasons[0]
    assert "has no figure that rule 2 matches" in checks["nobody"].reasons[0]
    with pytest.raises(InputError, match="no rule matches a figure"):
        gate(run, against, rules_of(tmp_path, "rules: [{metric: wer, significance: null}]"))


def test_signatures_of_figures_agree_but_for_what_a_run_trains(tmp_path):
    rules = rules_of(tmp_path, ALONE % "true")
    run = write_run(
        tmp_path / "run", {("a", "stoi"): [0.7] * 4}, signatures={"stoi": "stoi|classifier-ab12|v1"}
    )
    (check,) = gate(run, stored_result(tmp_path, {"a": (0.7, 4)}, "stoi|classifier-cd34|v1"), rules)
    assert check.verdict == "pass"
    (check,) = gate(run, stored_result(tmp_path, {"a": (0.7, 4)}, "stoi|classifier-cd34|v2"), rules)
    assert check.verdict == "fail"
    assert "the signatures differ: v2 against v1" in check.reasons[0]
    assert without_trained_parts("a|readout-0f|b") == "a|readout-of-the-run|b"


def test_the_verb_says_that_figures_alone_were_judged(tmp_path):
    against = stored_result(tmp_path, {"a": (0.7, 4)})
    run = write_run(tmp_path / "run", {("a", "stoi"): [0.7] * 4})
    rules_of(tmp_path, ALONE % "true")
    done = cli("gate", run, "--against", against, "--rules", tmp_path / "gate.yaml", "--format", "md")
    assert done.returncode == 0, done.stderr
    assert "judged by" in done.stdout.splitlines()[0]
    assert "figures" in done.stdout
