"""The plugin as an author of a metric or a system uses it: inside pytest, with faults that it must find."""

import json

import numpy as np
import pytest
import soundfile

from doppelbench.detectors.contract import CHECKS as DETECTOR_CHECKS

pytest_plugins = ["pytester"]

RATE = 16000
METRIC = """
import pytest
from doppelbench.metrics.metric import ItemScore, MetricSpec
from doppelbench.metrics.audio_metric import AudioMetric
import numpy as np

class Loudness(AudioMetric):
    spec = MetricSpec(
        name="loudness", title="Loudness difference", version=1, unit="dB", direction="lower",
        range=(0.0, None), needs=frozenset({"ref"}), cost=0.1, rate=16000, citation="none",
        seconds=(0.1, None),
    )
    signature = "loudness|sr16000|v1"

    def score(self, out, ref, clip):
        level = [10 * np.log10(np.mean(x ** 2)) for x in (out, ref)]
        return ItemScore(float(abs(level[0] - level[1])))
"""
CONTRACT = """
@pytest.mark.doppelbench_metric(lambda: Loudness())
def test_contract(doppelbench_check):
    doppelbench_check()
"""
FAULTS = {
    "identity": "return ItemScore(float(abs(level[0] - level[1])) + 1)",
    "value": "return ItemScore(-1.0)",
    "determinism": "return ItemScore(float(np.random.rand()))",
    "bad_signals": None,
}


@pytest.fixture(autouse=True)
def _plugin(pytester):
    pytester.makeconftest('pytest_plugins = ["doppelbench.benchmark.pytest_plugin"]')


def run(pytester, *arguments):
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:doppelbench", "-q", *arguments)


def test_a_good_metric_keeps_the_contract(pytester):
    from doppelbench.metrics.contract import CHECKS

    pytester.makepyfile(METRIC + CONTRACT)
    run(pytester).assert_outcomes(passed=len(CHECKS))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(pytester, fault):
    broken = METRIC
    if FAULTS[fault] is None:
        broken += """
    def item(self, *, out, ref=None, clip=None):
        return ItemScore(0.0)
"""
    else:
        broken = broken.replace("return ItemScore(float(abs(level[0] - level[1])))", FAULTS[fault])
    pytester.makepyfile(broken + CONTRACT)
    result = run(pytester)
    result.stdout.fnmatch_lines([f"FAILED *test_contract[[]{fault}[]]*"])


def test_the_fixture_without_a_mark_is_a_usage_error(pytester):
    pytester.makepyfile("def test_it(doppelbench_check): doppelbench_check()")
    result = run(pytester)
    assert result.ret != 0
    assert "needs the mark doppelbench_metric" in result.stdout.str() + result.stderr.str()


def test_a_detector_keeps_its_contract_and_a_clip_scored_otherwise_is_found(pytester):
    pytester.makepyfile(
        """
        import pytest
        from doppelbench.detectors.trivial import PRESETS, LoudnessOnly

        class Deaf(LoudnessOnly):
            def score_clip(self, clip):
                return 0.5

        @pytest.mark.doppelbench_detector(lambda: Deaf(PRESETS["tiny"]))
        def test_contract(doppelbench_check):
            doppelbench_check()
        """
    )
    result = run(pytester)
    result.stdout.fnmatch_lines(["FAILED *test_contract[[]score_clip[]]*"])
    result.assert_outcomes(passed=len(DETECTOR_CHECKS) - 1, failed=1)


@pytest.mark.slow
def test_the_exemplar_keeps_the_contract_of_systems(pytester):
    from doppelbench.baselines.contract import CHECKS

    pytester.makepyfile(
        """
        import pytest
        from doppelbench.baselines.exemplar import TINY, Exemplar

        @pytest.mark.doppelbench_system(lambda: Exemplar(TINY, "ada"))
        def test_contract(doppelbench_check):
            doppelbench_check()
        """
    )
    run(pytester).assert_outcomes(passed=len(CHECKS))


@pytest.mark.slow
def test_a_system_that_forgets_its_seed_is_found(pytester):
    pytester.makepyfile(
        """
        import pytest, torch
        from doppelbench.baselines.exemplar import TINY, Exemplar

        class Forgetful(Exemplar):
            def fit(self, clips, trainer):
                record = super().fit(clips, trainer)
                next(self.network.parameters()).data += torch.rand(()).item()
                return record

        @pytest.mark.doppelbench_system(lambda: Forgetful(TINY, "ada"))
        def test_contract(doppelbench_check):
            doppelbench_check()
        """
    )
    result = run(pytester, "-k", "same_seed")
    result.assert_outcomes(failed=1)


BASELINE = """
from pathlib import Path
FOLDER = Path({folder!r})

def test_it(doppelbench_baseline):
    pairs = {{str(n): (FOLDER / f"out{{n}}.wav", FOLDER / f"ref{{n}}.wav") for n in range(8)}}
    figure = doppelbench_baseline("mine", "si_sdr", pairs, tolerance={tolerance})
    assert figure.n == 8
"""


def write_pairs(folder, noise_db):
    for number in range(8):
        generator = np.random.default_rng(number)
        ref = 0.1 * generator.standard_normal(RATE)
        noise = generator.standard_normal(RATE) * 0.1 * 10 ** ((noise_db + 0.1 * number) / 20)
        soundfile.write(folder / f"ref{number}.wav", ref, RATE, subtype="FLOAT")
        soundfile.write(folder / f"out{number}.wav", ref + noise, RATE, subtype="FLOAT")


def test_a_baseline_is_stored_kept_and_missed(pytester, tmp_path):
    pytester.makepyfile(BASELINE.format(folder=str(tmp_path), tolerance=0.5))
    write_pairs(tmp_path, -20)
    missing = run(pytester)
    missing.assert_outcomes(failed=1)
    assert "--doppelbench-update" in missing.stdout.str()
    run(pytester, "--doppelbench-update").assert_outcomes(passed=1)
    stored = json.loads((pytester.path / "doppelbench_baselines" / "mine.json").read_text())
    assert stored["figure"]["value"] == pytest.approx(20, abs=1)
    run(pytester).assert_outcomes(passed=1)
    write_pairs(tmp_path, -19.8)
    run(pytester).assert_outcomes(passed=1)
    write_pairs(tmp_path, -17)
    worse = run(pytester)
    worse.assert_outcomes(failed=1)
    assert "0.5 is allowed" in worse.stdout.str()
    write_pairs(tmp_path, -25)
    run(pytester).assert_outcomes(passed=1)


def test_an_item_that_cannot_be_scored_any_more_fails(pytester, tmp_path):
    pytester.makepyfile(BASELINE.format(folder=str(tmp_path), tolerance=0.5).replace("assert", "0 and"))
    write_pairs(tmp_path, -20)
    run(pytester, "--doppelbench-update").assert_outcomes(passed=1)
    (tmp_path / "out3.wav").write_bytes(b"")
    result = run(pytester)
    result.assert_outcomes(failed=1)
    assert "out3.wav" in result.stdout.str()
