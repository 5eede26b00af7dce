# Written by hand against configs/tasks/OfflineBrake.yaml.
# Rule: the gap to the wall must stay positive. Conservative: 0.1 m before it.
def cost(obs):
    return obs["gap"][..., 0] <= 0.1
