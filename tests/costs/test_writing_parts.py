"""The parts of a cost function's writing: the function in a reply, the choice among rounds, the settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrl_proco.core.errors import UserError
from osrl_proco.costs.writing.evidence import Assessment
from osrl_proco.costs.writing.generate import Settings, choose
from osrl_proco.costs.writing.reply import NoFunction, Reply, function_text
from osrl_proco.costs.writing.transcript import Round


def function(threshold):
    return f'def cost(obs):\n    return obs["gap"][..., 0] <= {threshold}\n'


def reply(text):
    return Reply(text, "end_turn", "m", 1, 1)


@pytest.mark.parametrize(
    "text",
    [
        f"```python\n{function(1)}```",
        f"Here it is:\n\n```py\n{function(1)}```\nIt marks 1 m.",
        f"```\n{function(1)}```",
        f"Put nothing like\n```\nx = 1\n```\nbut\n```python\n{function(1)}```",
        function(1),
        f"  ```python\n{function(1)}  ```",
    ],
)
def test_the_function_is_found_in_a_reply(text):
    assert function_text(reply(text)) == function(1)


@given(st.text(max_size=200))
def test_any_text_gives_a_function_or_a_reason(text):
    try:
        found = function_text(reply(text))
    except NoFunction:
        return
    assert found.strip()
    assert found.strip() in text


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 100)), max_size=8))
def test_the_choice_is_the_first_accepted_or_the_best_by_accuracy_then_distance(counts):
    settings = Settings(p_low=0.03, p_high=0.20)
    rounds = [Round("q", reply(""), "s", assessment=Assessment(5, found, 100, flagged)) for found, flagged in counts]
    for r in rounds:
        r.verdict = r.assessment.verdict(0.03, 0.20)
    chosen = choose(rounds, settings)
    if not rounds:
        assert chosen is None
        return
    accepted = [r for r in rounds if r.assessment.found == 5 and 3 <= r.assessment.flagged <= 20]
    if accepted:
        assert chosen is accepted[0]
        return
    best = max(found for found, _ in counts)
    distance = [max(3 - flagged, flagged - 20, 0) for found, flagged in counts if found == best]
    assert chosen.assessment.found == best
    assert max(3 - chosen.assessment.flagged, chosen.assessment.flagged - 20, 0) == min(distance)


@pytest.mark.parametrize("bad", [{"p_low": 0.5, "p_high": 0.2}, {"p_high": 1.5}, {"max_queries": 0}, {"max_tokens": 9}])
def test_senseless_settings_are_refused(bad):
    with pytest.raises(UserError, match="--"):
        Settings(**bad)
