"""The tool that kills trainings: it counts its kills, and sees what is wrong."""

import sys

import kill_training
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    kill_training.run(folder)
    return folder


def test_three_kills_change_nothing(monkeypatch, capfd):
    monkeypatch.setattr("sys.argv", ["kill_training.py", "--kills", "3", "--seed", "1"])
    assert kill_training.main() == 0
    said = capfd.readouterr().out.splitlines()[-1]
    assert said.startswith("3 kills in ") and said.endswith("same bits and left nothing behind")


def test_the_training_moves_on_in_its_curriculum(finished):
    stages = [row[-1] for row in kill_training.state(finished)[-1]["rows"]]
    assert stages[0] == 0 and stages[-1] == 1


def test_what_is_wrong_is_seen(finished, monkeypatch):
    right = kill_training.state(finished)
    assert kill_training.differences(finished, 0, right) == []
    assert "exit status 1" in kill_training.differences(finished, 1, right)[0]
    other = (bytes(len(right[0])), *right[1:])
    assert kill_training.differences(finished, 0, other) == ["other numbers than without a kill"]
    (finished / ".run.npz.0.part").write_bytes(b"half")
    assert "left behind: ['.run.npz.0.part'" in kill_training.differences(finished, 0, right)[0]


def test_no_kills_are_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["kill_training.py", "--kills", "0"])
    with pytest.raises(SystemExit):
        kill_training.main()
    assert "--kills must be at least 1, got 0" in capsys.readouterr().err
