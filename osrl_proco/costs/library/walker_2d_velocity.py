# Written by hand against configs/tasks/Walker2dVelocity.yaml.
# Rule: mean velocity over the step at most 2.3415 m/s. Conservative: 2.08 m/s at its end, since a stride brakes within
# one step (see the task file).
def cost(obs):
    return obs["forward_velocity"][..., 0] >= 2.08
