"""Knobs: what all of them share, and those that hold text."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from . import _callbacks, _constants, _filenames, _tcl
from ._quoting import quote
from ._session import S
from ._threads import Guarded


class Knob(Guarded):
    """A control of a node. Its state is in `_state`, which is replaced and never changed in place."""

    user_type: ClassVar[int] = -1
    """The number of the class in an addUserKnob line; -1 where it cannot be one."""

    holds_value: ClassVar[bool] = True

    def __init__(self, name: str = "", label: str | None = None) -> None:
        if not isinstance(name, str) or not (label is None or isinstance(label, str)):
            raise TypeError(f"{type(self).__name__}: name and label are strings")
        self._name = name
        self._label = label
        self._tooltip = ""
        self._flags = 0
        self._node: Any = None
        self._user = False
        self._startline = True
        self._state: Any = self._blank()
        self._default_state: Any = self._state

    def _blank(self) -> Any:
        return ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._name}>"

    # What it is called, how it looks.
    def name(self) -> str:
        return self._name

    def setName(self, name: str) -> None:
        self._name = name

    def fullyQualifiedName(self, channel: int = -1) -> str:
        return f"{self._node.fullName()}.{self._name}"

    def label(self) -> str:
        return self._name if self._label is None else self._label

    def setLabel(self, label: str) -> None:
        self._label = label

    def tooltip(self) -> str:
        return self._tooltip

    def setTooltip(self, text: str) -> None:
        self._tooltip = text

    def node(self) -> Any:
        return self._node

    def Class(self) -> str:
        return type(self).__name__

    def setFlag(self, flag: int) -> None:
        self._flags |= int(flag)

    def clearFlag(self, flag: int) -> None:
        self._flags &= ~int(flag)

    def getFlag(self, flag: int) -> bool:
        return bool(self._flags & int(flag))

    def visible(self) -> bool:
        return not self._flags & _constants.INVISIBLE

    def setVisible(self, visible: bool) -> None:
        self._flags = self._flags & ~_constants.INVISIBLE | (0 if visible else _constants.INVISIBLE)

    def enabled(self) -> bool:
        return not self._flags & _constants.DISABLED

    def setEnabled(self, enabled: bool) -> None:
        self._flags = self._flags & ~_constants.DISABLED | (0 if enabled else _constants.DISABLED)

    # Its value.
    def value(self) -> Any:
        return self._state

    def getValue(self) -> Any:
        return self.value()

    def setValue(self, *args: Any, **kwargs: Any) -> bool:
        return self._assign(self._coerce(*args, **kwargs))

    def _coerce(self, value: Any, *_: Any) -> Any:
        raise TypeError(f"{type(self).__name__} {self._name} takes no value")

    def _assign(self, state: Any) -> bool:
        """Stores a state: undo, knobChanged, the modified flag."""
        if state == self._state:
            return True
        before = self._state
        self._state = state
        selection = self._name == "selected"  # no step of undo, and no change of the script
        if not selection and not self._flags & _constants.NO_UNDO:
            S.undo.record(lambda: self._restore(before), f"{self._name}")
        if self._node is not None:
            if not selection and not self._flags & _constants.DO_NOT_WRITE:
                S.touch()
            _callbacks.knob_changed(self._node, self)
        return True

    def _restore(self, state: Any) -> None:
        self._state = state

    def evaluate(self, frame: float | None = None) -> Any:
        with S.at_frame(frame):
            return self.value()

    def toScript(self, quote: bool = False, context: Any = None) -> str:
        text = self._script()
        return _quote_script(self, text) if quote else text

    def _script(self) -> str:
        return str(self._state)

    def fromScript(self, text: str) -> bool:
        return self._assign(self._parse(text))

    def _parse(self, text: str) -> Any:
        return text

    def _word(self) -> str:
        """The value as one word of a .nk."""
        return _quote_script(self, self._script())

    # Defaults.
    def isDefault(self) -> bool:
        """For the tests; only knobs of numbers tell in Nuke (notDefault)."""
        return bool(self._state == self._default_state)

    def _mark_default(self) -> None:
        self._default_state = self._state

    # Animation: none here.
    def isAnimated(self, index: int = -1, view: Any = None) -> bool:
        return False

    def hasExpression(self, index: int = -1) -> bool:
        return False

    def clearAnimated(self, index: int = -1, view: Any = None) -> bool:
        return False


def _quote_script(knob: Knob, text: str) -> str:
    return knob._quoted(text) if hasattr(knob, "_quoted") else quote(text)


class _Text(Knob):
    """Knobs that hold text as it is typed."""

    def __init__(self, name: str = "", label: str | None = None, value: str = "") -> None:
        super().__init__(name, label)
        if value:
            self._state = self._coerce(value)

    def _coerce(self, value: Any, *_: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{type(self).__name__} {self._name}: setValue takes a string, not {value!r}")
        return value

    def value(self) -> str:
        return str(self._state)

    def setText(self, text: str) -> None:
        self.setValue(text)

    def getText(self) -> str:
        return self.value()

    def valueAt(self, frame: float) -> str:
        return self.value()

    def getValueAt(self, frame: float) -> str:
        return self.value()


class String_Knob(_Text):
    user_type = 1


class EvalString_Knob(String_Knob):
    """Text in which [...] runs as Tcl when it is evaluated."""

    def evaluate(self, frame: float | None = None) -> str:
        with S.at_frame(frame):
            return _tcl.expand(self._state, self._node, self)


class Multiline_Eval_String_Knob(EvalString_Knob):
    user_type = 43


class File_Knob(EvalString_Knob):
    """A path. `value` is what was typed; `evaluate` runs its Tcl and puts frame and view in place of #### %04d %V."""

    user_type = 2

    def _coerce(self, value: Any, *_: Any) -> str:
        text = super()._coerce(value)
        if re.search(r"(?<!\\)(\\\\)*\\\w", text):
            raise ValueError(f"{self._name}: Tcl eats this backslash; use forward slashes: {text}")
        return text

    def evaluate(self, frame: float | None = None) -> str:
        with S.at_frame(frame):
            expanded = _tcl.expand(self._state, self._node, self)
            return _callbacks.filter_filename(_filenames.in_place(expanded, S.now, S.view))

    def getEvaluatedValue(self, frame: float | None = None) -> str | None:
        return self.evaluate(frame) or None

    def fromUserText(self, text: str) -> None:
        """As typed into the file browser: a trailing frame range sets the range of a Read."""
        pattern, first, last = _filenames.split_range(text)
        self.setValue(pattern)
        knobs = self._node.knobs() if self._node is not None else {}
        if first is not None and "first" in knobs:
            for name, number in (("first", first), ("last", last), ("origfirst", first), ("origlast", last)):
                knobs[name].setValue(number)


class Script_Knob(_Text):
    """A button that runs Tcl."""

    user_type = 32

    def command(self) -> str:
        return self.value()

    def setCommand(self, text: str) -> None:
        self.setValue(text)

    def execute(self) -> None:
        with S.this(self._node, self):
            _tcl.run(self._state, self._node, self)


class PyScript_Knob(_Text):
    """A button that runs Python with thisNode and thisKnob set, inside of its group where its node is one."""

    user_type = 22

    def command(self) -> str:
        return self.value()

    def setCommand(self, text: str) -> None:
        self.setValue(text)

    def execute(self) -> None:
        if not self.enabled():
            raise RuntimeError(f"{self._name}: a disabled button cannot be pressed")
        with S.this(self._node, self):
            _callbacks.run_script(self._state)


class PyCustom_Knob(_Text):
    """A widget made by Python: `command` is an expression whose value has makeUI()."""

    user_type = 52

    def __init__(self, name: str = "", label: str | None = None, command: str = "") -> None:
        super().__init__(name, label, command)
        self._object: Any = None

    def command(self) -> str:
        return self.value()

    def getObject(self) -> Any:
        if self._object is None and self._state:
            with S.this(self._node, self):
                self._object = _callbacks.evaluate(self._state)
        return self._object


class Text_Knob(_Text):
    """Words in a panel; with neither label nor text, a dividing line."""

    user_type = 26


class Help_Knob(_Text):
    user_type = 36
