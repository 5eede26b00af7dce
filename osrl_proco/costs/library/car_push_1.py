# Written by hand against configs/tasks/CarPush1.yaml.
# Rule: no nearer than 0.3 m to a hazard's centre (lidar 0.9). Conservative: 0.45 m (lidar 0.85).
def cost(obs):
    return obs["hazards_lidar"].amax(-1) >= 0.85
