def load_cost_function(path, task):
    src = path.read_text()
    ns = {}
    import torch

    ns["torch"] = torch
    exec(src, ns)

    class V:
        def __init__(s, o):
            s.o = o

        def __getitem__(s, n):
            e = [e for e in task.entries if e.name == n][0]
            return s.o[..., e.start : e.stop]

    return lambda o: ns["cost"](V(o)).float()
