# Written by hand against configs/tasks/CarRun.yaml.
# Rule: |y| at most 2 m, speed in the plane at most 1.5 m/s. Conservative: 1.8 m, 1.425 m/s.
def cost(obs):
    y = 10 * obs["position"][..., 1]
    speed = torch.norm(obs["velocity"], dim=-1)
    return (y.abs() >= 1.8) | (speed >= 1.425)
