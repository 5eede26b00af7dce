# Written by hand against configs/tasks/PointPush2.yaml.
# Rule: no nearer than 0.3 m to a hazard's centre, no touch of a pillar. The farthest touch is at 0.36 m.
# Conservative: 0.4 m to a hazard, 0.4 m to a pillar.
def cost(obs):
    hazard = 3 * (1 - obs["hazards_lidar"].amax(-1))
    pillar = 3 * (1 - obs["pillars_lidar"].amax(-1))
    return (hazard <= 0.4) | (pillar <= 0.4)
