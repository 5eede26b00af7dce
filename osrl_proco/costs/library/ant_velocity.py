# Written by hand against configs/tasks/AntVelocity.yaml.
# Rule: mean speed in the plane over the step at most 2.6222 m/s. Conservative: 1.8 m/s at its end, since an ant that
# leaps brakes within one step (see the task file).
def cost(obs):
    return torch.norm(obs["velocity"][..., :2], dim=-1) >= 1.8
