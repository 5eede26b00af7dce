"""What each patch changes in the upstream packages, and what it does not."""

import importlib.metadata
import random
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from releases import needs, run

# ---- OSRL and FSRL ---------------------------------------------------------------------------------------------------

TRAIN = """
import osrl_proco, hashlib, torch
torch.set_num_threads(1)
from fsrl.utils import BaseLogger
from osrl.algorithms import BCQL, BCQLTrainer, BEARL, BEARLTrainer, CPQ, CPQTrainer
for model_class, trainer_class in ((BCQL, BCQLTrainer), (BEARL, BEARLTrainer), (CPQ, CPQTrainer)):
    torch.manual_seed(0)
    model = model_class(4, 2, 1.0, a_hidden_sizes=[16], c_hidden_sizes=[16], vae_hidden_sizes=16, sample_action_num=3)
    extra = {"alpha_lr": 1e-3} if model_class is not BCQL else {}
    trainer = trainer_class(model, None, logger=BaseLogger(), actor_lr=1e-3, critic_lr=1e-3, vae_lr=1e-3, **extra)
    for _ in range(5):
        trainer.train_one_step(torch.randn(8, 4), torch.randn(8, 4), torch.rand(8, 2), torch.randn(8),
                               torch.rand(8).round(), torch.zeros(8))
    seen = hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.state_dict().values()))
    for key in sorted(trainer.logger.logger_keys):
        seen.update(f"{key} {float(trainer.logger.get_mean(key))} {float(trainer.logger.get_std(key))}".encode())
    print(model_class.__name__, seen.hexdigest())
"""


def test_training_and_its_logs_are_the_same_with_and_without_patches():
    pytest.importorskip("torch")
    needs("osrl-lib")
    needs("fast-safe-rl")
    pytest.importorskip("wandb")
    pytest.importorskip("tensorboard")
    patched, stock = run(TRAIN), run(TRAIN, OSRL_PROCO_PATCHES="0")
    assert patched.returncode == 0, patched.stderr
    assert stock.returncode == 0, stock.stderr
    assert len(patched.stdout.splitlines()) == 3
    assert patched.stdout.splitlines() == stock.stdout.splitlines()[-3:]


def test_osrl_imports_in_silence_without_wandb_tensorboard_scipy_oapackage_and_tianshou():
    pytest.importorskip("torch")
    needs("osrl-lib")
    needs("fast-safe-rl")
    done = run("""
        import sys
        for name in ("wandb", "tensorboard", "scipy", "oapackage", "tianshou", "matplotlib"):
            sys.modules[name] = None
        import osrl_proco, osrl.algorithms, osrl.common, fsrl.utils
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_losses_are_tensors_and_loggers_take_them():
    needs("osrl-lib")
    needs("fast-safe-rl")
    torch = pytest.importorskip("torch")
    from fsrl.utils import BaseLogger
    from osrl.algorithms import BCQL

    model = BCQL(4, 2, 1.0)
    model.setup_optimizers(1e-3, 1e-3, 1e-3)
    _, stats = model.vae_loss(torch.zeros(8, 4), torch.zeros(8, 2))
    assert all(torch.is_tensor(v) and not v.requires_grad for v in stats.values())
    values = [0.1, -3.0, 7.5]
    of_tensors, of_floats = BaseLogger(), BaseLogger()
    for value in values:
        of_tensors.store(x=torch.tensor(value, dtype=torch.float64))
        of_floats.store(x=value)
    assert of_tensors.get_mean("x") == of_floats.get_mean("x") == pytest.approx(np.mean(values))
    assert of_tensors.get_std("x") == of_floats.get_std("x") == pytest.approx(np.std(values))


def test_a_checkpoint_with_more_than_tensors_loads(tmp_path):
    needs("osrl-lib")
    torch = pytest.importorskip("torch")
    from osrl.common.exp_util import load_config_and_model

    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "config.yaml").write_text("task: x\n")
    torch.save({"model_state": {"w": torch.ones(2)}, "score": np.float64(1.5)}, tmp_path / "checkpoint" / "model.pt")
    config, model = load_config_and_model(str(tmp_path))
    assert config == {"task": "x"}
    assert model["score"] == 1.5


# ---- DSRL ------------------------------------------------------------------------------------------------------------


def test_dsrl_imports_in_silence_and_keeps_the_simulators_that_are_there():
    needs("dsrl")
    done = run("""
        import sys
        sys.modules["bullet_safety_gym"] = sys.modules["pybullet"] = sys.modules["metadrive"] = None
        import osrl_proco, dsrl, gymnasium, importlib.util
        assert list(dsrl.UNAVAILABLE)[-1] == "metadrive", dsrl.UNAVAILABLE
        if importlib.util.find_spec("safety_gymnasium"):
            assert list(dsrl.UNAVAILABLE) == ["metadrive"], dsrl.UNAVAILABLE
            gymnasium.spec("OfflineWalker2dVelocityGymnasium-v1")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_dataset_links_name_the_present_host():
    needs("dsrl")
    from dsrl import infos

    assert len(infos.DATASET_URLS) == 38
    assert all(u.startswith("https://huggingface.co/datasets/") for u in infos.DATASET_URLS.values())
    assert infos.DATASET_URLS["PointGoal1"].endswith("/SafetyPointGoal1Gymnasium-v0-100-2022.hdf5")


def test_a_download_cut_short_leaves_nothing(tmp_path, monkeypatch, capsys):
    needs("dsrl")
    from dsrl import offline_env

    monkeypatch.setattr(offline_env, "DATASET_PATH", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    source = tmp_path / "data.hdf5"
    source.write_bytes(b"all of it")

    def cut(url, target):
        Path(target).write_bytes(b"all")
        raise urllib.request.ContentTooShortError("cut", b"")

    with monkeypatch.context() as patch:
        patch.setattr(urllib.request, "urlretrieve", cut)
        with pytest.raises(OSError, match="cut"):
            offline_env.download_dataset_from_url(source.as_uri())
    assert list((tmp_path / "cache").iterdir()) == []
    assert Path(offline_env.download_dataset_from_url(source.as_uri())).read_bytes() == b"all of it"
    assert [f.name for f in (tmp_path / "cache").iterdir()] == ["data.hdf5"]


def an_offline_env():
    import gymnasium
    from dsrl.offline_env import OfflineEnv

    class Line(OfflineEnv):
        observation_space = gymnasium.spaces.Box(-9, 9, (1,), np.float64)
        action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float64)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return self.np_random.uniform(-1, 1, 1), {}

        def step(self, action):
            return np.array(action), 2.0, False, False, {"cost": 0.0}

    return Line(max_episode_reward=10.0, min_episode_reward=0.0, max_episode_cost=5.0, min_episode_cost=0.0)


def test_wrapped_environments_reset_with_a_seed_and_know_their_score():
    needs("dsrl")
    from dsrl.offline_env import OfflineEnvWrapper, wrap_env

    env = OfflineEnvWrapper(wrap_env(an_offline_env(), state_mean=1.0, state_std=2.0, reward_scale=0.1))
    first, _ = env.reset(seed=3, options={})
    again, _ = env.reset(seed=3)
    assert first == again != env.reset()[0]
    observation, reward, *_ = env.step([0.5])
    assert (observation[0], reward) == (pytest.approx(-0.25), pytest.approx(0.2))
    env.set_target_cost(4)
    assert env.get_normalized_score(5.0, 2.0) == (0.5, 0.5)


def test_pre_processing_writes_nothing_and_does_not_depend_on_the_run(tmp_path, monkeypatch, capsys):
    needs("dsrl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    rng = np.random.default_rng(0)
    episodes, length = 60, 5
    level = np.repeat(rng.uniform(size=episodes), length)
    data = {
        "observations": np.arange(episodes * length, dtype=np.float32)[:, None],
        "rewards": (level + rng.uniform(size=level.shape)).astype(np.float32),
        "costs": (rng.uniform(size=level.shape) < level).astype(np.float32),
        "terminals": np.zeros(level.shape),
        "timeouts": np.tile(np.arange(length) == length - 1, episodes).astype(float),
    }
    env = an_offline_env()
    assert all(np.array_equal(v, data[k]) for k, v in env.pre_process_data(dict(data)).items())
    thinned = []
    for seed in (1, 2):
        random.seed(seed)
        kept = env.pre_process_data(dict(data), density=0.5, cbins=3, rbins=3)
        thinned.append(kept["observations"])
    assert len(thinned[0]) < episodes * length
    assert np.array_equal(*thinned)
    inpainted = env.pre_process_data(dict(data), inpaint_ranges=((0, 0.5, 0.5, 1), (0.6, 1, 0.7, 1)))
    assert 0 < len(inpainted["rewards"]) < episodes * length
    assert list(tmp_path.iterdir()) == []


# ---- simulators ------------------------------------------------------------------------------------------------------

SAFETY_GYMNASIUM = [
    *(
        f"Offline{a}{t}{n}Gymnasium-v0"
        for a in ("Point", "Car")
        for t in ("Goal", "Button", "Push", "Circle")
        for n in "12"
    ),
    *(f"Offline{a}VelocityGymnasium-v1" for a in ("Ant", "HalfCheetah", "Hopper", "Swimmer", "Walker2d")),
]
BULLET = [f"Offline{a}{t}-v0" for a in ("Ant", "Ball", "Car", "Drone") for t in ("Run", "Circle")]
QUICK = {"OfflinePointGoal1Gymnasium-v0", "OfflineCarPush2Gymnasium-v0", "OfflineSwimmerVelocityGymnasium-v1"}


def roll(task: str, steps: int = 20) -> list[float]:
    """Observations and costs of a seeded episode with a listed (not array) action, as one flat list."""
    import gymnasium

    env = gymnasium.make(task)
    observation, _ = env.reset(seed=5)
    env.action_space.seed(0)
    seen = list(observation)
    for _ in range(steps):
        observation, _, terminated, truncated, info = env.step(env.action_space.sample().tolist())
        seen += [*observation, info["cost"]]
        if terminated or truncated:
            break
    env.close()
    return seen


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "task", [t if t in QUICK else pytest.param(t, marks=pytest.mark.slow) for t in SAFETY_GYMNASIUM]
)
def test_safety_gymnasium_tasks_run_and_repeat(task):
    needs("dsrl")
    needs("safety-gymnasium")
    pytest.importorskip("mujoco")
    if importlib.metadata.version("gymnasium") != "0.28.1":
        pytest.skip("safety-gymnasium 0.4.0 runs with gymnasium 0.28.1 only")
    import dsrl  # noqa: F401

    assert roll(task) == roll(task)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_sky_is_loaded_only_where_it_can_be_seen_and_changes_nothing():
    needs("dsrl")
    needs("safety-gymnasium")
    pytest.importorskip("mujoco")
    if importlib.metadata.version("gymnasium") != "0.28.1":
        pytest.skip("safety-gymnasium 0.4.0 runs with gymnasium 0.28.1 only")
    import dsrl  # noqa: F401
    import gymnasium

    seen = []
    for mode in (None, "rgb_array"):
        env = gymnasium.make("OfflinePointGoal1Gymnasium-v0", render_mode=mode)
        first, _ = env.reset(seed=0)
        second = env.step(np.ones(2))[0]
        seen.append((env.unwrapped.task.model.ntex, first.tolist(), second.tolist()))
        env.close()
    blind, looking = seen
    assert looking[0] == blind[0] + 1
    assert looking[1:] == blind[1:]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("task", BULLET)
def test_bullet_tasks_run_and_repeat_whatever_the_global_generator(task):
    needs("dsrl")
    needs("bullet-safety-gym")
    pytest.importorskip("pybullet")
    import dsrl  # noqa: F401

    np.random.seed(0)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first = roll(task)
    np.random.seed(1)  # noqa: NPY002
    assert roll(task) == first
    np.random.seed(0)  # noqa: NPY002
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_a_render_mode_reaches_the_simulators():
    needs("dsrl")
    needs("bullet-safety-gym")
    pytest.importorskip("pybullet")
    import dsrl  # noqa: F401
    import gymnasium

    env = gymnasium.make("OfflineBallRun-v0", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    env.close()
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3
