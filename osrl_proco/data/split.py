import torch


def safe_only(data, keep, seed):
    bad = (data.costs > 0) | (data.previous_costs > 0)
    u = torch.nonzero(data.costs > 0)[:, 0]
    return data.index(~bad), data.index(u[torch.randperm(len(u), generator=torch.Generator().manual_seed(seed))[:keep]])
