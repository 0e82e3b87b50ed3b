"""Callbacks: those registered for node classes, and the scripts in a node's own callback knobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _constants
from ._session import Entry, S

NAMES = (
    "OnUserCreate", "OnCreate", "OnScriptLoad", "OnScriptSave", "OnScriptClose", "OnDestroy", "KnobChanged",
    "UpdateUI", "Autolabel", "BeforeRender", "BeforeFrameRender", "AfterFrameRender", "AfterRender",
    "RenderProgress", "FilenameFilter", "ValidateFilename", "DefaultColorspaceMapper", "AutoSaveFilter",
)  # fmt: skip
_KNOBS = {
    "OnCreate": "onCreate", "OnDestroy": "onDestroy", "KnobChanged": "knobChanged", "UpdateUI": "updateUI",
    "OnScriptLoad": "onScriptLoad", "OnScriptSave": "onScriptSave", "OnScriptClose": "onScriptClose",
    "BeforeRender": "beforeRender", "AfterRender": "afterRender", "BeforeFrameRender": "beforeFrameRender",
    "AfterFrameRender": "afterFrameRender", "RenderProgress": "renderProgress",
}  # fmt: skip


def _adder(name: str) -> Callable[..., None]:
    default_class = _default_class(name)

    def add(
        call: Callable[..., Any], args: Any = (), kwargs: Any = None, nodeClass: str = default_class, node: Any = None
    ) -> None:
        if not callable(call):
            raise ValueError(f"nuke.add{name}: not callable: {call!r}")
        if node is not None and name != "KnobChanged":
            raise TypeError(f"nuke.add{name} got an unexpected keyword argument 'node'")
        entry = _entry(nodeClass, call, args, kwargs, node)
        known = S.callbacks.setdefault(name, [])
        known[:] = [one for one in known if one != entry] + [entry]

    add.__name__ = add.__qualname__ = f"add{name}"
    return add


def _default_class(name: str) -> str:
    """The classes that Nuke's own add functions are for unless told otherwise."""
    if name.startswith("OnScript"):
        return "Root"
    return "Write" if "Render" in name else "*"


def _entry(node_class: str, call: Callable[..., Any], args: Any, kwargs: Any, node: Any) -> Entry:
    return node_class, call, args if isinstance(args, tuple) else (args,), dict(kwargs or {}), node


def _remover(name: str) -> Callable[..., None]:
    default_class = _default_class(name)

    def remove(
        call: Callable[..., Any], args: Any = (), kwargs: Any = None, nodeClass: str = default_class, node: Any = None
    ) -> None:
        entry = _entry(nodeClass, call, args, kwargs, node)
        S.callbacks[name] = [one for one in S.callbacks.get(name, []) if one != entry]

    remove.__name__ = remove.__qualname__ = f"remove{name}"
    return remove


FUNCTIONS: dict[str, Callable[..., Any]] = {f"add{name}": _adder(name) for name in NAMES}
FUNCTIONS |= {f"remove{name}": _remover(name) for name in NAMES}


def run_script(text: str) -> None:
    """Python of a knob, run as Nuke does: names of __main__, where nuke is imported."""
    exec(compile(text, "<knob script>", "exec"), _globals())


def evaluate(text: str) -> Any:
    return eval(compile(text.strip(), "<knob expression>", "eval"), _globals())


def execute_local(text: str) -> Any:
    """The body of [python -execlocal …]: its value is what it leaves in `ret`."""
    local: dict[str, Any] = {}
    exec(compile(text, "<python -execlocal>", "exec"), dict(_globals()), local)
    if "ret" not in local:
        raise RuntimeError(f"python -execlocal leaves nothing in 'ret': {text}")
    return local["ret"]


def _globals() -> dict[str, Any]:
    if not S.globals:
        import nuke

        S.globals.update({"nuke": nuke, "__name__": "__main__"})
        exec("import nukescripts", S.globals)
    return S.globals


def registered(name: str, node: Any) -> list[Any]:
    """Runs what is registered: first for the node's class, then for all; the results."""
    known = list(S.callbacks.get(name, []))
    chosen = [one for wanted in (node.Class(), "*") for one in known if one[0] == wanted]
    return [call(*args, **kwargs) for _, call, args, kwargs, only in chosen if only is None or only is node]


def run(name: str, node: Any, knob: Any = None) -> None:
    """The node's own script, then what is registered for its class."""
    with S.this(node, knob):
        script = node.knobs().get(_KNOBS.get(name, ""))
        if script is not None and script.value():
            run_script(script.value())
        registered(name, node)


def knob_changed(node: Any, knob: Any) -> None:
    """Nuke does not call it while a script loads, nor from within itself."""
    if S.loading or S.in_knob_changed or S.undo.replaying or knob.getFlag(_constants._NO_KNOB_CHANGED):
        return
    if S.knob_changed_needs_panel and node not in S.panels_open and not knob.getFlag(_constants._KNOB_CHANGED_ALWAYS):
        return
    if not node._attached():
        return
    S.in_knob_changed += 1
    try:
        run("KnobChanged", node, knob)
    finally:
        S.in_knob_changed -= 1


def filter_filename(path: str) -> str:
    for _, call, args, kwargs, _ in list(S.callbacks.get("FilenameFilter", [])):
        changed = call(path, *args, **kwargs)
        path = path if changed is None else changed
    return path


def autolabel(node: Any) -> str | None:
    """The text under a node, from the last registered callback that says something."""
    with S.this(node):
        script = node.knob("autolabel").value()
        if script:
            return str(evaluate(script))
        answers = [a for a in registered("Autolabel", node) if a is not None]
    return answers[-1] if answers else None
