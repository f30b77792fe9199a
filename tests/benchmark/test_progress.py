"""What is said of trainings in other processes."""

from doppelbench.benchmark.progress import TrainingWatch

LOG = "step,metric,value\n1,loss,0.5\n50,loss,0.04\n50,steps_per_second,10\n"


def test_a_training_is_told_by_its_log(tmp_path):
    path = tmp_path / "log.csv"
    watch = TrainingWatch({"exemplar/ann": path}, {"exemplar/ann": 150})
    assert watch.line("exemplar/ann", path) == ""
    path.write_text(LOG)
    assert watch.line("exemplar/ann", path) == (
        "exemplar/ann: step 50 of 150, loss 0.0400, 10.0 steps/s, 10 s left"
    )


def test_a_line_that_is_being_written_is_no_error(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG + "100,lo")
    assert TrainingWatch({"a": path}, {"a": 150}).line("a", path) == ""


def test_a_finished_training_is_not_told_again(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    assert TrainingWatch({"a": path}, {"a": 50}).line("a", path) == ""


def test_a_watch_speaks_while_it_is_open(tmp_path, capsys):
    path = tmp_path / "log.csv"
    path.write_text(LOG)
    with TrainingWatch({"a": path}, {"a": 150}, every=0.01) as watch:
        while not watch._shown:
            watch._ended.wait(0.01)
    assert capsys.readouterr().err.count("a: step 50 of 150") == 1
