import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from doppelbench.corpora.errors import InputError
from doppelbench.metrics import list_metrics, metric_class, metric_from_string, registry
from doppelbench.metrics.mcd import MelCepstralDistortion
from doppelbench.metrics.registry import BUILT_IN, metric


@pytest.fixture
def added(monkeypatch):
    def add(*entries):
        monkeypatch.setattr(registry, "entry_points", lambda group: list(entries))
        registry._entry_points.cache_clear()

    yield add
    registry._entry_points.cache_clear()


def entry(name, value):
    return EntryPoint(name, value, registry.ENTRY_POINT_GROUP)


def test_built_in_metrics_are_listed_under_the_name_of_their_spec():
    assert list_metrics() == sorted(BUILT_IN)
    for name in BUILT_IN:
        assert metric_class(name).spec.name == name


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(InputError, match="no metric 'pesq'; did you mean pesq_wb or pesq_nb"):
        metric("pesq")
    with pytest.raises(
        InputError, match="no metric 'zzz'; known are av_confidence, av_offset, cer, dnsmos_bak"
    ):
        metric("zzz")


def test_unknown_option_is_named_with_the_known_ones():
    with pytest.raises(InputError, match="mcd has no option alpha; it has f0, rate, order"):
        metric("mcd", alpha=0.5)


def test_string_with_options():
    assert metric_from_string("mcd").f0 == "dio"
    assert metric_from_string("mcd:f0=harvest").f0 == "harvest"
    assert metric_from_string("mcd_mel: rate = 22050").rate == 22050
    scorer = metric_from_string("wer:recognizer=pocketsphinx-grid,normalizer=none")
    assert (scorer.recognizer.name, scorer.normalizer.signature) == ("pocketsphinx-grid", "none")


@pytest.mark.parametrize("text", ["mcd:harvest", "mcd:=x", "mcd:f0=dio,f0=harvest", "mcd:f0=dio,"])
def test_malformed_strings_are_refused(text):
    with pytest.raises(InputError):
        metric_from_string(text)


def test_entry_points_add_metrics_lazily(added):
    added(entry("my_mcd", "doppelbench.metrics.mcd:MelCepstralDistortion"), entry("lazy", "no.such.module:X"))
    assert {"my_mcd", "lazy"} <= set(list_metrics())
    assert isinstance(metric("my_mcd"), MelCepstralDistortion)


def test_entry_point_cannot_take_a_built_in_name_or_be_no_metric(added):
    added(entry("mcd", "x:Y"))
    with pytest.raises(InputError, match="name that is taken"):
        list_metrics()
    added(entry("wrong", "doppelbench.metrics.mcd:RATE"))
    with pytest.raises(InputError, match="is no Metric"):
        metric("wrong")


def test_import_is_light():
    code = (
        "import sys, time; start = time.process_time(); "
        "import doppelbench.metrics as metrics; metrics.list_metrics(); "
        "heavy = {'torch', 'numba', 'pandas', 'scipy', 'pyworld', 'jiwer', 'whisper', 'pesq', 'soxr'}; "
        "print(sorted(heavy & set(sys.modules)), time.process_time() - start)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, _, seconds = result.stdout.strip().rpartition(" ")
    assert loaded == "[]"
    # NumPy alone takes 0.1 to 0.2 s.
    assert float(seconds) < 1.0


def test_specs_load_no_torch_and_no_compiler():
    code = (
        "import sys; from doppelbench.metrics import list_metrics, metric_class; "
        "[metric_class(name).spec for name in list_metrics()]; "
        "heavy = {'torch', 'numba', 'pandas', 'whisper', 'librosa', 'onnxruntime', 'speechmos'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
