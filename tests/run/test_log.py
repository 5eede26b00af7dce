"""What metrics.csv is made of: figures on the device and plain numbers side by side, in the order they came in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tiny import rows

from osrl_proco.core.errors import UserError
from osrl_proco.run.callbacks import Log
from osrl_proco.run.folder import RunFolder


def fit(step):
    return SimpleNamespace(step=step, last=False, postfix={})


def test_numbers_stay_numbers_beside_figures_on_the_device(tmp_path):
    log = Log(RunFolder(tmp_path), every=5)
    log.before(fit(0))
    for step in (1, 2):  # a tensor of the meta device stands for one of a GPU: it can be added, not read
        log.after(fit(step), {"loss/actor": torch.ones((), device="meta"), "feasibility/h_max": 25.0})
    assert log.sums["loss/actor"].is_meta
    assert log.sums["feasibility/h_max"] == 50.0


def test_a_row_holds_the_means_of_both_in_their_order(tmp_path):
    log = Log(RunFolder(tmp_path), every=2)
    log.before(fit(0))
    for step, loss in ((1, 1.0), (2, 2.0)):
        log.after(fit(step), {"a": torch.tensor(loss), "b": 3.0 * loss, "c": torch.tensor([4.0])})
    (row,) = rows(tmp_path / "metrics.csv")
    assert list(row)[:4] == ["step", "a", "b", "c"]
    assert [float(row[k]) for k in ("a", "b", "c")] == [1.5, 4.5, 4.0]


@pytest.mark.parametrize("bad", [torch.tensor(float("nan")), float("inf")])
def test_what_is_not_finite_stops_the_run_be_it_a_tensor_or_a_number(tmp_path, bad):
    log = Log(RunFolder(tmp_path), every=1)
    log.before(fit(0))
    with pytest.raises(UserError, match="loss/q is not finite any more at update 1"):
        log.after(fit(1), {"loss/p": torch.ones(()), "loss/q": bad})


def figures(loss=0.1, q=-0.5, v=-0.6):
    return {"loss/feasibility_q": loss, "feasibility/q": q, "feasibility/v": v}


# h_max 1: values from -1 to 2, a range of 3. Two Q that miss by all of it: a loss of 2 * 9; -1 - 3 = -4; 2 + 3 = 5.
@pytest.mark.parametrize("healthy", [{}, {"loss": 18.0}, {"q": -4.0}, {"v": 5.0}])
@pytest.mark.parametrize("beyond", [{"loss": 18.1}, {"q": -4.1}, {"q": 5.1}, {"v": -4.1}, {"v": 5.1}])
def test_a_critic_that_leaves_the_range_of_h_is_named_once(tmp_path, capsys, healthy, beyond):
    log = Log(RunFolder(tmp_path), every=1, h_max=1.0)
    log.before(fit(0))
    for step, what in enumerate((healthy, beyond, beyond), 1):
        log.after(fit(step), figures(**what))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("step 2: WARNING: the feasibility critic diverges")
    assert "-1 to 2" in line


def test_an_algorithm_without_such_a_critic_is_not_asked(tmp_path, capsys):
    log = Log(RunFolder(tmp_path), every=1, h_max=1.0)
    log.before(fit(0))
    log.after(fit(1), {"loss/actor": 1e6})
    assert not capsys.readouterr().out


def test_a_greater_h_max_allows_more(tmp_path, capsys):
    log = Log(RunFolder(tmp_path), every=1, h_max=25.0)
    log.before(fit(0))
    log.after(fit(1), figures(loss=2 * 51.0**2, q=-52.0, v=101.0))
    assert not capsys.readouterr().out
