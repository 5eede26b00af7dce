"""`osrl-proco label`: a person's answers end in files that PreSa trains on."""

from __future__ import annotations

import json

import pytest

from osrl_proco.cli import main

FILES = ["--preferences", "p.json", "--safety_labels", "s.json"]
DATA = ["--task", "OfflineBrake-v0", "--num_pairs", "4"]


def answering(monkeypatch, *lines):
    waiting = list(lines)

    def answer(question):
        if not waiting:
            raise EOFError
        return waiting.pop(0)

    monkeypatch.setattr("builtins.input", answer)
    return waiting


def read():
    with open("p.json") as p, open("s.json") as s:
        return json.load(p), json.load(s)


def test_answers_are_written_and_gone_on_with(monkeypatch, capsys, tmp_path):
    left = answering(monkeypatch, "1", "0", "what?", "=", "2", "q")
    assert main(["label", *FILES, *DATA]) == 0
    assert left == []
    assert "please answer 1, 2, =, s, q" in capsys.readouterr().out
    pairs, labels = read()
    assert [word for *_, word in pairs["pairs"]] == ["first", "same"]
    assert [word for _, word in labels["segments"]] == ["safe", "safe", "safe", "unsafe"]
    assert (tmp_path / "pair.png").read_bytes()[:4] == b"\x89PNG"

    answering(monkeypatch, "s", "2", "b")  # and the input ends
    assert main(["label", *FILES, *DATA]) == 0
    assert "2 pairs are there already" in capsys.readouterr().out
    more, _ = read()
    assert more["pairs"][:2] == pairs["pairs"]
    assert [word for *_, word in more["pairs"]] == ["first", "same", "second"]

    words = "--algo presa --update_steps 20 --batch_size 4 --eval_every 0 --eval_episodes 1 --threads 1 --proco false"
    assert main(["train", *FILES, "--task", "OfflineBrake-v0", *words.split(), "--logdir", "run"]) == 0
    assert "presa: 3 pairs of segments of 20 steps, 3 of 6 unsafe" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preferences", "p.json"], "--safety_labels FILE.json is missing"),
        ([*FILES, "--picture", "a.jpg"], "must end in .png"),
        (["--preferences", "no/p.json", "--safety_labels", "s.json"], "the folder no does not exist"),
        ([*FILES, *DATA, "--num_pair", "3"], "unknown setting 'num_pair'"),
    ],
)
def test_mistakes_are_one_line(words, said, capsys):
    assert main(["label", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_files_of_other_segments_are_not_gone_on_with(monkeypatch, capsys):
    answering(monkeypatch, "1", "0", "q")
    assert main(["label", *FILES, *DATA]) == 0
    capsys.readouterr()
    assert main(["label", *FILES, *DATA, "--segment_steps", "10"]) == 2
    assert "p.json: segments of 20 steps, asked are 10; give --segment_steps 20" in capsys.readouterr().err
    assert main(["label", *FILES, *DATA, "--safe_only", "false"]) == 2
    assert '"data" is' in capsys.readouterr().err


def test_help_says_how(capsys):
    assert main(["label", "--help"]) == 0
    assert "osrl-proco train --algo presa --preferences FILE" in capsys.readouterr().out


def test_a_wrong_file_is_found_before_a_folder_is_made_or_a_model_fitted(capsys, tmp_path):
    (tmp_path / "p.json").write_text('{"kind": "preferences", "data": "another", "length": 20, "pairs": []}')
    words = ["--algo", "presa", "--task", "OfflineBrake-v0", "--preferences", "p.json", "--logdir", "run"]
    assert main(["train", *words]) == 2
    told = capsys.readouterr()
    assert "--preferences p.json: \"data\" is 'another'" in told.err
    assert "Dynamics" not in told.out
    assert not (tmp_path / "run").exists()
