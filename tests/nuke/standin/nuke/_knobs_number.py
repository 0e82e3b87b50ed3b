"""Knobs that hold numbers: each channel is a number, an expression or a curve."""

from __future__ import annotations

import bisect
import copy
import re
from typing import Any, ClassVar

from . import _expressions
from ._knobs import Knob
from ._quoting import number, quote, split_list
from ._session import S


class Channel:
    """One number of a knob: constant, expression, or keys of a curve (frame to value, linear in between)."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value
        self.expression: str | None = None
        self.keys: dict[float, float] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Channel) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def at(self, frame: float) -> float:
        if not self.keys:
            return self.value
        frames = sorted(self.keys)
        if frame <= frames[0]:
            return self.keys[frames[0]]
        if frame >= frames[-1]:
            return self.keys[frames[-1]]
        high = bisect.bisect(frames, frame)
        before, after = frames[high - 1], frames[high]
        part = (frame - before) / (after - before)
        return self.keys[before] + part * (self.keys[after] - self.keys[before])

    def script(self) -> str:
        """As one element of the knob's list in a .nk."""
        if self.expression is not None:
            bare = re.fullmatch(r"[\w.+*/?:=<>!&|()-]+", self.expression)
            return "{" + (self.expression if bare else quote(self.expression)) + "}"
        if self.keys:
            keys = " ".join(f"x{number(f)} {number(v)}" for f, v in sorted(self.keys.items()))
            return "{curve " + keys + "}"
        return number(self.value)


class Array_Knob(Knob):
    """`width` numbers. value() is a number where all agree and the knob may be a single slider, else a list."""

    user_type = -1
    width: ClassVar[int] = 1
    collapses: ClassVar[bool] = True
    suffixes: ClassVar[str] = ""

    def __init__(self, name: str = "", label: str | None = None, value: Any = 0.0) -> None:
        super().__init__(name, label)
        self._range = (0.0, 1.0)
        if value != 0.0:
            self._state = self._coerce(value)

    def _blank(self) -> list[Channel]:
        return [Channel() for _ in range(self.width)]

    def setRange(self, low: float, high: float) -> None:
        self._range = (float(low), float(high))

    def min(self) -> float:
        return self._range[0]

    def max(self) -> float:
        return self._range[1]

    def dimensions(self) -> int:
        return self.width

    def arraySize(self) -> int:
        return self.width

    def singleValue(self, view: Any = None) -> bool:
        return all(channel == self._state[0] for channel in self._state)

    # Reading.
    def _number(self, index: int, frame: float | None = None) -> float:
        with S.at_frame(frame):
            channel = self._state[index]
            if channel.expression is None:
                return float(channel.at(S.now))
            return _expressions.evaluate(channel.expression, self._node, self, index)

    def _cast(self, value: float) -> Any:
        return value

    def _read(self, frame: float | None = None) -> Any:
        numbers = [self._cast(self._number(i, frame)) for i in range(self.width)]
        if self.width == 1 or (self.collapses and self.singleValue()):
            return numbers[0]
        return numbers

    def value(self, index: int = -1, view: Any = None) -> Any:
        return self._read() if index < 0 else self._cast(self._number(index))

    def getValue(self, index: int = -1, view: Any = None) -> Any:
        return self.value(index)

    def valueAt(self, frame: float, index: int = -1) -> Any:
        return self._read(frame) if index < 0 else self._cast(self._number(index, frame))

    def getValueAt(self, frame: float, index: int = -1) -> Any:
        return self.valueAt(frame, index)

    def array(self) -> list[float]:
        return [self._number(i) for i in range(self.width)]

    # Writing.
    def _coerce(self, value: Any, index: int = -1, time: float = -1, view: Any = -1) -> list[Channel]:
        numbers = list(value) if isinstance(value, (list, tuple)) else None
        if numbers is not None and len(numbers) != self.width:
            raise TypeError(f"{type(self).__name__} {self._name} holds {self.width} numbers, not {len(numbers)}")
        for one in numbers if numbers is not None else [value]:
            if isinstance(one, str) or not isinstance(one, (int, float)):
                raise TypeError(f"{type(self).__name__} {self._name}: setValue takes numbers, not {one!r}")
        state = copy.deepcopy(self._state)
        if index >= self.width:
            raise IndexError(f"{type(self).__name__} {self._name} has {self.width} channels, not a channel {index}")
        for i in range(self.width) if index < 0 else [index]:
            given = float(self._cast(numbers[i] if numbers is not None else value))
            channel = state[i]
            if channel.keys:
                channel.keys[S.now if time == -1 else float(time)] = given
            else:
                channel.value, channel.expression = given, None
        return state

    def setValueAt(self, value: Any, time: float, index: int = -1, view: Any = None) -> bool:
        state = copy.deepcopy(self._state)
        numbers = list(value) if isinstance(value, (list, tuple)) else [value] * self.width
        for i in range(self.width) if index < 0 else [index]:
            state[i].expression = None
            state[i].keys[float(time)] = float(numbers[i])
        return self._assign(state)

    def setAnimated(self, index: int = -1, view: Any = None) -> bool:
        for i in range(self.width) if index < 0 else [index]:
            self.setValueAt(self._number(i), S.now, i)
        return True

    def isAnimated(self, index: int = -1, view: Any = None) -> bool:
        chosen = self._state if index < 0 else [self._state[index]]
        return any(channel.keys or channel.expression is not None for channel in chosen)

    def clearAnimated(self, index: int = -1, view: Any = None) -> bool:
        state = copy.deepcopy(self._state)
        for i in range(self.width) if index < 0 else [index]:
            state[i] = Channel(self._number(i))
        return self._assign(state)

    def setExpression(self, expression: str, channel: int = -1, view: Any = None) -> bool:
        """Checks that the text can be parsed, as Nuke does; names are looked up when it is evaluated."""
        _expressions.check(expression)
        state = copy.deepcopy(self._state)
        for i in range(self.width) if channel < 0 else [channel]:
            state[i] = Channel()
            state[i].expression = expression
        return self._assign(state)

    def hasExpression(self, index: int = -1) -> bool:
        chosen = self._state if index < 0 else [self._state[index]]
        return any(channel.expression is not None for channel in chosen)

    def expression(self, index: int = 0) -> str:
        return str(self._state[index].expression or "")

    # .nk
    def _script(self) -> str:
        if self.width == 1 or (self.collapses and self.singleValue()):
            return str(self._state[0].script())
        return " ".join(channel.script() for channel in self._state)

    def _quoted(self, text: str) -> str:
        return text if re.fullmatch(r"[\w.+-]+", text) else "{" + text + "}"

    def _parse(self, text: str) -> list[Channel]:
        parts = split_list(text, raw=True)
        if len(parts) == 1:
            parts = parts * self.width
        if len(parts) != self.width:
            raise RuntimeError(f"{self._name}: {self.width} numbers expected, not {text!r}")
        return [self._parse_channel(part) for part in parts]

    def _parse_channel(self, part: str) -> Channel:
        channel = Channel()
        if not part.startswith("{"):
            channel.value = self._parse_number(part)
            return channel
        words = split_list(part[1:-1])
        if words and words[0] == "curve":
            channel.keys = _curve(words[1:])
            return channel
        extra = [w for w in words[1:] if not re.fullmatch(r"[ikKlL]|x-?\d+|-?\d+(\.\d+)?", w)]
        if not words or extra:
            raise RuntimeError(f"{self._name}: an expression with spaces is quoted in a .nk: {part}")
        _expressions.check(words[0])
        channel.expression = words[0]
        return channel

    def _parse_number(self, word: str) -> float:
        try:
            return float(word)
        except ValueError:
            raise RuntimeError(f"{self._name}: not a number: {word!r}") from None

    def notDefault(self) -> bool:
        return not self.isDefault()

    def setDefaultValue(self, value: Any) -> None:
        at_default = self.isDefault()
        self._default_state = self._coerce(value)
        if at_default:
            self._state = self._default_state

    def defaultValue(self) -> Any:
        numbers = [channel.value for channel in self._default_state]
        return numbers[0] if self.width == 1 or len(set(numbers)) == 1 else numbers


def _curve(words: list[str]) -> dict[float, float]:
    keys: dict[float, float] = {}
    frame = 0.0
    for word in words:
        if word in ("i", "k", "l", "c", "L", "K"):
            continue
        if word.startswith("x"):
            frame = float(word[1:])
        elif not word[0].isalpha():
            keys[frame] = float(word)
            frame += 1
    return keys


class Double_Knob(Array_Knob):
    user_type = 7


class Int_Knob(Array_Knob):
    user_type = 3

    def _cast(self, value: float) -> int:
        return int(value)


class Unsigned_Knob(Int_Knob):
    """A colour of the interface, 0xRRGGBBAA."""

    def _script(self) -> str:
        value = int(self._state[0].value)
        return hex(value) if value else "0"

    def _parse_number(self, word: str) -> float:
        return float(int(word, 0))


class Boolean_Knob(Array_Knob):
    user_type = 6

    def _cast(self, value: float) -> bool:
        return bool(value)

    def _coerce(self, value: Any, *rest: Any) -> list[Channel]:
        if isinstance(value, (list, tuple)):
            raise TypeError(f"{self._name}: setValue takes a bool")
        return super()._coerce(bool(value) if not isinstance(value, str) else value, *rest)

    def _script(self) -> str:
        channel = self._state[0]
        return channel.script() if channel.expression or channel.keys else ("true" if channel.value else "false")

    def _parse_number(self, word: str) -> float:
        if word.lower() in ("true", "false"):
            return float(word.lower() == "true")
        return float(bool(super()._parse_number(word)))


class Color_Knob(Array_Knob):
    user_type, width, suffixes = 18, 3, "rgb"


class AColor_Knob(Array_Knob):
    user_type, width, suffixes = 19, 4, "rgba"


class XY_Knob(Array_Knob):
    user_type, width, suffixes, collapses = 12, 2, "xy", False

    def x(self) -> float:
        return self._number(0)

    def y(self) -> float:
        return self._number(1)


class XYZ_Knob(Array_Knob):
    user_type, width, suffixes, collapses = 13, 3, "xyz", False


class WH_Knob(Array_Knob):
    user_type, width, suffixes = 14, 2, "wh"


class BBox_Knob(Array_Knob):
    user_type, width, suffixes, collapses = 15, 4, "xyrt", False


class UV_Knob(Array_Knob):
    user_type, width, suffixes, collapses = 30, 2, "uv", False


class Enumeration_Knob(Array_Knob):
    """One of a list of words. value() is the word, getValue() its index; an unknown word is refused."""

    user_type = 4
    editable: ClassVar[bool] = False

    def __init__(self, name: str = "", label: str | None = None, values: Any = ()) -> None:
        self._values: list[str] = []
        super().__init__(name, label)
        if isinstance(values, str) or not all(isinstance(v, str) for v in values):
            raise TypeError(f"{name}: an enumeration takes a list of strings")
        self._values = list(values)

    def _words(self) -> list[str]:
        return [item.split("\t")[0] for item in self._values]

    def values(self) -> list[str]:
        return list(self._values)

    def setValues(self, values: Any) -> None:
        if isinstance(values, str) or not all(isinstance(v, str) for v in values):
            raise TypeError(f"{self._name}: setValues takes a list of strings")
        word = self.value() if self._values and not self.hasExpression() else None
        self._values = list(values)
        if word is not None:
            index = self._words().index(word) if word in self._words() else 0
            self._state = [Channel(float(index))]

    def numValues(self) -> int:
        return len(self._values)

    def enumName(self, index: int) -> str:
        return self._words()[index]

    def _index(self) -> int:
        return min(max(int(self._number(0)), 0), max(len(self._values) - 1, 0))

    def value(self, *_: Any) -> Any:
        return self._words()[self._index()] if self._values else "0"

    def getValue(self, *_: Any) -> float:
        return float(self._index())

    def valueAt(self, frame: float, *_: Any) -> Any:
        with S.at_frame(frame):
            return self.value()

    def getValueAt(self, frame: float, *_: Any) -> float:
        with S.at_frame(frame):
            return self.getValue()

    def _coerce(self, value: Any, *rest: Any) -> list[Channel]:
        if isinstance(value, str):
            value = self._parse_number(value)
        elif not 0 <= value < len(self._values):
            raise ValueError(f"{self._name}: no item {value} among {self._words()}")
        return super()._coerce(int(value), *rest)

    def _parse_number(self, word: str) -> float:
        words = self._words()
        if word in words:
            return float(words.index(word))
        if re.fullmatch(r"\d+", word) and int(word) < len(words):
            return float(word)
        raise ValueError(f"Bad value for {self._name} : {word} (one of {words})")

    def _parse(self, text: str) -> list[Channel]:
        if not text.startswith("{"):
            return [Channel(self._parse_number(text))]
        return super()._parse(text)

    def _script(self) -> str:
        channel = self._state[0]
        return channel.script() if channel.expression is not None or channel.keys else str(self.value())

    def _quoted(self, text: str) -> str:
        return super()._quoted(text) if self._state[0].expression is not None else quote(text)
