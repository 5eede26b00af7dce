"""Honest cost functions, drawn by hypothesis: typed, so that plain Python runs them too, and to the same bits.

Kinds: n a number, s one float per state, v a vector per state, b one truth per state, w a vector of truths.
"""

from __future__ import annotations

from hypothesis import strategies as st

ENTRIES = {"gyro": 3, "velocimeter": 3, "hazards_lidar": 16, "goal_lidar": 16}
UNARY = (
    "abs",
    "sqrt",
    "square",
    "exp",
    "sin",
    "cos",
    "tan",
    "tanh",
    "sigmoid",
    "sign",
    "floor",
    "ceil",
    "round",
    "relu",
)
ALONG = ("sum", "mean", "amin", "amax", "prod")
COMPARE = ("<", "<=", ">", ">=", "==", "!=")
number = st.one_of(st.integers(-3, 3).map(str), st.floats(-2, 2, width=16).map(lambda x: f"{x:.4f}")).map("({})".format)


class Writer:
    """Writes one program, drawing every choice."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.names: dict[str, list[str]] = {"n": [], "s": []}
        self.loops = 0

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    # ---- expressions ------------------------------------------------------------------------------------------------

    def n(self, depth: int) -> str:
        if depth <= 0:
            return self.pick(*self.names["n"], self.draw(number))
        a, b = self.n(depth - 1), self.n(depth - 1)
        return self.pick(
            f"({a} {self.pick(*'+-*')} {b})", f"(-{a})", f"abs({a})", f"min({a}, {b})", f"max({a}, {b})", f"float({a})",
            f"({a} if {a} {self.pick(*COMPARE)} {b} else {b})",
            f"({a} and {b})", f"({a} or {b})",
        )  # fmt: skip

    def v(self, depth: int, size: int = 0) -> tuple[str, int]:
        """A vector and its length; of length `size` or 1 where `size` is given, so that the two can meet."""
        if depth <= 0:
            fitting = [e for e, k in ENTRIES.items() if size in (0, k)]
            name = self.pick(*(fitting or ENTRIES))
            text, length = f'obs["{name}"]', ENTRIES[name]
            if size not in (0, length):
                text, length = f"{text}[..., {self.pick('0:1', '-1:', '1:2')}]", 1
            return text, length
        text, length = self.v(depth - 1, size)
        other, _ = self.v(depth - 1, length)
        truths, _ = self.w(depth - 1, length)
        n = self.n(depth - 1)
        options = [
            f"({text} {self.pick(*'+-*/')} {n})", f"({n} {self.pick(*'+-*/')} {text})", f"(-{text})",
            f"torch.{self.pick(*UNARY)}({text})", f"{text}.{self.pick(*UNARY)}()",
            f"({text} ** {self.pick(2, 3, 0.5)})",
            f"{text}.clamp(min={n})", f"torch.clip({text}, max={n})", f"torch.zeros_like({text})",
        ]  # fmt: skip
        together = [f"({text} {self.pick(*'+-*/')} {other})", f"torch.minimum({text}, {other})"]
        if length > 1:
            together.append(f"torch.where({truths}, {text}, {n})")
        if size == 0 and length > 2:
            part = self.pick(("1:", length - 1), ("::2", (length + 1) // 2), (":-1", length - 1))
            return self.pick((f"{text}[..., {part[0]}]", part[1]), *((o, length) for o in options + together))
        return self.pick(*options, *(together if length > 1 else [])), length

    def w(self, depth: int, size: int = 0) -> tuple[str, int]:
        text, length = self.v(depth - 1, size)
        a = f"({text} {self.pick(*COMPARE)} {self.n(0)})"
        b = f"({text} {self.pick(*COMPARE)} {self.v(depth - 1, length)[0] if length > 1 else self.n(0)})"
        return self.pick(a, b, f"(~{a})", f"({a} {self.pick('&', '|', '^')} {b})"), length

    def s(self, depth: int) -> str:
        if depth <= 0:
            entry = self.pick(*ENTRIES)
            return self.pick(*self.names["s"], f'obs["{entry}"][..., {self.pick(0, 1, 2, -1)}]')
        a, b, n = self.s(depth - 1), self.s(depth - 1), self.n(depth - 1)
        v, w, t = self.v(depth - 1)[0], self.w(depth - 1)[0], self.b(depth - 1)
        return self.pick(
            f"({a} {self.pick(*'+-*/')} {b})", f"({a} {self.pick('+', '-', '*', '/', '%', '//')} {n})", f"(-{a})",
            f"({n} - {a})", f"({a} ** {self.pick(0, 1, 2, 3, 8, 0.5)})", f"torch.pow({a}, {self.pick(2, 1.5)})",
            f"torch.{self.pick(*UNARY)}({a})", f"{a}.{self.pick(*UNARY)}()",
            f"torch.{self.pick('minimum', 'maximum', 'min', 'max', 'atan2', 'hypot')}({a}, {b})",
            f"torch.where({t}, {a}, {self.pick(b, n)})", f"(torch.where({t}, {n}, {n}) * 1.0)", f"{a}.where({t}, {b})",
            f"{v}.{self.pick(*ALONG)}({self.pick('dim=-1', '-1', 'axis=-1', 'dim=-1, keepdim=False')})",
            f"torch.{self.pick(*ALONG)}({v}, dim=-1, keepdim=True)[..., 0]",
            f"{self.pick('torch.', 'torch.linalg.')}norm({v}, dim=-1)", f"torch.norm({v}, 2, dim=-1)",
            f"{v}.norm(dim=-1)", f"({w}.sum(dim=-1) * 1.0)", f"{t}.float()", f"{a}[..., None].amax(-1)",
        )  # fmt: skip

    def b(self, depth: int) -> str:
        a = self.s(depth - 1)
        basic = f"({a} {self.pick(*COMPARE)} {self.pick(self.s(depth - 1), self.n(depth - 1))})"
        if depth <= 0:
            return basic
        b, w = self.b(depth - 1), self.w(depth - 1)[0]
        return self.pick(
            basic, f"({basic} {self.pick('&', '|', '^')} {b})", f"(~{b})", f"{w}.{self.pick('any', 'all')}(dim=-1)",
            f"torch.logical_{self.pick('and', 'or', 'xor')}({basic}, {b})", f"torch.logical_not({b})",
            f"torch.isfinite({a})", f"({w}.sum(dim=-1) >= {self.pick(1, 2)})", f"{a}.bool()",
        )  # fmt: skip

    # ---- statements -------------------------------------------------------------------------------------------------

    def statements(self, indent: str) -> list[str]:
        """Statements that bind no new name, so that every branch leaves the same names behind."""
        kind = self.pick("state", "number", "if", "for", "for entry")
        if kind == "for" and self.loops < 3:
            return self.loop(indent, self.pick("3", "1, 4", "5, 0, -2", "0"), self.statements)
        if kind == "for entry" and self.loops < 3:
            vector, size = self.v(1)
            body = lambda inner: [f"{inner}{self.names['s'][0]} += {vector}[..., {self.names['n'][-1]}]"]  # noqa: E731
            return self.loop(indent, str(size), body)
        if kind == "if":
            lines = [f"{indent}if {self.n(1)} {self.pick(*COMPARE)} {self.n(1)}:", *self.statements(indent + "    ")]
            return [*lines, f"{indent}else:", *self.statements(indent + "    ")]
        if kind == "number":
            return [f"{indent}{self.names['n'][0]} {self.pick('+=', '-=')} {self.draw(number)}"]
        return [f"{indent}{self.pick(*self.names['s'])} {self.pick('+=', '-=', '*=', '/=')} {self.s(1)}"]

    def loop(self, indent: str, bounds: str, body) -> list[str]:
        name = f"i{self.loops}"
        self.loops += 1
        self.names["n"].append(name)
        lines = [f"{indent}for {name} in range({bounds}):", *body(indent + "    ")]
        self.names["n"].remove(name)
        return lines

    def program(self, labels: bool) -> str:
        lines = ["def cost(obs):", f"    k = {self.draw(number)}"]
        self.names["n"].append("k")
        for name in ("x", "y"):
            # Python's += works in place: each name gets a tensor of its own, which nothing else sees.
            lines.append(f"    {name} = {self.s(2)} * 1.0")
            self.names["s"].append(name)
        for _ in range(self.draw(st.integers(0, 3))):
            lines += self.statements("    ")
        return "\n".join([*lines, f"    return {self.b(2) if labels else self.s(3)}", ""])


@st.composite
def programs(draw, labels: bool = True) -> str:
    """The text of an honest cost function for PointGoal1; without `labels`, of one that returns any number."""
    return Writer(draw).program(labels)
