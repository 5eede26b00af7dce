"""One run from its settings to its folder."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..algorithms.agent import Agent
from ..algorithms.registry import algorithm
from ..core.errors import UserError, first_line
from ..core.files import read_text
from ..core.graph import Captured, CudaGraph
from ..core.random import Streams, drawing_from
from ..core.state import optimizers_of
from ..proco.danger import Danger
from ..proco.reads import Reads
from ..proco.source import FeasibilityData, SourceSettings, relabelled
from ..proco.ways import Ways
from ..tasks.task import load_task, task_file
from .callbacks import Evaluate, Log, MeasureHeldOut, Refresh, Save
from .config import ProcoConfig
from .fit import Callback, Fit
from .folder import RunFolder, commit, versions
from .prepare import (
    Prepared,
    Rule,
    asks_the_model,
    cost_function,
    danger_of,
    dynamics_model,
    prepare,
    reads_of,
    resolve_device,
)

MISFIT = (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError)


def train(config: ProcoConfig, folder: RunFolder, resume: bool = False) -> None:
    """Train as `config` says and write everything to `folder`; with `resume`, go on from its checkpoint.

    Everything that can be wrong with the settings, the data or the cost function is found before a folder is made or a
    model fitted. Stops cleanly after the update under way on Ctrl-C or SIGTERM, with a checkpoint (KeyboardInterrupt is
    raised). Raises UserError for whatever the user can mend.
    """
    spec = algorithm(config.algo)
    if not resume:
        folder.refuse_a_run()
    device = resolve_device(config.device)
    torch.set_num_threads(config.threads)
    _require_loggers(config)
    task_text = read_text(folder.task if resume else task_file(config.task))
    task = load_task(folder.task if resume else config.task)
    prepared = prepare(config, task, device)
    rule = None
    if config.proco:
        rule = cost_function(folder.cost if resume else config.cost_function, prepared, config)
    if resume:
        _still_the_same(folder, config, prepared)
    settings = SourceSettings.of(config)
    data = relabelled(prepared.data, rule.cost) if rule and settings.relabel else prepared.data
    reads = reads_of(config, prepared, rule) if rule else None
    streams = Streams(config.seed, device)
    with drawing_from(streams["networks"]):
        agent = spec.create(config, prepared.problem(streams, device, reads))
    if config.fast:
        agent.speed_up()
    agent.prepare(data)
    update = captured(agent, streams, device, config.algo) if config.cuda_graph else agent.update
    sampler = agent.sampler(data)
    with folder.locked():
        if resume:
            folder.write_config(config)
        else:
            folder.create(config, _facts(config, prepared, rule, task_text), task_text, rule.text if rule else None)
        source = ways = None
        if rule:
            danger = danger_of(config, prepared, rule)
            model = None
            if settings.model_share > 0:
                asked = _by_its_own_copy(config, folder) if resume else config
                model = dynamics_model(asked, prepared, rule, danger, folder.dynamics)
            source = FeasibilityData(data, danger, model, settings, prepared.max_action)
            if model is not None and asks_the_model(config):
                ways = partial(Ways, model, Danger.of_model(rule.cost, model), config.hold)
        loggers = _fsrl_loggers(config, folder)
        callbacks = _callbacks(config, folder, prepared, source, loggers, device, reads, ways)
        batches = source.sampler(sampler) if source else sampler
        fit = Fit(agent, batches, streams, config.update_steps, source, callbacks, update)
        if resume:
            _restore(fit, folder, config, device)
        fit.run(config.algo if config.proco else f"{config.algo} (stock)")


def captured(agent: Agent, streams: Streams, device: str, name: str) -> Captured:
    """The agent's update as a CUDA graph. Raises UserError where it, the device or PyTorch cannot."""
    if not agent.capturable:
        raise UserError(f"--cuda_graph: {name}'s update cannot be captured; leave it out (fisor, lspc and caps can)")
    graph = CudaGraph(device, [streams["noise"]], optimizers_of(agent.parts()))
    agent.count_on_device()
    return Captured(agent.update, graph)


def _callbacks(
    config: ProcoConfig,
    folder: RunFolder,
    prepared: Prepared,
    source: FeasibilityData | None,
    loggers: list[Any],
    device: str,
    reads: Reads | None,
    ways: Callable[[], Ways] | None,
) -> list[Callback]:
    refresh = Refresh(source, config.rollout_every) if source is not None else None
    header = {
        "algo": config.algo,
        "proco": config.proco,
        "act_dim": prepared.data.actions.shape[1],
        "max_action": prepared.max_action,
        "action_bounds": (prepared.scale.low, prepared.scale.high) if prepared.scale else None,
        "episode_len": prepared.episode_len,
        "reference_returns": prepared.reference_returns,
        "data": prepared.fingerprint,
        "reads": reads.state_dict() if reads else None,
    }
    evaluation: Callback
    if prepared.heldout is not None:
        evaluation = MeasureHeldOut(config, folder, prepared.heldout)
    else:
        evaluation = Evaluate(config, folder, prepared, device, loggers, ways)
    return [
        *([refresh] if refresh else []),
        Log(folder, config.log_every, loggers, refresh, config.h_max if config.proco else None),
        evaluation,
        Save(lambda state: folder.save({**header, **state}), config.checkpoint_every),
    ]


def _restore(fit: Fit, folder: RunFolder, config: ProcoConfig, device: str) -> None:
    if not folder.checkpoint.exists():
        folder.drop_after(0)
        return
    saved = folder.load(config.algo, device)
    try:
        same = fit.load_state_dict(saved)
    except MISFIT as error:
        raise UserError(
            f"{folder.checkpoint}: does not fit the settings in config.yaml ({first_line(error)})"
        ) from None
    if not same:
        print("Resumed on another kind of device: the random streams go on from the seed and the update's number")
    folder.drop_after(fit.step)
    if fit.step > config.update_steps:
        raise UserError(
            f"--update_steps {config.update_steps}: the run in {folder.path} has made {fit.step} updates already"
        )
    if fit.last:
        print(f"{folder.path}: all {fit.step} updates are made; give more with --update_steps")


def _facts(config: ProcoConfig, prepared: Prepared, rule: Rule | None, task_text: str) -> dict[str, Any]:
    """run.json: what the run was made from."""
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "algorithm": config.algo,
        "proco": config.proco,
        "compat": config.compat,
        "preset": config.preset,
        "task": {"id": prepared.task.id, "sha256": sha256(task_text)},
        "data": {
            "file": os.path.abspath(config.dataset) if config.dataset else None,
            "sha256": prepared.fingerprint,
            "transitions": len(prepared.data),
        },
        "cost_function": {"name": rule.name, "sha256": sha256(rule.text)} if rule else None,
        "settings_sha256": sha256(json.dumps(dataclasses.asdict(config), sort_keys=True)),
        "versions": versions(),
        "commit": commit(),
    }


def _by_its_own_copy(config: ProcoConfig, folder: RunFolder) -> ProcoConfig:
    """The settings with the run's own copy of the model that `--dynamics` gave, where that is no more."""
    gone = config.dynamics and folder.dynamics.is_file() and not Path(config.dynamics).exists()
    return dataclasses.replace(config, dynamics=str(folder.dynamics)) if gone else config


def _still_the_same(folder: RunFolder, config: ProcoConfig, prepared: Prepared) -> None:
    """Say what of the run's sources has changed, and refuse where it can't go on."""
    facts = folder.facts()
    try:
        recorded, task, cost = facts["data"]["sha256"], facts["task"]["sha256"], facts["cost_function"]
        if recorded != prepared.fingerprint:
            raise UserError(
                f"{folder.path}: the data are not those this run was started with (SHA-256 {recorded[:12]}... in "
                "run.json); give the same file with --dataset, and the same --seed and split"
            )
        _say_changed(config.task if config.task.endswith((".yaml", ".yml")) else None, task, "task file")
        if cost is not None and config.cost_function:
            _say_changed(config.cost_function, cost["sha256"], "cost function")
    except (KeyError, TypeError):
        raise UserError(f"{folder.path / 'run.json'}: damaged; it must be what osrl-proco train wrote") from None


def _say_changed(file: str | None, before: str, what: str) -> None:
    if file is None:
        return
    try:
        now = sha256(read_text(file))
    except UserError:
        print(f"The {what} {file} is gone; the run goes on with its own copy")
        return
    if now != before:
        print(f"The {what} {file} has changed since; the run goes on with its own copy")


def sha256(text: str) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _require_loggers(config: ProcoConfig) -> None:
    for flag, wanted in (("tensorboard", config.tensorboard), ("wandb", config.wandb)):
        if wanted and flag not in sys.modules and importlib.util.find_spec(flag) is None:
            raise UserError(f"--{flag}: {flag} is not installed; pip install {flag}")


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """An environment variable for the block; one that the user has set stands."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _fsrl_loggers(config: ProcoConfig, folder: RunFolder) -> list[Any]:
    """FSRL's loggers, those asked for."""
    loggers: list[Any] = []
    if config.tensorboard:
        from fsrl.utils import TensorboardLogger

        loggers.append(TensorboardLogger(str(folder.path), name="tensorboard"))
    if config.wandb:
        from fsrl.utils import WandbLogger

        name = "".join([config.prefix or "", config.name or folder.path.name, config.suffix or ""])
        # One id for the life of the run, so that a resumed run stays one run on W&B (a patch makes FSRL heed it).
        facts = folder.facts()
        with _environment("WANDB_RUN_ID", sha256(f"{facts['started']} {facts['settings_sha256']} {name}")[:16]):
            loggers.append(WandbLogger(vars(config), config.project, config.group or config.task, name, None))
    return loggers
