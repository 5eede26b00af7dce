"""Quick start: train with PROCO on data without violations, look at the rows, act. No simulator to install.

    python examples/quick_start.py

So few updates teach little: for a policy worth having, leave out SMALL (a few minutes).
"""

from osrl_proco import evaluate, load_policy, train

SMALL = {  # sizes with which this file ends in seconds
    "update_steps": 500,
    "batch_size": 64,
    "a_hidden_sizes": [32, 32],
    "c_hidden_sizes": [32, 32],
    "vae_hidden_sizes": 32,
    "dynamics_hidden": [32, 32],
    "dynamics_epochs": 3,
    "rollout_batch": 500,
    "rollout_repeats": 1,
    "eval_every": 0,
}


def main() -> None:
    run = train(algo="bearl", task="OfflineBrake-v0", seed=0, logdir="runs/quick_start", **SMALL)
    print(run.metrics[["step", "feasibility/infeasible"]].tail(1).to_string(index=False))

    result = evaluate(run, episodes=5)
    print(result.rows[["episode_seed", "normalized_reward", "cost"]].to_string(index=False))
    print("safe" if result.safe else "not safe", f"at a mean cost of {result.means['cost']:.1f}")

    policy = load_policy(run.folder)
    print("one robot, 4 m from the wall at 1 m/s:", policy.act([4.0, 1.0]))
    print("two robots at once:", policy.act([[4.0, 1.0], [0.5, 2.0]]).ravel())


if __name__ == "__main__":
    main()
