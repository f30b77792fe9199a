"""The diagnosis of a run tells natural speech from what a system makes of it."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "diagnose_speaker.py"


def test_natural_speech_is_whole_and_an_untrained_model_is_not(finished, capsys):
    spec = importlib.util.spec_from_file_location("diagnose_speaker", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(finished.folder, "exemplar")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    header, rows = rows[0], rows[2:]
    assert {row[0] for row in rows} == {"ana", "ben"}
    deltas = {(row[0], row[1]): float(row[header.index("deltas left")]) for row in rows}
    for target in ("ana", "ben"):
        assert deltas[target, "natural"] == 1.0
        assert deltas[target, "conversion"] < deltas[target, "vocoder copy"]
