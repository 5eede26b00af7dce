"""The task files of the velocity and Bullet tasks, entry by entry, against what the real simulators hold."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from osrl_proco.envs.make import make_env
from osrl_proco.tasks.task import Task, load_task

warnings.simplefilter("ignore")

LEGS = ("front_left", "front_right", "back_left", "back_right")
CHEETAH = {
    **{f"{end}_{part}": f"{end[0]}{part}" for end in ("back", "front") for part in ("thigh", "shin", "foot")},
}
HOPPER = {part: f"{part}_joint" for part in ("thigh", "leg", "foot")}
WALKER = {f"right_{part}": f"{part}_joint" for part in ("thigh", "leg", "foot")} | {
    f"left_{part}": f"{part}_left_joint" for part in ("thigh", "leg", "foot")
}
SWIMMER = {"first_joint": "motor1_rot", "second_joint": "motor2_rot"}
ANT = {f"{leg}_{j}": f"{j}_{i}" for i, leg in enumerate(LEGS, start=1) for j in ("hip", "ankle")}


def planar(joints, x, z, turn, names, clip=np.inf):
    """Entry name -> (joint, position or velocity, limit), for a robot of one degree of freedom per joint."""
    height, pitch, along, up, rate = names
    entries = {pitch: (turn, "qpos"), along: (x, "qvel"), up: (z, "qvel"), rate: (turn, "qvel")}
    if height:
        entries[height] = (z, "qpos")
    for entry, joint in joints.items():
        entries |= {f"{entry}_angle": (joint, "qpos"), f"{entry}_rate": (joint, "qvel")}
    return {name: (*where, clip if where[1] == "qvel" else np.inf) for name, where in entries.items()}


BODY = ("height", "pitch", "forward_velocity", "vertical_velocity", "pitch_rate")
SWIM = ("", "heading", "x_velocity", "y_velocity", "turn_rate")
VELOCITY = {
    "HalfCheetahVelocity": planar(CHEETAH, "rootx", "rootz", "rooty", BODY),
    "HopperVelocity": planar(HOPPER, "rootx", "rootz", "rooty", BODY, clip=10.0),
    "Walker2dVelocity": planar(WALKER, "rootx", "rootz", "rooty", BODY, clip=10.0),
    "SwimmerVelocity": planar(SWIMMER, "slider1", "slider2", "free_body_rot", SWIM),
    "AntVelocity": {
        **{f"{e}_angle": (joint, "qpos", np.inf) for e, joint in ANT.items()},
        **{f"{e}_rate": (joint, "qvel", np.inf) for e, joint in ANT.items()},
    },
}
ROBOTS = ("Ball", "Car", "Drone", "Ant")
BULLET = [f"{robot}{kind}" for robot in ROBOTS for kind in ("Run", "Circle")]


def entry_of(task: Task, name: str) -> slice:
    (entry,) = [e for e in task.entries if e.name == name]
    return slice(entry.start, entry.stop)


def environment(name: str, module: str):
    pytest.importorskip(module, reason=f"{module} is not installed")
    task = load_task(name)
    env = make_env(task)
    env.reset(seed=0)
    return task, env


@pytest.mark.parametrize("name", VELOCITY)
def test_every_entry_of_a_velocity_task_is_the_named_joint_of_the_simulator(name):
    task, env = environment(name, "safety_gymnasium")
    robot, rng = env.unwrapped, np.random.default_rng(1)
    free = {"height": ("qpos", 2, 3), "orientation": ("qpos", 3, 7)} | {
        "velocity": ("qvel", 0, 3),
        "angular_velocity": ("qvel", 3, 6),
    }
    for _ in range(5):
        q = rng.normal(size=robot.model.nq) + robot.init_qpos
        v = 8 * rng.normal(size=robot.model.nv)
        robot.set_state(q, v)
        q, v = robot.data.qpos.copy(), robot.data.qvel.copy()
        observation = robot._get_obs()
        assert observation.shape == (task.obs_dim,) == env.observation_space.shape
        seen = 0
        for entry in task.entries:
            held = observation[entry.start : entry.stop]
            if entry.name in VELOCITY[name]:
                joint, kind, limit = VELOCITY[name][entry.name]
                true = np.clip(getattr(robot.data.joint(joint), kind), -limit, limit)
            else:
                kind, start, stop = free[entry.name]
                true = {"qpos": q, "qvel": v}[kind][start:stop]
            assert np.array_equal(held, true), entry.name
            seen += entry.size
        assert seen == task.obs_dim


@pytest.mark.parametrize("name", VELOCITY)
def test_the_rule_of_a_velocity_task_gives_the_costs_of_the_simulator(name):
    task, env = environment(name, "safety_gymnasium")
    robot, rng = env.unwrapped, np.random.default_rng(2)
    (threshold,) = map(float, re.findall(r"above ([0-9.]+) m/s", task.rule))
    assert threshold == robot._velocity_threshold
    (duration,) = map(float, re.findall(r"duration \(([0-9.]+) s\)", task.inexact))
    assert duration == pytest.approx(robot.dt)
    plane = "in the plane" in task.rule
    costs = []
    for _ in range(60):
        q, v = robot.init_qpos.copy(), robot.init_qvel.copy()
        v[: 2 if plane else 1] = threshold * (1 + 0.5 * rng.normal()) / np.sqrt(2 if plane else 1)
        robot.set_state(q, v)
        before = robot.get_body_com("torso")[:2].copy() if plane else robot.data.qpos[:1].copy()
        *_, info = env.step(env.action_space.sample() * 0)
        after = robot.get_body_com("torso")[:2].copy() if plane else robot.data.qpos[:1].copy()
        moved = (after - before) / robot.dt
        speed = np.linalg.norm(moved) if plane else moved[0]
        assert info["cost"] == float(speed > threshold)
        costs.append(info["cost"])
        env.reset(seed=0)
    assert 0 < np.mean(costs) < 1


def bullet_truth(robot, client, circle: bool, name: str) -> dict[str, np.ndarray]:
    """What the physics engine itself says of the robot, in the units of the task file."""
    body, link = robot.body_id, robot.root_link.index if robot.root_link else -1
    if link == -1:
        place, turn = client.getBasePositionAndOrientation(body)
        speed, spin = client.getBaseVelocity(body)
    else:
        place, turn, *_, speed, spin = client.getLinkState(body, link, computeLinkVelocity=1)
    place, turn, speed, spin = map(np.array, (place, turn, speed, spin))
    joints = np.array([client.getJointState(body, m.index)[:2] for m in robot.motor_list])
    found = {"circle_distance": np.array([np.hypot(*place[:2]) - 7.0]) / 10} if circle else {}
    if name.startswith("Ball"):
        return found | {"position": place[:2] / 10, "velocity": speed[:2] / 5, "angular_velocity": spin / 10}
    if name.startswith("Car"):
        yaw = client.getEulerFromQuaternion(turn)[2]
        heading = np.array([np.sin(yaw), np.cos(yaw)])
        return found | {
            "position": place[:2] / 10,
            "velocity": speed[:2],
            "heading": heading,
            "yaw_rate": spin[2:] / 10,
        }
    found |= {"position": place / 10, "orientation": turn}
    if name.startswith("Drone"):
        hover = robot.get_stationary_joint_velocity() * np.array([1, -1, 1, -1])
        return found | {
            "velocity": speed / 5,
            "angular_velocity": spin / 10,
            "rotor_speed": (joints[:, 1] - hover) / 400,
        }
    limits = np.array([client.getJointInfo(body, m.index)[8:10] for m in robot.motor_list])
    relative = 2 * (joints[:, 0] - limits.mean(1)) / (limits[:, 1] - limits[:, 0])
    return found | {
        "velocity": 0.3 * speed,
        "angular_velocity": 0.15 * spin,
        "joint_state": np.stack([0.5 * relative, 0.05 * joints[:, 1]], 1).ravel(),
        "feet_contact": np.array(
            [
                float(any(c[2] == 0 and c[4] == -1 for c in client.getContactPoints(body, -1, foot.index, -1)))
                for foot in robot.feet
            ]
        ),
    }


@pytest.mark.parametrize("name", BULLET)
def test_every_entry_of_a_bullet_task_is_what_the_physics_engine_says(name):
    task, env = environment(name, "bullet_safety_gym")
    world = env.unwrapped
    env.action_space.seed(3)
    varied = []
    for _ in range(40):
        observation, _, ended, _, _ = env.step(env.action_space.sample())
        true = bullet_truth(world.agent, world.bc, "Circle" in name, name)
        assert {e.name for e in task.entries} == set(true)
        assert observation.shape == (task.obs_dim,) == env.observation_space.shape
        for entry in task.entries:
            held = observation[entry.start : entry.stop]
            if entry.name == "orientation":  # the drone's goes through Euler angles; q and -q are the same turn
                assert abs(held @ true[entry.name]) == pytest.approx(1, abs=1e-5)
            else:
                assert held == pytest.approx(true[entry.name], rel=1e-5, abs=1e-6), entry.name
        varied.append(observation)
        if ended:
            env.reset(seed=1)
    assert (np.ptp(varied, axis=0) > 0).mean() > 0.6


@pytest.mark.parametrize("name", BULLET)
def test_the_rule_of_a_bullet_task_gives_the_costs_of_the_simulator_from_the_observation_alone(name):
    task, env = environment(name, "bullet_safety_gym")
    robot, client, rng = env.unwrapped.agent, env.unwrapped.bc, np.random.default_rng(4)
    limit = [float(x) for x in re.findall(r"([0-9.]+) m", task.rule)]
    unit = {"Ball": 5.0, "Car": 1.0, "Drone": 5.0, "Ant": 1 / 0.3}[name.removesuffix("Run").removesuffix("Circle")]
    costs = []
    for _ in range(60):
        env.reset(seed=5)
        place = robot.get_position() + np.array([0.0, 0.0, 0.0 if name.startswith("Ball") else 0.5])
        place[0 if "Circle" in name else 1] = limit[0] * rng.uniform(-1.4, 1.4)
        client.resetBasePositionAndOrientation(robot.body_id, place, robot.get_quaternion())
        speed = limit[1] * rng.uniform(0.2, 1.6) if "Run" in name else 0.0
        client.resetBaseVelocity(robot.body_id, [speed, 0, 0], [0, 0, 0])
        observation, *_, info = env.step(np.zeros(env.action_space.shape, np.float32))
        position, velocity = (observation[entry_of(task, e)] for e in ("position", "velocity"))
        if "Circle" in name:
            unsafe = abs(10 * position[0]) > limit[0]
        else:
            unsafe = abs(10 * position[1]) > limit[0] or unit * np.hypot(*velocity[:2]) > limit[1]
        assert float(info.get("cost", 0) > 0) == float(unsafe)
        costs.append(float(unsafe))
    assert 0.1 < np.mean(costs) < 0.9
