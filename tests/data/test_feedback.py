"""A person's files: what is read, and one line for what is wrong with them."""

from __future__ import annotations

import json

import pytest
import torch
from test_trajectories import recorded

from osrl_proco.core.errors import UserError
from osrl_proco.data.feedback import Feedback, data_key, read_preferences, read_safety_labels

ENDS = torch.zeros(60)
ENDS[29] = ENDS[59] = 1.0
DATA = recorded([0] * 60, timeouts=ENDS.numpy())
KEY = data_key(DATA)


def test_what_is_written_is_read(tmp_path):
    Feedback("preferences", KEY, 10, ((0, 35, "first"), (5, 50, "same"))).write(tmp_path / "p.json")
    length, rows, choices = read_preferences(str(tmp_path / "p.json"), DATA)
    assert (length, rows.tolist(), choices.tolist()) == (10, [0, 35, 5, 50], [1.0, 0.5])
    Feedback("safety labels", KEY, 10, ((0, "safe"), (35, "unsafe"), (0, "safe"))).write(tmp_path / "s.json")
    assert read_safety_labels(str(tmp_path / "s.json"), DATA) == (10, {0: False, 35: True})


def test_the_key_is_of_what_was_seen_and_done():
    other = recorded([1] * 60, timeouts=ENDS.numpy())  # other costs
    assert data_key(other) == KEY
    assert data_key(DATA.index(slice(0, 30))) != KEY


HEAD = {"kind": "preferences", "data": KEY, "length": 10}
WRONG = {
    "no JSON": ("{", "not valid JSON"),
    "a list": ("[]", '"kind" must be "preferences"'),
    "another kind": ({**HEAD, "kind": "safety labels", "segments": [[0, "safe"]]}, '"kind" must be "preferences"'),
    "other data": ({**HEAD, "data": "abc", "pairs": [[0, 1, "first"]]}, "\"data\" is 'abc'"),
    "no length": ({**HEAD, "length": None, "pairs": [[0, 1, "first"]]}, '"length" must be a whole number'),
    "a short length": ({**HEAD, "length": 2, "pairs": [[0, 1, "first"]]}, "at least 8"),
    "no pairs": (HEAD, '"pairs" must be a list'),
    "empty": ({**HEAD, "pairs": []}, "at least one entry"),
    "a word unknown": ({**HEAD, "pairs": [[0, 1, "first"], [0, 1, "left"]]}, r"pairs\[1\]: must be \[row, row, word\]"),
    "too few": ({**HEAD, "pairs": [[0, "first"]]}, r"pairs\[0\]: must be \[row, row, word\]"),
    "no entry": ({**HEAD, "pairs": [7]}, r"pairs\[0\]: must be \[row, row, word\]"),
    "an empty entry": ({**HEAD, "pairs": [[]]}, r"pairs\[0\]: must be \[row, row, word\]"),
    "a nested word": ({**HEAD, "pairs": [[0, 1, ["first"]]]}, r"pairs\[0\]: must be \[row, row, word\]"),
    "a row that is none": ({**HEAD, "pairs": [[0, 60, "first"]]}, r"pairs\[0\]: 60 is no row of the data \(0 to 59\)"),
    "a row that is text": ({**HEAD, "pairs": [["0", 1, "first"]]}, r"pairs\[0\]: 0 is no row"),
    "a row that is true": ({**HEAD, "pairs": [[True, 1, "first"]]}, r"pairs\[0\]: True is no row"),
    "across an end": ({**HEAD, "pairs": [[0, 25, "first"]]}, "row 25 is followed by 5 steps of its trajectory, not 10"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_one_line_that_names_file_and_field(tmp_path, case):
    content, said = WRONG[case]
    file = tmp_path / "p.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError, match=said) as caught:
        read_preferences(str(file), DATA)
    assert str(caught.value).startswith(f"--preferences {file}")
    assert "\n" not in str(caught.value)


def test_a_segment_that_is_both_is_refused(tmp_path):
    Feedback("safety labels", KEY, 10, ((0, "safe"), (0, "unsafe"))).write(tmp_path / "s.json")
    with pytest.raises(UserError, match=r"segments\[1\]: row 0 is both safe and unsafe"):
        read_safety_labels(str(tmp_path / "s.json"), DATA)


def test_a_file_that_is_not_there():
    with pytest.raises(UserError, match=r"--preferences gone.json: no such file"):
        read_preferences("gone.json", DATA)
