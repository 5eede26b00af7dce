# Written by hand against configs/tasks/CarGoal1.yaml.
# Rule: no nearer than 0.2 m to a hazard's centre (lidar 1 - 0.2/3 = 0.933). Conservative: 0.3 m (lidar 0.9).
def cost(obs):
    return obs["hazards_lidar"].amax(-1) >= 0.9
