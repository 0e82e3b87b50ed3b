"""Knobs that are neither text nor numbers: tabs, links, channels, formats, and text that the stand-in only carries."""

from __future__ import annotations

import re
from typing import Any

from . import _constants
from ._knobs import Knob, _Text
from ._quoting import split_list
from ._session import S


class Tab_Knob(Knob):
    """A tab, or with a kind (TABBEGINGROUP, TABBEGINCLOSEDGROUP, TABENDGROUP) the begin or end of a group of knobs."""

    user_type = 20
    holds_value = False

    def __init__(self, name: str = "", label: str | None = None, kind: int = 0) -> None:
        super().__init__(name, label)
        self._kind = kind
        self._closed = kind == _constants.TABBEGINCLOSEDGROUP

    def value(self) -> bool:
        return self._closed

    def _coerce(self, value: Any, *_: Any) -> Any:
        self._closed = not value
        return self._state

    def _parse(self, text: str) -> Any:
        """A group saves whether it is open: 0 is closed."""
        self._closed = text in ("0", "false")
        return self._state


class BeginTabGroup_Knob(Tab_Knob):
    pass


class EndTabGroup_Knob(Tab_Knob):
    pass


class Link_Knob(Knob):
    """Shows another knob. Its value is the other's."""

    user_type = 41
    holds_value = False

    def __init__(self, name: str = "", label: str | None = None, target: str = "") -> None:
        super().__init__(name, label)
        self._target = target

    def setLink(self, target: str) -> None:
        self._target = target

    def makeLink(self, node: str, knob: str) -> None:
        self._target = f"{node}.{knob}"

    def getLink(self) -> str:
        return self._target

    def getLinkedKnob(self) -> Knob | None:
        node_name, _, knob = self._target.rpartition(".")
        home = self._node
        node = home if not node_name else None
        if node is None and hasattr(home, "node"):
            node = home.node(node_name)
        if node is None and home.parent() is not None:
            node = home.parent().node(node_name)
        return node.knob(knob) if node is not None else None

    def _other(self) -> Knob:
        other = self.getLinkedKnob()
        if other is None:
            raise RuntimeError(f"{self._name}: no knob {self._target} to link to")
        return other

    def value(self, *args: Any) -> Any:
        return self._other().value(*args)

    def setValue(self, *args: Any, **kwargs: Any) -> bool:
        return self._other().setValue(*args, **kwargs)

    def evaluate(self, frame: float | None = None) -> Any:
        return self._other().evaluate(frame)


class Channel_Knob(_Text):
    """A layer, or a channel of it: 'rgba', 'fg1', 'none', 'rgba.alpha'. The name has to be one Nuke could have."""

    user_type = 11

    def __init__(self, name: str = "", label: str | None = None, depth: int = 4) -> None:
        super().__init__(name, label)
        self._depth = depth
        self._state = self._default_state = "rgba" if depth == 4 else "alpha"

    def _coerce(self, value: Any, *_: Any) -> str:
        text = super()._coerce(value)
        for part in text.split():
            if not re.fullmatch(r"-?[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", part):
                raise RuntimeError(f"{self._name}: no channel is called {part!r}")
        return text

    def _parse(self, text: str) -> str:
        return self._coerce(text)

    def depth(self) -> int:
        return self._depth

    def inputKnob(self) -> Knob | None:
        return None

    def layerSelector(self) -> bool:
        return self._depth > 1


class ChannelMask_Knob(Channel_Knob):
    user_type = 10


class Format:
    """A format: size, pixel aspect, name."""

    def __init__(self, width: int, height: int, name: str = "", aspect: float = 1.0) -> None:
        self._width, self._height, self._name, self._aspect = int(width), int(height), name, float(aspect)

    def width(self) -> int:
        return self._width

    def height(self) -> int:
        return self._height

    def x(self) -> int:
        return 0

    def y(self) -> int:
        return 0

    def r(self) -> int:
        return self._width

    def t(self) -> int:
        return self._height

    def name(self) -> str:
        return self._name

    def pixelAspect(self) -> float:
        return self._aspect

    def script(self) -> str:
        return f"{self._width} {self._height} 0 0 {self._width} {self._height} {self._aspect:g} {self._name}".rstrip()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.script() == other.script()

    __hash__ = None  # type: ignore[assignment]


FORMATS = [
    Format(640, 480, "PC_Video"), Format(1280, 720, "HD_720"), Format(1920, 1080, "HD_1080"),
    Format(2048, 1556, "2K_Super_35(full-ap)"), Format(3840, 2160, "UHD_4K"), Format(256, 256, "square_256"),
]  # fmt: skip


def parse_format(text: str) -> Format:
    for known in FORMATS:
        if known.name() == text.strip():
            return known
    words = split_list(text)
    if len(words) < 2 or not all(re.fullmatch(r"-?[\d.]+", w) for w in words[:7]):
        raise RuntimeError(f"no format is called {text!r}")
    numbers = [w for w in words if re.fullmatch(r"-?[\d.]+", w)]
    aspect = float(numbers[6]) if len(numbers) > 6 else 1.0
    return Format(int(numbers[0]), int(numbers[1]), " ".join(words[len(numbers) :]), aspect)


class Format_Knob(Knob):
    user_type = 17

    def _blank(self) -> Format:
        return FORMATS[3]

    def _coerce(self, value: Any, *_: Any) -> Format:
        if isinstance(value, Format):
            return value
        if not isinstance(value, str):
            raise TypeError(f"{self._name}: setValue takes a format or its name")
        return parse_format(value)

    def value(self) -> Format:
        return self._state

    def name(self) -> str:
        return super().name()

    def _script(self) -> str:
        return str(self._state.script())

    def _parse(self, text: str) -> Format:
        return parse_format(text)


class Opaque_Knob(_Text):
    """A knob of Nuke whose inside no test looks at (curves of a Roto, key maps): kept as it came."""

    def _quoted(self, text: str) -> str:
        return "{" + text + "}"


class ColorSpace_Knob(_Text):
    """The colour space menu of a Read or Write; its words depend on the colour management of the script."""

    def values(self) -> list[str]:
        return ["default", "linear", "sRGB", "rec709", "scene_linear", "ACES - ACEScg", "raw"]


class Mappings_Knob(Knob):
    """`mappings` of a Shuffle2: [(input, from, to), ...]. setValue takes these, or (from, to) for the first input.

    black and white are of no input (-1).
    """

    def _blank(self) -> list[tuple[int, str, str]]:
        return [(0, f"rgba.{c}", f"rgba.{c}") for c in _ORDER]

    def value(self) -> list[tuple[int, str, str]]:
        return list(self._state)

    def _coerce(self, value: Any, *_: Any) -> list[tuple[int, str, str]]:
        if not isinstance(value, list) or not all(isinstance(p, tuple) and len(p) in (2, 3) for p in value):
            raise TypeError(f"{self._name}: setValue takes [(from, to), ...] or [(input, from, to), ...]")
        return [self._row(*(one if len(one) == 3 else (0, *one))) for one in value]

    def _row(self, place: int, source: str, target: str) -> tuple[int, str, str]:
        constant = source in ("black", "white")
        if not constant and not re.fullmatch(r"[A-Za-z_]\w*\.\w+", source):
            raise RuntimeError(f"{self._name}: no channel is called {source!r}")
        if not re.fullmatch(r"[A-Za-z_]\w*\.\w+", target) or place not in (-1, 0, 1):
            raise RuntimeError(f"{self._name}: cannot map {(place, source, target)}")
        return (-1 if constant else place), source, target

    def _script(self) -> str:
        rows = [f"{a} {place} {_slot(a)} {b} 0 {_slot(b)}" for place, a, b in self._state]
        return " ".join([str(len(rows)), *rows])

    def _parse(self, text: str) -> list[tuple[int, str, str]]:
        words = split_list(text)
        count = int(words[0]) if words else 0
        if len(words) != 1 + 6 * count:
            raise RuntimeError(f"{self._name}: a mapping is '1 rgba.red 0 0 rgba.red 0 0', not {text!r}")
        rows = [words[1 + 6 * i : 7 + 6 * i] for i in range(count)]
        return [self._row(int(row[1]), row[0], row[3]) for row in rows]


_ORDER = ("red", "green", "blue", "alpha")


def _slot(channel: str) -> int:
    """Position of a channel in its layer; -1 for black and white."""
    if channel in ("black", "white"):
        return -1
    layer = S.layers.get(channel.split(".")[0], [])
    if channel in layer and channel.split(".")[0] != "alpha":
        return layer.index(channel)
    last = channel.rpartition(".")[2]
    return _ORDER.index(last) if last in _ORDER else 0
