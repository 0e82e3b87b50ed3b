"""The language of the Expression node: parsed to a tree of closures that work on float32 arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Lookup = Callable[[str], Any]
"""What a word (``clear.red``, ``haze_amount``, ``x``) stands for: a float32 array or number."""

Formula = Callable[[Lookup], Any]

_TOKEN = re.compile(
    r"\s*(?:(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)|([A-Za-z_][\w.]*)|(\*\*|&&|\|\||[<>=!]=|[-+*/%<>!?:(),^]))"
)

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": np.abs,
    "fabs": np.abs,
    "pow": np.power,
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "floor": np.floor,
    "ceil": np.ceil,
    "min": lambda *given: _over(np.minimum, given),
    "max": lambda *given: _over(np.maximum, given),
    "clamp": lambda value, low=0, high=1: np.clip(value, low, high),
    "step": lambda edge, value: (value >= edge) * np.float32(1),
    "lerp": lambda a, b, part: a + (b - a) * part,
}

_LEVELS: tuple[dict[str, Callable[[Any, Any], Any]], ...] = (
    {"||": lambda a, b: _truth(np.logical_or(a != 0, b != 0))},
    {"&&": lambda a, b: _truth(np.logical_and(a != 0, b != 0))},
    {
        "<": lambda a, b: _truth(a < b),
        ">": lambda a, b: _truth(a > b),
        "<=": lambda a, b: _truth(a <= b),
        ">=": lambda a, b: _truth(a >= b),
        "==": lambda a, b: _truth(a == b),
        "!=": lambda a, b: _truth(a != b),
    },
    {"+": np.add, "-": np.subtract},
    {"*": np.multiply, "/": np.divide, "%": np.fmod},
)
"""From what binds loosest to what binds tightest."""


_SIGNS: dict[str, Callable[[Any], Any]] = {"-": np.negative, "+": np.positive, "!": lambda value: _truth(value == 0)}


def parse(text: str) -> Formula:
    """The formula of a text. Raises ValueError where it is none."""
    tokens = list(_tokens(text))
    formula, rest = _choice(tokens)
    if rest:
        raise ValueError(f"cannot read {text!r} from {rest[0]!r} on")
    return formula


def _over(function: Callable[[Any, Any], Any], given: tuple[Any, ...]) -> Any:
    result = given[0]
    for other in given[1:]:
        result = function(result, other)
    return result


def _truth(value: Any) -> Any:
    return np.asarray(value).astype(np.float32)


def _tokens(text: str) -> Iterator[str]:
    position, text = 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"cannot read {text!r} at {text[position:]!r}")
        yield match[1] or match[2] or match[3]
        position = match.end()


def _expect(tokens: list[str], token: str) -> list[str]:
    if not tokens or tokens[0] != token:
        raise ValueError(f"expected {token!r} before {' '.join(tokens) or 'the end'!r}")
    return tokens[1:]


def _choice(tokens: list[str]) -> tuple[Formula, list[str]]:
    condition, tokens = _binary(tokens, 0)
    if not tokens or tokens[0] != "?":
        return condition, tokens
    first, tokens = _choice(tokens[1:])
    second, tokens = _choice(_expect(tokens, ":"))
    return lambda look: np.where(condition(look) != 0, first(look), second(look)), tokens


def _binary(tokens: list[str], level: int) -> tuple[Formula, list[str]]:
    if level == len(_LEVELS):
        return _unary(tokens)
    formula, tokens = _binary(tokens, level + 1)
    while tokens and tokens[0] in _LEVELS[level]:
        operator = _LEVELS[level][tokens[0]]
        right, tokens = _binary(tokens[1:], level + 1)
        formula = _applied(operator, formula, right)
    return formula, tokens


def _applied(function: Callable[..., Any], *given: Formula) -> Formula:
    return lambda look: function(*(one(look) for one in given))


def _unary(tokens: list[str]) -> tuple[Formula, list[str]]:
    if tokens and tokens[0] in _SIGNS:
        formula, rest = _unary(tokens[1:])
        return _applied(_SIGNS[tokens[0]], formula), rest
    formula, rest = _primary(tokens)
    if rest and rest[0] in ("^", "**"):
        power, rest = _unary(rest[1:])
        formula = _applied(np.power, formula, power)
    return formula, rest


def _primary(tokens: list[str]) -> tuple[Formula, list[str]]:
    if not tokens:
        raise ValueError("an expression ends too early")
    word, tokens = tokens[0], tokens[1:]
    if word == "(":
        formula, tokens = _choice(tokens)
        return formula, _expect(tokens, ")")
    if word[0].isdigit() or word[0] == ".":
        number = np.float32(word)
        return lambda look: number, tokens
    if not (word[0].isalpha() or word[0] == "_"):
        raise ValueError(f"unexpected {word!r}")
    if tokens and tokens[0] == "(":
        return _call(word, tokens[1:])
    return lambda look: look(word), tokens


def _call(name: str, tokens: list[str]) -> tuple[Formula, list[str]]:
    if name not in _FUNCTIONS:
        raise ValueError(f"no function {name}")
    given: list[Formula] = []
    while True:
        formula, tokens = _choice(tokens)
        given.append(formula)
        if tokens and tokens[0] == ",":
            tokens = tokens[1:]
            continue
        return _applied(_FUNCTIONS[name], *given), _expect(tokens, ")")
