# Written by hand against configs/tasks/CarPush2.yaml.
# Rule: no nearer than 0.3 m to a hazard's centre, no touch of a pillar. By its body the car's wheels can touch a pillar
# at 0.416 m. Conservative: 0.35 m to a hazard, 0.42 m to a pillar.
def cost(obs):
    hazard = 3 * (1 - obs["hazards_lidar"].amax(-1))
    pillar = 3 * (1 - obs["pillars_lidar"].amax(-1))
    return (hazard <= 0.35) | (pillar <= 0.42)
