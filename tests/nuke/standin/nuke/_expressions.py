"""Number expressions of knobs: operators as in C, Nuke's functions of that name, knob paths, and [Tcl] put in first."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable
from typing import Any

from . import _paths, _tcl
from ._session import S

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z_]\w*(?:\.\w+)*)"
    r"|(?P<op>\*\*|&&|\|\||[<>=!]=|[-+*/%^<>!?:(),]))"
)
_BINARY: list[dict[str, Callable[[float, float], float]]] = [
    {"||": lambda a, b: float(bool(a) or bool(b))},
    {"&&": lambda a, b: float(bool(a) and bool(b))},
    {"==": lambda a, b: float(a == b), "!=": lambda a, b: float(a != b)},
    {
        "<": lambda a, b: float(a < b), ">": lambda a, b: float(a > b),
        "<=": lambda a, b: float(a <= b), ">=": lambda a, b: float(a >= b),
    },
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": lambda a, b: a / b if b else math.inf, "%": math.fmod},
]  # fmt: skip
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min, "max": max, "pow": math.pow, "abs": abs, "fabs": abs, "sqrt": math.sqrt, "exp": math.exp,
    "log": math.log, "log10": math.log10, "sin": math.sin, "cos": math.cos, "tan": math.tan, "atan2": math.atan2,
    "floor": math.floor, "ceil": math.ceil, "rint": lambda v: math.floor(v + 0.5), "int": math.trunc,
    "trunc": math.trunc, "fmod": math.fmod, "hypot": math.hypot, "radians": math.radians, "degrees": math.degrees,
    "clamp": lambda v, low=0.0, high=1.0: min(max(v, low), high),
    "lerp": lambda a, b, t: a + (b - a) * t, "mix": lambda a, b, t: a + (b - a) * t,
    "step": lambda edge, v: float(v >= edge), "sign": lambda v: float((v > 0) - (v < 0)),
}  # fmt: skip


class ExpressionError(RuntimeError):
    pass


class Parser:
    """Recursive descent over the tokens; with `lookup` None only the syntax is checked."""

    def __init__(self, text: str, lookup: Callable[[str], float] | None) -> None:
        self.text = text
        self.lookup = lookup
        self.tokens = self._tokens(text)
        self.i = 0

    def _tokens(self, text: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        i = 0
        while text[i:].strip():
            match = _TOKEN.match(text, i)
            if match is None:
                raise ExpressionError(f"expression that the stand-in does not know: {text}")
            kind = str(match.lastgroup)
            found.append((kind, match[kind]))
            i = match.end()
        return found

    def peek(self) -> str:
        return self.tokens[self.i][1] if self.i < len(self.tokens) else ""

    def take(self, expected: str = "") -> str:
        if self.i >= len(self.tokens) or (expected and self.peek() != expected):
            raise ExpressionError(f"syntax error in expression: {self.text}")
        self.i += 1
        return self.tokens[self.i - 1][1]

    def whole(self) -> float:
        result = self.ternary()
        if self.i < len(self.tokens):
            raise ExpressionError(f"syntax error in expression: {self.text}")
        return result

    def ternary(self) -> float:
        condition = self.binary(0)
        if self.peek() != "?":
            return condition
        self.take()
        one = self.ternary()
        self.take(":")
        other = self.ternary()
        return one if condition else other

    def binary(self, level: int) -> float:
        if level == len(_BINARY):
            return self.unary()
        left = self.binary(level + 1)
        while self.peek() in _BINARY[level]:
            operator = _BINARY[level][self.take()]
            right = self.binary(level + 1)
            left = operator(left, right) if self.lookup else 0.0
        return left

    def unary(self) -> float:
        if self.peek() in ("-", "+", "!"):
            sign = self.take()
            value = self.unary()
            return {"-": -value, "+": value, "!": float(not value)}[sign]
        value = self.primary()
        if self.peek() in ("^", "**"):
            self.take()
            power = self.unary()
            return value**power if self.lookup else 0.0
        return value

    def primary(self) -> float:
        kind = self.tokens[self.i][0] if self.i < len(self.tokens) else ""
        text = self.take()
        if kind == "number":
            return float(text)
        if text == "(":
            value = self.ternary()
            self.take(")")
            return value
        if kind != "name":
            raise ExpressionError(f"syntax error in expression: {self.text}")
        if self.peek() == "(":
            return self.function(text)
        return self.lookup(text) if self.lookup else 0.0

    def function(self, name: str) -> float:
        self.take("(")
        args: list[float] = []
        while self.peek() != ")":
            args.append(self.ternary())
            if self.peek() != ")":
                self.take(",")
        self.take(")")
        if name not in _FUNCTIONS:
            raise ExpressionError(f"function that the stand-in does not know: {name} in {self.text}")
        return float(_FUNCTIONS[name](*args)) if self.lookup else 0.0


def check(expression: str) -> None:
    """Raises where the text cannot be an expression."""
    if not expression.strip():
        raise ExpressionError("an empty expression")
    Parser(_without_tcl(expression), None).whole()


def _without_tcl(text: str) -> str:
    """Each [command] as a 0; only for looking at the syntax."""
    out, depth = [], 0
    for ch in text:
        depth += ch == "["
        if not depth:
            out.append(ch)
        if ch == "]":
            depth -= 1
            out.append("0" if depth == 0 else "")
    if depth:
        raise ExpressionError(f"missing close-bracket in expression: {text}")
    return "".join(out)


def evaluate(expression: str, node: Any, knob: Any = None, index: int = 0) -> float:
    """The number of an expression, for a channel of a knob of a node, at the session's frame."""

    def lookup(name: str) -> float:
        if name in ("frame", "x", "t"):
            return float(S.now)
        if name in ("pi", "e"):
            return {"pi": math.pi, "e": math.e}[name]
        if name in ("width", "height"):
            return float(getattr(node, name)())
        return _paths.knob_number(name, node, knob, index)

    S.evaluating += 1
    try:
        if S.evaluating > 30:
            raise ExpressionError(f"expression depends on itself: {expression}")
        text = _tcl.expand(expression, node, knob) if "[" in expression else expression
        literal = text.strip()
        if literal.lower() in ("true", "false"):
            return float(ast.literal_eval(literal.capitalize()))
        return float(Parser(text, lookup).whole())
    finally:
        S.evaluating -= 1
