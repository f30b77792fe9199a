"""Metrics of pictures against published values, scikit-image, hand-made cases, talkers and recordings."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from scipy.ndimage import gaussian_filter
from skimage.data import camera
from skimage.metrics import structural_similarity
from video_examples import lpips_weights, moving_picture, talking_picture, write_talking_clip

from doppelbench.corpora.clip import Clip
from doppelbench.corpora.errors import DependencyError, InputError
from doppelbench.corpora.media import Video, read_video
from doppelbench.corpora.talkers import talkers
from doppelbench.metrics.mouth_box import LEAST_SIDE, detected_box, mouth_box, mouth_truth
from doppelbench.metrics.picture_kernel import frame_mse, frame_ssim, motion_mse, psnr
from doppelbench.metrics.registry import metric, metric_from_string

WANG = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 255,
    "channel_axis": 2,
}


def value(name, out, ref, clip=None, **options):
    score = metric(name, **options).item(out=out, ref=ref, clip=clip)
    assert score.status == "ok", score.reason
    return score.value


def film_of(*pictures, fps=25.0):
    return Video(np.stack(pictures).astype(np.uint8), fps)


def grey(level, size=16):
    return np.full((size, size, 3), level)


@pytest.fixture(scope="module")
def ipol():
    """The pair of scikit-image's own tests: camera.png with noise of deviation 20, in three channels."""
    noise = np.random.RandomState(5).randn(512, 512)
    noisy = np.clip(camera() + 20.0 * noise, 0, 255).astype(np.uint8)
    return tuple(film_of(np.repeat(picture[:, :, None], 3, axis=2)) for picture in (camera(), noisy))


def test_psnr_of_the_toy_example_of_torchmetrics():
    ref, out = np.array([[0, 1], [2, 3]]), np.array([[3, 2], [1, 0]])
    assert psnr(np.mean((ref - out) ** 2), peak=3) == pytest.approx(2.5527, abs=5e-5)


def test_psnr_of_camera_is_that_of_ipol(ipol):
    assert value("psnr", ipol[1], ipol[0]) == pytest.approx(22.409353363576034, abs=1e-6)


def test_ssim_of_camera_is_that_of_ipol(ipol):
    assert value("ssim", ipol[1], ipol[0]) == pytest.approx(0.357959091663361, abs=1e-3)


def test_ssim_of_camera_is_that_of_scikit_image(ipol):
    expected = structural_similarity(ipol[0].frames[0], ipol[1].frames[0], **WANG)
    assert value("ssim", ipol[1], ipol[0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("size", [(11, 11), (11, 40), (64, 64), (97, 33)], ids=str)
def test_ssim_of_each_frame_is_that_of_scikit_image_at_any_size(size):
    generator = np.random.default_rng(0)
    ref = generator.integers(0, 256, (3, *size, 3), dtype=np.uint8)
    out = ref.copy()
    out[1] = 255 - ref[1]
    out[2] = 128
    expected = [structural_similarity(*pair, **WANG) for pair in zip(ref, out, strict=True)]
    np.testing.assert_allclose(frame_ssim(out, ref), expected, atol=1e-9)


def test_flat_pictures_that_differ_in_level_have_the_luminance_term_alone():
    first, second, constant = 100.0, 150.0, (0.01 * 255) ** 2
    luminance = (2 * first * second + constant) / (first**2 + second**2 + constant)
    assert value("ssim", film_of(grey(150)), film_of(grey(100))) == pytest.approx(luminance, abs=1e-12)


def test_squared_errors_do_not_wrap():
    assert frame_mse(film_of(grey(255)).frames, film_of(grey(0)).frames).tolist() == [65025.0]
    assert value("psnr", film_of(grey(255)), film_of(grey(0))) == pytest.approx(0.0, abs=1e-12)
    blinking = film_of(grey(0), grey(255)).frames
    assert motion_mse(blinking, blinking[::-1]).tolist() == [510.0**2]


def test_pooled_ratio_and_mean_of_ratios_differ_as_noise_varies():
    deviations = (2, 5, 10, 20)
    generator = np.random.default_rng(0)
    ref = film_of(*[grey(128, 128)] * 4)
    noise = [sigma * generator.standard_normal((128, 128, 3)) for sigma in deviations]
    out = film_of(*(grey(128, 128) + error.round() for error in noise))
    # Rounding to whole numbers adds a twelfth to each variance.
    expected = [10 * np.log10(255**2 / (sigma**2 + 1 / 12)) for sigma in deviations]
    assert value("psnr_frames", out, ref) == pytest.approx(np.mean(expected), abs=0.05)
    assert value("psnr", out, ref) == pytest.approx(26.91, abs=0.05)
    assert np.mean(expected) == pytest.approx(31.60, abs=0.01)


def test_copied_frames_are_held_at_the_cap_and_counted():
    ref = film_of(grey(10), grey(10), grey(10))
    out = film_of(grey(10), grey(15), grey(10))
    score = metric("psnr_frames").item(out=out, ref=ref)
    finite = 10 * np.log10(255**2 / 25)
    assert score.value == pytest.approx((100 + finite + 100) / 3)
    assert score.stats["capped_frames"] == 2
    pooled = metric("psnr").item(out=out, ref=ref)
    assert (pooled.stats["capped"], pooled.stats["mse"]) == (False, pytest.approx(25 / 3))
    assert metric("psnr").item(out=ref, ref=ref).stats["capped"] is True


def test_still_first_frame_has_no_skill_and_nature_has_all():
    ref = moving_picture(seed=1)
    still = replace(ref, frames=np.repeat(ref.frames[:1], len(ref.frames), axis=0))
    assert value("still_frame_skill", still, ref) == 0.0
    assert value("still_frame_skill", ref, ref) == 1.0
    assert value("still_frame_skill", moving_picture(seed=2), ref) < 0.0


def test_half_of_the_still_frames_error_is_a_skill_of_one_half():
    ref = film_of(grey(100), grey(140))
    # 40^2 = 2 * 20^2 * 2: one frame off by 20 on either side is a quarter each.
    assert value("still_frame_skill", film_of(grey(120), grey(120)), ref) == pytest.approx(0.5)


def test_constant_error_has_no_temporal_error_and_flicker_has():
    ref = moving_picture(seed=1)
    lower = replace(ref, frames=(ref.frames // 2 + 60).astype(np.uint8))
    offset = replace(lower, frames=lower.frames + np.uint8(9))
    assert value("temporal_error", offset, lower) == 0.0
    flicker = lower.frames + np.array([0, 9, 0, 9, 0], np.uint8)[:, None, None, None]
    assert value("temporal_error", replace(ref, frames=flicker), lower) == pytest.approx(81.0)


def test_still_picture_has_the_motion_of_the_reference_as_temporal_error():
    ref = moving_picture(seed=3)
    still = replace(ref, frames=np.repeat(ref.frames[2:3], len(ref.frames), axis=0))
    score = metric("temporal_error").item(out=still, ref=ref)
    assert score.value == score.stats["still"] > 0


def test_blur_and_noise_are_both_less_sharp_than_nature_and_told_apart():
    ref = moving_picture(seed=1, noise=6)
    blurred = replace(ref, frames=gaussian_filter(ref.frames, (0, 1, 1, 0)))
    noisy = moving_picture(seed=1, noise=24)
    scores = [metric("sharpness").item(out=out, ref=ref) for out in (blurred, noisy)]
    assert scores[0].stats["ratio"] < 0.2
    assert scores[1].stats["ratio"] > 5
    assert max(score.value for score in scores) < 0.2
    figure = metric("sharpness").reduce(scores)
    assert figure.details["mean_ratio"] == pytest.approx(np.mean([score.stats["ratio"] for score in scores]))


def test_contrast_squares_into_the_sharpness():
    ref = film_of(*(2 * (moving_picture(seed=1).frames.astype(int) // 4)))
    half = film_of(*(ref.frames // 2))
    score = metric("sharpness").item(out=half, ref=ref)
    assert score.value == pytest.approx(0.25, rel=1e-9)


def test_flat_output_has_no_sharpness_and_flat_reference_no_verdict():
    assert (
        value("sharpness", film_of(grey(7, 64)), film_of(moving_picture(width=64, height=64).frames[0]))
        == 0.0
    )
    score = metric("sharpness").item(out=film_of(grey(7)), ref=film_of(grey(9)))
    assert (score.value, score.status) == (None, "silent")


def test_pictures_smaller_than_the_window_are_too_short():
    tiny = film_of(grey(3, 10))
    score = metric("ssim").item(out=tiny, ref=tiny)
    assert score.status == "too_short"
    assert "10 x 10" in score.reason


def test_region_is_chosen_on_the_command_line(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    scorer = metric_from_string("psnr:region=mouth")
    score = scorer.item(out=talking_picture(seed=2)[0], ref=ref, clip=clip)
    assert score.stats["box_from"] == "truth"
    assert "|mouth-of-ref(" in scorer.signature.replace("region-", "")


# Where the mouth is.


def test_box_of_the_truth_holds_the_mouth_at_all_times(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    box = mouth_box(ref.frames, 25.0, clip)
    dark = (ref.frames.astype(int).sum(axis=3) < 200).any(axis=0)
    rows, columns = np.nonzero(dark)
    assert box.left < columns.min() < columns.max() < box.right
    assert box.top < rows.min() < rows.max() < box.bottom
    assert (box.right - box.left) * (box.bottom - box.top) < 0.3 * 64 * 64


def test_output_does_not_move_the_box(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    scores = [
        metric("video_mse", region="mouth").item(out=out, ref=ref, clip=clip)
        for out in (ref, moving_picture(seed=9, frames=30, width=64, height=64))
    ]
    assert scores[0].stats["box"] == scores[1].stats["box"]


def test_shorter_output_does_not_move_the_box_either(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    path = tmp_path / "clip.face.json"
    truth = json.loads(path.read_text(encoding="utf-8"))
    truth["mouth_opening"][-1] = 40.0
    path.write_text(json.dumps(truth), encoding="utf-8")
    shorter = replace(ref, frames=ref.frames[:-1])
    for name, options in (("psnr", {"region": "mouth"}), ("mouth_opening", {})):
        scores = [metric(name, **options).item(out=out, ref=ref, clip=clip) for out in (ref, shorter)]
        assert scores[0].stats["box"] == scores[1].stats["box"]
        assert [score.stats["frames"] for score in scores] == [30, 29]


def test_errors_outside_of_the_mouth_do_not_matter_to_it(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    left, top, right, bottom = metric("psnr", region="mouth").item(out=ref, ref=ref, clip=clip).stats["box"]
    outside = np.random.default_rng(0).integers(0, 256, ref.frames.shape, dtype=np.uint8)
    outside[:, top:bottom, left:right] = ref.frames[:, top:bottom, left:right]
    out = replace(ref, frames=outside)
    assert value("video_mse", out, ref, clip, region="mouth") == 0.0
    assert value("video_mse", out, ref, clip) > 1000
    inside = ref.frames.copy()
    inside[:, top:bottom, left:right] = 0
    part = (bottom - top) * (right - left) / 64**2
    black = replace(ref, frames=inside)
    whole = value("video_mse", black, ref, clip)
    assert value("video_mse", black, ref, clip, region="mouth") == pytest.approx(whole / part)


def test_box_is_scaled_with_the_pictures(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1, size=64)
    twice = np.repeat(np.repeat(ref.frames, 2, axis=1), 2, axis=2)
    small, large = mouth_box(ref.frames, 25.0, clip), mouth_box(twice, 25.0, clip)
    for side in ("left", "top", "right", "bottom"):
        assert getattr(large, side) == pytest.approx(2 * getattr(small, side), abs=2)


def test_box_has_room_for_the_window_of_ssim_in_a_corner(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    truth = {key: [value] * 30 for key, value in zip(
        ("mouth_opening", "mouth_width", "mouth_x", "mouth_y"), (0.0, 4.0, 63.0, 1.0), strict=True
    )}  # fmt: skip
    (tmp_path / "clip.face.json").write_text(json.dumps({"fps": 25, **truth}), encoding="utf-8")
    box = mouth_box(ref.frames, 25.0, clip)
    assert (box.right, box.top) == (64, 0)
    assert min(box.right - box.left, box.bottom - box.top) >= LEAST_SIDE
    assert value("ssim", ref, ref, clip, region="mouth") == 1.0


def test_truth_follows_start_and_frame_rate_of_the_clip(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    whole = mouth_truth(ref.frames, 25.0, clip).opening
    np.testing.assert_allclose(whole, talking_picture(seed=1)[1]["mouth_opening"])
    later = mouth_truth(ref.frames[10:20], 25.0, replace(clip, start=0.4)).opening
    np.testing.assert_allclose(later, whole[10:20])
    slow = mouth_truth(ref.frames[:15], 12.5, clip).opening
    np.testing.assert_allclose(slow, whole.reshape(15, 2).mean(axis=1))


def test_truth_that_is_too_short_or_broken_is_a_status(tmp_path):
    ref, clip = write_talking_clip(tmp_path, seed=1)
    twice = replace(ref, frames=np.concatenate([ref.frames, ref.frames]))
    score = metric("psnr", region="mouth").item(out=twice, ref=twice, clip=clip)
    assert score.status == "length_mismatch"
    assert "clip.face.json" in score.reason
    for content in ("{", "[]", '{"fps": 25}', '{"fps": 25, "mouth_x": "a"}'):
        (tmp_path / "clip.face.json").write_text(content, encoding="utf-8")
        score = metric("psnr", region="mouth").item(out=ref, ref=ref, clip=clip)
        assert score.status == "unreadable"
        assert "clip.face.json" in score.reason


@pytest.mark.parametrize("name", ["video_mse", "sharpness", "temporal_error"])
def test_clip_without_a_face_has_a_status_and_a_reason(name):
    ref = moving_picture(frames=12, height=96, width=96)
    score = metric(name, region="mouth").item(out=ref, ref=ref)
    assert (score.value, score.status) == (None, "missing")
    assert "no face was found in the reference" in score.reason


def test_clip_without_truth_has_no_mouth_opening():
    ref = moving_picture(frames=12)
    for clip in (None, Clip("a", "b"), Clip("a", "b", video="/nowhere/a.mkv")):
        score = metric("mouth_opening").item(out=ref, ref=ref, clip=clip)
        assert (score.value, score.status) == (None, "missing")


# The mouth of the talkers.


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """One film each of a woman and of a man with a beard, and a second one of the man."""
    clips = talkers(
        tmp_path_factory.mktemp("talkers"),
        speakers=("ada", "dimitri"),
        target_seconds=0.1,
        source_seconds=0.1,
        dev_sentences=0,
        test_sentences=2,
        jobs=1,
    )
    return {clip.id: (read_video(clip.video, audio=False), clip) for clip in clips if clip.split == "test"}


def test_natural_talkers_open_their_mouths_as_they_should(heads):
    for video, clip in heads.values():
        assert value("mouth_opening", video, video, clip) >= 0.97


def test_shifted_wrong_and_still_mouths_are_told_from_natural_ones(heads):
    video, clip = heads["dimitri_test_0000"]
    late = replace(video, frames=np.concatenate([video.frames[:1], video.frames[:-1]]))
    later = replace(video, frames=np.concatenate([video.frames[:1]] * 4 + [video.frames[:-4]]))
    natural, one, four = (value("mouth_opening", out, video, clip) for out in (video, late, later))
    assert natural > one + 0.05 > four + 0.3
    count = min(len(film.frames) for film, _ in heads.values())
    other = replace(video, frames=heads["dimitri_test_0001"][0].frames[:count])
    cut = replace(video, frames=video.frames[:count])
    assert abs(value("mouth_opening", other, cut, clip)) < 0.5
    still = replace(video, frames=np.repeat(video.frames[:1], len(video.frames), axis=0))
    score = metric("mouth_opening").item(out=still, ref=video, clip=clip)
    assert (score.value, score.stats["still"]) == (0.0, True)


def test_blurred_mouth_and_one_that_is_a_pixel_off_open_as_well(heads):
    for video, clip in heads.values():
        blurred = replace(video, frames=gaussian_filter(video.frames, (0, 1, 1, 0)))
        moved = replace(video, frames=np.roll(video.frames, 1, axis=2))
        for out in (blurred, moved):
            assert value("mouth_opening", out, video, clip) > 0.9


def test_mouth_of_the_talkers_moves_more_than_the_frame(heads):
    for video, clip in heads.values():
        still = replace(video, frames=np.repeat(video.frames[:1], len(video.frames), axis=0))
        assert value("video_mse", still, video, clip, region="mouth") > 2 * value("video_mse", still, video)
        assert value("still_frame_skill", still, video, clip, region="mouth") == 0.0


# LPIPS.


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    path = tmp_path_factory.mktemp("lpips") / "lpips.safetensors"
    save_file(lpips_weights(), path)
    return path


def test_without_weights_the_message_says_what_is_needed():
    for options in ({}, {"weights": "/nowhere/alex.pth"}):
        with pytest.raises(
            DependencyError, match=r"alexnet-owt-7be5be79\.pth.*doppelbench prefetch lpips"
        ) as raised:
            metric("lpips", **options)
        assert raised.value.exit_code == 5


def test_torch_file_and_the_two_published_parts_are_the_same_network(published, tmp_path):
    pair = moving_picture(seed=1), moving_picture(seed=1, noise=30)
    expected = value("lpips", *pair, weights=str(published))
    tensors = {name: torch.from_numpy(array) for name, array in lpips_weights().items()}
    torch.save(tensors, tmp_path / "whole.pth")
    assert value("lpips", *pair, weights=str(tmp_path / "whole.pth")) == expected
    parts = tmp_path / "parts"
    parts.mkdir()
    trunk = {
        "features." + name.split(".", 2)[2]: tensor for name, tensor in tensors.items() if name[:4] == "net."
    }
    torch.save(trunk | {"classifier.1.weight": torch.zeros(2, 2)}, parts / "alexnet-owt-7be5be79.pth")
    heads = {name: tensor for name, tensor in tensors.items() if name[:3] == "lin" and name[3] != "s"}
    torch.save(heads, parts / "alex.pth")
    assert value("lpips", *pair, weights=str(parts)) == expected


def test_signature_changes_with_the_weights(published, tmp_path):
    save_file(lpips_weights(seed=1), tmp_path / "other.safetensors")
    signatures = [
        metric("lpips", weights=str(path)).signature for path in (published, tmp_path / "other.safetensors")
    ]
    assert signatures[0] != signatures[1]
    assert all(signature.startswith("lpips|alex-v0.1-") for signature in signatures)


class Mischief:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("kind", ["code", "text", "part", "shape", "infinite", "list"])
def test_unfit_weights_are_refused_by_name_and_never_executed(tmp_path, capsys, kind):
    weights = {name: torch.from_numpy(array) for name, array in lpips_weights().items()}
    path = tmp_path / "weights.pth"
    if kind == "code":
        torch.save({"net.slice1.0.weight": Mischief()}, path)
    elif kind == "text":
        path.write_text("no weights", encoding="utf-8")
    elif kind == "list":
        torch.save([1, 2], path)
    else:
        if kind == "part":
            del weights["lin3.model.1.weight"]
        elif kind == "shape":
            weights["lin3.model.1.weight"] = torch.zeros(1, 9, 1, 1)
        else:
            weights["lin3.model.1.weight"] = torch.full((1, 256, 1, 1), float("inf"))
        torch.save(weights, path)
    pair = moving_picture(seed=1), moving_picture(seed=2)
    with pytest.raises(InputError, match=r"weights\.pth"):
        metric("lpips", weights=str(path)).item(out=pair[0], ref=pair[1])
    assert "executed" not in capsys.readouterr().out


def test_batches_of_frames_do_not_matter(published):
    ref, out = moving_picture(seed=1, frames=11), moving_picture(seed=2, frames=11)
    single = [
        value("lpips", replace(out, frames=out.frames[i : i + 1]), replace(ref, frames=ref.frames[i : i + 1]),
              weights=str(published))
        for i in range(11)
    ]  # fmt: skip
    assert value("lpips", out, ref, weights=str(published)) == pytest.approx(np.mean(single), rel=1e-5)


def test_small_pictures_are_too_short_for_lpips(published):
    tiny = film_of(grey(3, 30))
    assert metric("lpips", weights=str(published)).item(out=tiny, ref=tiny).status == "too_short"
    small = film_of(moving_picture(width=31, height=31).frames[0])
    assert value("lpips", small, small, weights=str(published)) == 0.0


# Recorded speakers.


@pytest.fixture(scope="module")
def grid(realdata):
    folder = realdata / "c_talking_head" / "grid" / "other"
    return {path.stem: read_video(path, audio=False, end=1.6) for path in sorted(folder.glob("*.mpg"))[:4]}


@pytest.mark.realdata
def test_mouths_of_grid_are_found_and_move_more_than_the_frame(grid):
    for name, video in grid.items():
        box = detected_box(video.frames)
        assert box.source == "face-detector", name
        change = np.square(np.diff(video.frames[:, ::2, ::2].astype(np.float64), axis=0)).mean(axis=(0, 3))
        inside = change[box.top // 2 : box.bottom // 2, box.left // 2 : box.right // 2].mean()
        assert inside > 3 * change.mean(), name
        assert (box.right - box.left) * (box.bottom - box.top) < 0.1 * 288 * 360, name


@pytest.mark.realdata
def test_mouths_of_grid_are_found_in_tight_crops_where_they_are_in_the_whole(grid):
    for name, video in grid.items():
        whole = detected_box(video.frames)
        cut = detected_box(video.frames[:, 60:270, 70:280])
        for side, offset in (("left", 70), ("right", 70), ("top", 60), ("bottom", 60)):
            assert getattr(cut, side) + offset == pytest.approx(getattr(whole, side), abs=12), (name, side)


@pytest.mark.realdata
@pytest.mark.parametrize("region", ["frame", "mouth"])
def test_nature_beats_a_shift_by_one_frame_which_beats_a_still_frame(grid, region):
    for name, video in list(grid.items())[:2]:
        late = replace(video, frames=np.concatenate([video.frames[:1], video.frames[:-1]]))
        still = replace(video, frames=np.repeat(video.frames[:1], len(video.frames), axis=0))
        for key in ("video_mse", "psnr", "psnr_frames", "ssim", "still_frame_skill"):
            scorer = metric(key, region=region)
            natural, shifted, frozen = (scorer.item(out=out, ref=video).value for out in (video, late, still))
            sign = 1 if scorer.spec.direction == "higher" else -1
            assert sign * natural > sign * shifted > sign * frozen, (name, key)
        assert frozen == 0.0, "the skill of the still frame"
        scorer = metric("temporal_error", region=region)
        assert scorer.item(out=video, ref=video).value == 0.0
        assert scorer.item(out=late, ref=video).value > scorer.item(out=still, ref=video).value, name
