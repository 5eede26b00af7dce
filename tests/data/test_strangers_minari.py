"""Minari folders that are broken: each is answered by one line."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from carts import task_file
from strangers import GOOD, bounded  # noqa: F401

from osrl_proco.core.errors import UserError
from osrl_proco.data import from_minari
from osrl_proco.tasks import load_task


@pytest.fixture
def minari_folder(tmp_path, monkeypatch):
    pytest.importorskip("minari")
    from osrl_proco.data import from_arrays, to_minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    task = load_task(task_file())
    to_minari(from_arrays(GOOD, task), "cart/stranger-v0", task, description="a cart")
    return tmp_path / "minari" / "cart" / "stranger-v0" / "data"


def edit(folder, change):
    with h5py.File(folder / "main_data.hdf5", "a") as handle:
        change(handle["episode_0"])


def replace(key, values):
    def change(episode):
        del episode[key]
        if values is not None:
            episode[key] = values

    return lambda folder: edit(folder, change)


BROKEN = {
    "no data": lambda f: (f / "main_data.hdf5").unlink(),
    "empty data": lambda f: (f / "main_data.hdf5").write_bytes(b""),
    "cut data": lambda f: (f / "main_data.hdf5").write_bytes((f / "main_data.hdf5").read_bytes()[:3000]),
    "no metadata": lambda f: (f / "metadata.json").unlink(),
    "metadata of words": lambda f: (f / "metadata.json").write_text("hello"),
    "metadata without fields": lambda f: (f / "metadata.json").write_text("{}"),
    "another number of episodes": lambda f: (f / "metadata.json").write_text(
        (f / "metadata.json").read_text().replace('"total_episodes": 6', '"total_episodes": 60')
    ),
    "no rewards": replace("rewards", None),
    "rewards of words": replace("rewards", [b"x"] * 40),
    "rewards one short": replace("rewards", np.zeros(3)),
    "no observations": replace("observations", None),
    "observations one short": replace("observations", np.zeros((4, 2))),
    "actions one short": replace("actions", np.zeros((4, 1))),
    "no infos": replace("infos", None),
    "terminations of words": replace("terminations", [b"x"] * 40),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_minari_folder_is_one_line(case, minari_folder):
    BROKEN[case](minari_folder)
    with pytest.raises(UserError) as raised:
        from_minari("cart/stranger-v0", load_task(task_file()))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("cart/stranger-v0: ")
