"""What holds for every metric of pictures, whatever it measures."""

import inspect
import json
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file
from video_examples import lpips_weights, moving_picture, talking_picture, write_talking_clip

from doppelbench.corpora.errors import InputError
from doppelbench.corpora.media import Audio, Video
from doppelbench.metrics import STATUSES, ItemScore, metric_class
from doppelbench.metrics.registry import BUILT_IN, metric

# It compares with the speaker and needs a readout of faces: test_mouth_following.py.
PICTURE_METRICS = sorted(
    {name for name in BUILT_IN if metric_class(name).spec.media == "video"} - {"mouth_following"}
)
REGION_METRICS = sorted(set(PICTURE_METRICS) - {"lpips", "mouth_opening"})
CASES = [(name, {}) for name in PICTURE_METRICS] + [(name, {"region": "mouth"}) for name in REGION_METRICS]
# What needs motion, and so two frames or more.
OF_MOTION = {"still_frame_skill", "temporal_error", "mouth_opening"}
# Their reference plays another part than their output.
ONE_SIDED = {"still_frame_skill", "mouth_opening"}
# Where the reference is black there is nothing to compare with.
SILENT_ON_BLACK = {"sharpness", "still_frame_skill", "mouth_opening"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(lpips_weights(), path)
    return str(path)


@pytest.fixture(params=CASES, ids=lambda case: "-".join([case[0], *case[1].values()]))
def make(request, weights):
    name, options = request.param
    options = options | ({"weights": weights} if name == "lpips" else {})
    return lambda: metric(name, **options)


@pytest.fixture
def scorer(make):
    return make()


@pytest.fixture(scope="module")
def natural(tmp_path_factory):
    """A film and the clip whose truth lies beside it."""
    return write_talking_clip(tmp_path_factory.mktemp("natural"), seed=1)


@pytest.fixture(scope="module")
def made():
    return talking_picture(seed=2, noise=25)[0]


@pytest.fixture
def score(natural):
    ref, clip = natural
    return lambda scorer, out, ref=ref: scorer.item(out=out, ref=ref, clip=clip)


def is_better(scorer, first, second):
    return first > second if scorer.spec.direction == "higher" else first < second


def with_frames(video, frames):
    return replace(video, frames=frames)


def test_spec_is_complete(scorer):
    spec = scorer.spec
    assert spec.title
    assert spec.citation
    assert spec.version >= 1
    assert spec.direction in ("higher", "lower")
    assert spec.cost > 0
    assert spec.needs == {"ref"}
    assert spec.same_timing
    assert spec.media == "video"


def test_videos_are_keyword_only(scorer):
    parameters = inspect.signature(type(scorer).item).parameters
    kinds = {name: parameter.kind for name, parameter in parameters.items() if name != "self"}
    assert set(kinds) == {"out", "ref", "clip"}
    assert set(kinds.values()) == {inspect.Parameter.KEYWORD_ONLY}


def test_natural_film_against_itself_has_the_best_value(scorer, score, natural):
    low, high = scorer.spec.range
    best = high if scorer.spec.direction == "higher" else low
    # The readout of the mouth is not exact on the very film that it was made from.
    tolerance = 0.01 if scorer.spec.name == "mouth_opening" else 1e-9
    assert score(scorer, natural[0]).value == pytest.approx(best, abs=tolerance)


def test_another_film_has_a_worse_value_within_the_range(scorer, score, made, natural):
    result = score(scorer, made)
    assert (result.status, result.reason) == ("ok", "")
    assert type(result.value) is float
    low, high = scorer.spec.range
    assert low is None or result.value >= low
    assert high is None or result.value <= high
    assert is_better(scorer, score(scorer, natural[0]).value, result.value)


def test_one_frame_late_is_worse_than_in_time(scorer, score, natural):
    late, _ = talking_picture(seed=1, lag=1)
    verdicts = [score(scorer, video).value for video in (natural[0], late)]
    if scorer.spec.name == "sharpness":
        assert verdicts[1] > 0.9, "timing is no matter of sharpness"
    else:
        assert is_better(scorer, *verdicts)


def test_half_the_brightness_is_an_error_of_pictures_but_not_of_the_mouth(scorer, score, natural):
    ref = natural[0]
    dark = with_frames(ref, ref.frames // 2)
    values = [score(scorer, video).value for video in (ref, dark)]
    if scorer.spec.name == "mouth_opening":
        assert values[0] == pytest.approx(values[1], abs=0.01)
    else:
        assert is_better(scorer, *values)


def test_exchanging_output_and_reference(scorer, score, made, natural):
    values = [score(scorer, made).value, score(scorer, natural[0], made).value]
    if scorer.spec.name in ONE_SIDED:
        assert values[0] != pytest.approx(values[1], abs=1e-6)
    else:
        assert values[0] == pytest.approx(values[1], rel=1e-6)


def test_black_output_is_worse_than_noise_and_has_a_value(scorer, score, made, natural):
    black = with_frames(made, np.zeros_like(made.frames))
    result = score(scorer, black)
    assert result.status == "ok"
    assert is_better(scorer, score(scorer, natural[0]).value, result.value)
    if scorer.spec.name in ("sharpness", "mouth_opening"):
        assert result.value == 0.0


def test_black_reference_has_a_value_only_where_one_is_defined(scorer, score, made):
    result = score(scorer, made, with_frames(made, np.zeros_like(made.frames)))
    expected = "silent" if scorer.spec.name in SILENT_ON_BLACK else "ok"
    assert result.status == expected
    assert (result.value is None) == (expected == "silent")


def test_one_frame_is_enough_unless_motion_is_measured(scorer, score, made, natural):
    result = score(scorer, with_frames(made, made.frames[:1]), with_frames(natural[0], natural[0].frames[:1]))
    expected = "too_short" if scorer.spec.name in OF_MOTION else "ok"
    assert result.status == expected
    assert (result.value is None) == (expected == "too_short")


@pytest.mark.parametrize("side", ["output", "reference"])
@pytest.mark.parametrize(
    ("frames", "fps", "status"),
    [
        (np.zeros((0, 64, 64, 3), np.uint8), 25.0, "too_short"),
        (np.zeros((30, 64, 0, 3), np.uint8), 25.0, "unreadable"),
        (np.zeros((30, 64, 64, 3), np.float32), 25.0, "unreadable"),
        (np.zeros((30, 64, 64, 4), np.uint8), 25.0, "unreadable"),
        (np.zeros((30, 64, 64), np.uint8), 25.0, "unreadable"),
        (np.zeros((30, 64, 64, 3), np.uint8), 0.0, "unreadable"),
        (np.zeros((30, 64, 64, 3), np.uint8), float("nan"), "unreadable"),
        (np.zeros((30, 64, 64, 3), np.uint8), 30.0, "rate_mismatch"),
        (np.zeros((30, 64, 96, 3), np.uint8), 25.0, "length_mismatch"),
        (np.zeros((28, 64, 64, 3), np.uint8), 25.0, "length_mismatch"),
        (np.zeros((32, 64, 64, 3), np.uint8), 25.0, "length_mismatch"),
    ],
    ids=[
        "no frames", "no width", "floats", "four channels", "grey", "no rate", "nan rate", "30 fps", "wider",
        "two frames fewer", "two frames more",
    ],
)  # fmt: skip
def test_bad_videos_on_either_side_have_a_status_and_no_value(scorer, score, made, side, frames, fps, status):
    bad = Video(frames, fps)
    result = score(scorer, bad) if side == "output" else score(scorer, made, bad)
    assert (result.value, result.status) == (None, status)
    assert result.status in STATUSES
    assert result.reason


@pytest.mark.parametrize(
    "absent", [None, Audio(np.full(16000, 0.1, np.float32), 16000)], ids=["none", "audio"]
)
def test_without_pictures_on_either_side_something_is_missing(scorer, natural, made, absent):
    ref, clip = natural
    results = [scorer.item(out=absent, ref=ref, clip=clip), scorer.item(out=made, ref=absent, clip=clip)]
    for result, role in zip(results, ("output", "reference"), strict=True):
        assert (result.value, result.status) == (None, "missing")
        assert f"no {role} with pictures" in result.reason


@pytest.mark.parametrize("longer", ["output", "reference"])
def test_one_frame_more_is_cut(scorer, score, made, natural, longer):
    ref = natural[0]
    shorter_out, shorter_ref = (with_frames(video, video.frames[:-1]) for video in (made, ref))
    expected = score(scorer, shorter_out, shorter_ref)
    pair = (made, shorter_ref) if longer == "output" else (shorter_out, ref)
    assert score(scorer, *pair) == expected


def test_rates_that_differ_by_rounding_are_equal(scorer, score, made, natural):
    stored = [
        replace(video, fps=fps) for video, fps in zip((made, natural[0]), (24.99999, 25.0), strict=True)
    ]
    assert score(scorer, *stored).status == "ok"


def test_sound_does_not_matter(scorer, score, made):
    loud = replace(made, audio=Audio(np.full(16000, 0.5, np.float32), 16000))
    assert score(scorer, loud) == score(scorer, made)


def test_layout_of_the_frames_does_not_matter(scorer, score, made):
    strided = np.repeat(made.frames, 2, axis=0)[::2]
    reversed_twice = np.ascontiguousarray(made.frames[:, :, ::-1])[:, :, ::-1]
    for frames in (strided, reversed_twice, np.asfortranarray(made.frames)):
        assert score(scorer, with_frames(made, frames)) == score(scorer, made)


def test_inputs_are_left_as_they_were(scorer, score, made, natural):
    videos = made, natural[0]
    before = [video.frames.copy() for video in videos]
    score(scorer, *videos)
    assert all(np.array_equal(video.frames, copy) for video, copy in zip(videos, before, strict=True))


def test_read_only_frames_are_scored(scorer, score, made):
    fixed = made.frames.copy()
    fixed.flags.writeable = False
    assert score(scorer, with_frames(made, fixed)) == score(scorer, made)


def test_statistics_are_plain_data(scorer, score, made):
    result = score(scorer, made)
    assert result.stats["frames"] == 30
    assert json.loads(json.dumps(dict(result.stats))) == dict(result.stats)


def test_global_random_state_is_not_touched(scorer, score, made):
    np.random.seed(0)
    random.seed(0)
    before = (np.random.get_state()[1].tolist(), random.getstate())
    result = score(scorer, made)
    scorer.reduce([result, result])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before


def test_repeating_a_call_or_making_the_metric_anew_changes_nothing(make, score, made):
    first, second = make(), make()
    results = [score(first, made), score(first, made), score(second, made)]
    assert results[0] == results[1] == results[2]


def test_signature_is_one_stable_line_that_names_the_rule_for_frames(make):
    scorer = make()
    assert scorer.signature == make().signature
    assert scorer.signature.startswith(f"{scorer.spec.name}|")
    assert scorer.signature.endswith(f"|v{scorer.spec.version}")
    assert "|rgb8-own-fps-cut1frame|" in scorer.signature
    assert scorer.signature.isprintable()
    assert " " not in scorer.signature


def test_signatures_of_all_metrics_differ(weights):
    scorers = [
        metric(name, **options, **({"weights": weights} if name == "lpips" else {}))
        for name, options in CASES
    ]
    assert len({scorer.signature for scorer in scorers}) == len(CASES)


@pytest.fixture(scope="module")
def scored(natural):
    ref, clip = natural
    outs = [talking_picture(seed=seed, noise=10 * seed)[0] for seed in range(4)]
    cache = {}

    def items(scorer):
        if scorer.signature not in cache:
            cache[scorer.signature] = [scorer.item(out=out, ref=ref, clip=clip) for out in outs]
        return cache[scorer.signature]

    return items


def test_failed_items_lower_the_coverage_and_are_never_numbers(scorer, scored):
    items = scored(scorer)
    failed = [ItemScore.failed(status, "for a test") for status in STATUSES if status != "ok"]
    with_failed, without = scorer.reduce([*items, *failed]), scorer.reduce(items)
    figures = [(figure.value, figure.low, figure.high, figure.details) for figure in (with_failed, without)]
    assert figures[0] == figures[1]
    assert (with_failed.n, with_failed.expected) == (4, 4 + len(failed))


def test_figure_is_the_mean_and_lies_within_its_interval(scorer, scored):
    items = scored(scorer)
    figure = scorer.reduce(items)
    assert figure.value == pytest.approx(np.mean([item.value for item in items]), rel=1e-12)
    assert figure.low <= figure.value <= figure.high
    assert (figure.n, figure.expected, figure.coverage) == (4, 4, 1.0)


def test_paired_terms_add_up_to_the_figure(scorer, scored):
    items = [*scored(scorer), ItemScore.failed("silent", "nothing but black")]
    terms = [type(scorer).paired_terms(item) for item in items]
    assert terms.pop() is None
    numerator, denominator = np.sum(terms, axis=0)
    assert numerator / denominator == pytest.approx(scorer.reduce(items).value, rel=1e-12)


def test_order_of_the_items_does_not_matter(scorer, scored):
    items, clusters = scored(scorer), ["a", "a", "b", "c"]
    assert scorer.reduce(items) == scorer.reduce(items[::-1])
    assert scorer.reduce(items, clusters) == scorer.reduce(items[::-1], clusters[::-1])


def test_clusters_must_be_one_for_each_item(scorer, scored):
    with pytest.raises(ValueError, match="1 clusters for 4 items"):
        scorer.reduce(scored(scorer), ["a"])


def test_nothing_scored_is_no_figure(scorer):
    figure = scorer.reduce([ItemScore.failed("crashed", "killed")])
    assert (figure.value, figure.low, figure.high, figure.n, figure.coverage) == (None, None, None, 0, 0.0)
    assert scorer.reduce([]).coverage == 0.0


@pytest.mark.parametrize("name", REGION_METRICS)
def test_region_is_the_frame_or_the_mouth(name):
    with pytest.raises(InputError, match=f"{name}: region is frame or mouth, not 'nose'"):
        metric(name, region="nose")


@pytest.mark.parametrize("name", REGION_METRICS)
def test_whole_pictures_need_no_clip(name):
    pair = moving_picture(seed=1), moving_picture(seed=2)
    assert metric(name).item(out=pair[0], ref=pair[1]).status == "ok"


def test_signatures_need_no_torch_and_no_compiler():
    names = [name for name in PICTURE_METRICS if name != "lpips"]
    code = (
        "import sys; from doppelbench.metrics.registry import metric; "
        f"[metric(name).signature for name in {names}]; "
        "print(sorted({'torch', 'numba', 'skimage', 'av'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
