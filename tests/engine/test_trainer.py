"""Training resumes exactly, ends where it should, and refuses what it cannot continue."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")

import numpy as np  # noqa: E402
import training_example as example  # noqa: E402

from doppelbench.engine.data import ShuffledBatches  # noqa: E402
from doppelbench.engine.errors import CheckpointError, ConfigError, TrainingError  # noqa: E402
from doppelbench.engine.progress import TrainingProgress, duration  # noqa: E402
from doppelbench.engine.trainer import TrainerSettings, train  # noqa: E402

SCRIPT = Path(example.__file__)


def assert_same_weights(one, other):
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def logged(directory):
    with (directory / "log.csv").open(newline="") as file:
        return [row for row in csv.reader(file) if row[1] != "steps_per_second"]


@pytest.fixture(scope="module", params=sorted(example.MODULES))
def uninterrupted(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    module, record = example.run(request.param, directory)
    return request.param, module, record, directory


def test_killed_and_resumed_training_ends_with_the_same_bits(uninterrupted, tmp_path):
    name, whole, record, directory = uninterrupted
    killed = subprocess.run([sys.executable, str(SCRIPT), name, str(tmp_path), "26"], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.stem for path in sorted((tmp_path / "checkpoints").glob("step-*"))] == [
        "step-000000014",
        "step-000000021",
    ]
    resumed, resumed_record = example.run(name, tmp_path)
    assert_same_weights(whole, resumed)
    assert resumed_record.steps == record.steps == 40
    assert resumed_record.losses == record.losses
    assert logged(tmp_path) == logged(directory)


def test_stopped_between_checkpoints_and_extended_twice_ends_with_the_same_bits(uninterrupted, tmp_path):
    name, whole, _, _ = uninterrupted
    for steps in (3, 17, 40):
        module, record = example.run(name, tmp_path, max_steps=steps)
        assert record.steps == steps
    assert_same_weights(whole, module)


def test_loading_processes_change_nothing(uninterrupted, tmp_path):
    name, whole, _, _ = uninterrupted
    module, _ = example.run(name, tmp_path, workers=2)
    assert_same_weights(whole, module)


def test_global_random_state_neither_matters_nor_changes(uninterrupted, tmp_path):
    name, whole, _, _ = uninterrupted
    torch.manual_seed(99)
    before = torch.get_rng_state()
    module, _ = example.run(name, tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert_same_weights(whole, module)


def test_memory_does_not_grow_with_the_steps(tmp_path):
    queued = len(torch.cuda._queued_calls)
    example.run("network", tmp_path, max_steps=5)
    assert len(torch.cuda._queued_calls) == queued


def test_another_seed_gives_other_weights(uninterrupted, tmp_path):
    name, whole, _, _ = uninterrupted
    module, _ = example.run(name, tmp_path, seed=1)
    assert not all(torch.equal(a, b) for a, b in zip(whole.parameters(), module.parameters(), strict=True))


def test_finished_training_returns_at_once_with_its_weights(uninterrupted):
    name, whole, record, directory = uninterrupted
    before = time.perf_counter()
    module, again = example.run(name, directory)
    assert time.perf_counter() - before < 0.5
    assert again == record
    assert_same_weights(whole, module)


def test_steps_are_batches_whatever_the_number_of_optimisers(uninterrupted):
    name, module, record, directory = uninterrupted
    assert record.steps == 40
    assert [path.name for path in (directory / "checkpoints").iterdir()] == ["step-000000040.safetensors"]
    if name == "network":
        assert module.batch_numbers == list(range(40))
    assert [int(row[0]) for row in logged(directory)[1:]] == sorted(
        int(row[0]) for row in logged(directory)[1:]
    )


def test_batch_numbers_go_on_after_a_resume(tmp_path):
    example.run("network", tmp_path, max_steps=11)
    module, _ = example.run("network", tmp_path, max_steps=15)
    assert module.batch_numbers == [11, 12, 13, 14]


def test_gradients_are_clipped_in_manual_optimisation_too(tmp_path):
    free, _ = example.run("adversaries", tmp_path / "free", max_steps=5)
    clipped, _ = example.run("adversaries", tmp_path / "clipped", max_steps=5, gradient_clip=0.01)
    assert max(free.norms) > 0.1
    assert max(clipped.norms) <= 0.01 * 1.001


def test_time_limit_ends_and_counts_over_sessions(tmp_path):
    _, first = example.run("network", tmp_path, max_steps=None, max_seconds=0.4)
    assert first.stopped_by == "max_seconds"
    assert 0.4 <= first.seconds < 2
    _, second = example.run("network", tmp_path, max_steps=None, max_seconds=0.8)
    assert second.steps > first.steps
    assert 0.8 <= second.seconds < 2.4


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 3}, "seed"), ({"gradient_clip": 1.0}, "gradient_clip"), ({"max_steps": 4}, "already trained")],
)
def test_directory_of_another_training_is_refused(tmp_path, change, named):
    example.run("network", tmp_path, max_steps=5)
    with pytest.raises(ConfigError, match=named):
        example.run("network", tmp_path, **{"max_steps": 5, **change})


def test_other_architecture_is_refused_and_resume_false_starts_over(tmp_path):
    example.run("network", tmp_path, max_steps=5)
    with pytest.raises(ConfigError, match="module"):
        example.run("adversaries", tmp_path, max_steps=5)
    _, record = example.run("adversaries", tmp_path, max_steps=3, resume=False)
    assert record.steps == 3


def test_damaged_checkpoint_is_refused(tmp_path):
    example.run("network", tmp_path, max_steps=5)
    checkpoint = next((tmp_path / "checkpoints").iterdir())
    checkpoint.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(CheckpointError, match="safetensors"):
        example.run("network", tmp_path, max_steps=9)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_finishes_the_step_keeps_a_checkpoint_and_propagates(tmp_path, number, monkeypatch):
    class Interrupting(example.Noise):
        def batch(self, step, rank, world):
            if step == 12:
                os.kill(os.getpid(), number)
            return super().batch(step, rank, world)

    whole, _ = example.run("network", tmp_path / "whole")
    monkeypatch.setattr(example, "Noise", Interrupting)
    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        example.run("network", tmp_path / "cut", checkpoint_every=1000)
    assert signal.getsignal(number) == handler
    assert len(list((tmp_path / "cut" / "checkpoints").glob("step-*"))) == 1
    monkeypatch.undo()
    resumed, _ = example.run("network", tmp_path / "cut", checkpoint_every=1000)
    assert_same_weights(whole, resumed)


def test_interrupt_raised_within_a_step_propagates(tmp_path, monkeypatch):
    def interrupted(self, batch, batch_idx):
        raise KeyboardInterrupt

    monkeypatch.setattr(example.Network, "training_step", interrupted)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        example.run("network", tmp_path)
    assert signal.getsignal(signal.SIGINT) == handler


def test_loss_that_is_not_finite_ends_with_a_reason(tmp_path, monkeypatch):
    class Broken(example.Noise):
        def batch(self, step, rank, world):
            features, wanted = super().batch(step, rank, world)
            return features, wanted * (np.float32(np.inf) if step == 9 else 1)

    monkeypatch.setattr(example, "Noise", Broken)
    with pytest.raises(TrainingError, match="loss is not finite at step 10"):
        example.run("network", tmp_path)


def test_training_without_an_end_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="never end"):
        train(example.new("network"), example.Noise(), TrainerSettings(tmp_path))


@pytest.mark.parametrize(
    "wrong", [{"max_steps": 0}, {"max_seconds": -1.0}, {"workers": -1}, {"log_every": 0}]
)
def test_settings_out_of_range_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainerSettings(tmp_path, **wrong)


def test_map_style_data_set_trains(tmp_path):
    rows = [(np.full(6, index, np.float32), np.float32([index])) for index in range(10)]
    record = train(
        example.new("network"),
        rows,
        TrainerSettings(tmp_path, max_steps=6, progress=False, device="cpu"),
        batch_size=4,
    )
    assert record.steps == 6


def test_shuffled_batches_share_an_epoch_without_repeats():
    data = ShuffledBatches(list(range(24)), batch_size=3, seed=5)
    first = [index for step in range(4) for rank in range(2) for index in data.indices(step, rank, 2)]
    second = [index for step in range(4, 8) for rank in range(2) for index in data.indices(step, rank, 2)]
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


def test_plain_progress_tells_step_rate_loss_and_time_left(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("doppelbench.engine.progress.PLAIN_EVERY", 0.0)
    example.run("network", tmp_path, max_steps=20, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "step 19 of 20" in captured.err
    assert all(word in captured.err for word in ("steps/s", "loss", "left"))
    assert all(line.startswith("training: ") for line in captured.err.splitlines())


def test_bar_on_a_terminal_shows_the_same_and_goes_away():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    progress = TrainingProgress(10, None, stream=stream)
    progress.start(0)
    time.sleep(0.25)
    progress.update(5, 0.25, {"loss": 0.5})
    progress.close()
    assert "step 5 of 10" in stream.getvalue()
    assert "loss 0.5" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_read_like_a_person_writes_them(seconds, text):
    assert duration(seconds) == text


@pytest.mark.gpu
def test_cuda_training_resumes_where_it_stopped(tmp_path):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    whole, _ = example.run("network", tmp_path / "whole", device="cuda", max_steps=20, workers=2)
    example.run("network", tmp_path / "cut", device="cuda", max_steps=9, workers=2)
    resumed, record = example.run("network", tmp_path / "cut", device="auto", max_steps=20, workers=2)
    assert record.peak_memory > 0
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'gpu'.*cpu, cuda"):
        TrainerSettings(tmp_path, max_steps=1, device="gpu")
