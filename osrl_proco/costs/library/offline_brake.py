# Written by hand
def cost(obs):
    return obs["gap"][..., 0] <= 0.2
