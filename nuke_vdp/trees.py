"""Create layer nodes: a plain Nuke tree on finished layers, which rebuilds the plate and invites to change it.

Only nodes that every Nuke has, so that the tree works, renders and is understood where VDP is not installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import nuke

from nuke_vdp.errors import HostError
from nuke_vdp.tree_layout import Canvas, move_clear_of

RGB = ("red", "green", "blue")
RGBA = (*RGB, "alpha")

LAYER, MATTE, CLEAN, RESIDUAL, REBUILD = 0x4C7A9EFF, 0x6E6E6EFF, 0x4F8A5BFF, 0x5A4A4AFF, 0xB58A3CFF
"""Tile colours: what is a picture, what a matte, what came from elsewhere, what is left over, what puts it together."""

NEUTRAL = ("1", "1 1 1 1")
"""How an untouched gain reads in a script."""


@dataclass(frozen=True)
class LayerFiles:
    """Finished layers on disk.

    Attributes:
        file: their pattern, ``/shots/sh010/layers/sh010.####.exr``.
        first, last: the frames there are.
        task: ``layers``, ``dehaze`` or ``relight``.
        count: how many layers, background included (task ``layers``).
        alpha: ``premultiplied`` or ``straight``, how the layers are written.
        gamma: γ of ``relight``.
    """

    file: str
    first: int
    last: int
    task: str = "layers"
    count: int = 2
    alpha: str = "premultiplied"
    gamma: float = 1.0

    @property
    def layers(self) -> tuple[str, ...]:
        """From back to front: ``bg``, ``fg1``, …"""
        return ("bg", *(f"fg{index}" for index in range(1, self.count)))

    @property
    def title(self) -> str:
        """The files' name without folder, frame number and extension."""
        return self.file.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0].rstrip("#%0123456789d").rstrip("._")


@dataclass(frozen=True)
class Adjustments:
    """What the artist changed, as text of the knobs, so that animation and expressions come along.

    Attributes:
        gains: by layer.
    """

    gains: dict[str, str] = field(default_factory=dict)
    haze_amount: str = "1"
    airlight_gain: str = "1"
    exposure_mix: str = "0"


def create_layer_nodes(node: Any) -> list[Any]:
    """Build the tree of a VDP node's finished layers to the right of it, in one undo step, and select it.

    Raises:
        HostError: nothing is decomposed yet.
    """
    layers, adjustments = files_of(node), adjustments_of(node)
    group = node.parent() or nuke.root()
    with nuke.Undo("VDP layer nodes"), group:
        others = group.nodes()
        for other in others:
            other.setSelected(False)
        created = build(layers, adjustments, node.xpos() + 240, node.ypos())
        move_clear_of(others, created)
        for new in created:
            new.setSelected(True)
    return created


def files_of(node: Any) -> LayerFiles:
    """The finished layers that a VDP node has.

    Raises:
        HostError: it has none.
    """
    file = node["layers_file"].value()
    if not file:
        raise HostError(f"{node.name()} has no layers yet. Press Decompose first, then Create layer nodes.")
    return LayerFiles(
        file=file,
        first=int(node["layers_first"].value()),
        last=int(node["layers_last"].value()),
        task=node["layers_task"].value() or "layers",
        count=int(node["layers_count"].value()),
        alpha=node["layers_alpha"].value() or "premultiplied",
        gamma=float(node["gamma"].value()),
    )


def adjustments_of(node: Any) -> Adjustments:
    """What the artist changed on a VDP node."""
    return Adjustments(
        gains={layer: _as_rgba(node[f"{layer}_gain"]) for layer in ("bg", "fg1", "fg2", "fg3")},
        haze_amount=node["haze_amount"].toScript(),
        airlight_gain=node["airlight_gain"].toScript(),
        exposure_mix=node["exposure_mix"].toScript(),
    )


def _as_rgba(knob: Any) -> str:
    """A colour as the four numbers (or the one) that a Multiply holds."""
    text = str(knob.toScript())
    return text if knob.singleValue() or knob.arraySize() == 4 else f"{text} 1"


def build(layers: LayerFiles, adjustments: Adjustments, x: int, y: int) -> list[Any]:
    """Create the tree in the current group with its upper left corner at (x, y). Selects nothing, moves nothing else.

    Returns:
        the nodes made; the backdrop around them is the last.
    """
    canvas = Canvas(x, y)
    read = _read(canvas, layers)
    if layers.task == "layers":
        _rebuild_of_layers(canvas, read, layers, adjustments)
    elif layers.task == "dehaze":
        _rebuild_of_dehaze(canvas, read, adjustments)
    else:
        _rebuild_of_relight(canvas, read, layers, adjustments)
    canvas.backdrop("VDP_layers", f"VDP  {_not_tcl(layers.title)}")
    return canvas.nodes


def _read(canvas: Canvas, layers: LayerFiles) -> Any:
    read = canvas.add("Read", "VDP_read", column=0, label=f"layers\n{layers.first}-{layers.last}")
    read["file"].setValue(_not_tcl(layers.file.replace("\\", "/")))
    for knob, value in (("first", layers.first), ("last", layers.last)):
        read[knob].setValue(value)
        read["orig" + knob].setValue(value)
    read["origset"].setValue(True)
    read["before"].setValue("black")
    read["after"].setValue("black")
    read["on_error"].setValue("error")
    # Scene-linear as written: no colour space of any config may come between, or the sum is no longer the plate.
    read["raw"].setValue(True)
    return read


def _not_tcl(text: str) -> str:
    """Text for a knob that runs TCL: a bracket in the name of a folder or file is not a command."""
    return text.replace("[", "\\[")


def _rebuild_of_layers(canvas: Canvas, read: Any, layers: LayerFiles, adjustments: Adjustments) -> None:
    """bg + fg1 + … + residual: B runs straight down, each layer comes in from its column on the right."""
    rail = canvas.rail(read, len(layers.layers) + 2 + len(layers.layers))
    total: Any = None
    for column, layer in enumerate(layers.layers):
        label = "background" if layer == "bg" else f"foreground {layer[2:]}"
        sources = [f"{layer}.{channel}" for channel in RGBA]
        pipe = _shuffle(canvas, rail[column], column, layer, f"{layer}_layer", label, LAYER, sources)
        if layers.alpha == "straight":
            pipe = canvas.below(pipe, "Premult", f"{layer}_premult", column)
        gain = adjustments.gains.get(layer, "1")
        if gain not in NEUTRAL:
            pipe = canvas.below(pipe, "Multiply", f"{layer}_gain", column, label=f"gain of {layer}", colour=REBUILD)
            pipe["channels"].setValue("rgb")
            pipe["value"].fromScript(gain)
        total = pipe if total is None else canvas.plus(total, pipe, f"plus_{layer}", column)
    column = len(layers.layers)
    rest = _residual(canvas, rail[column], column)
    total = canvas.plus(total, rest, "VDP_rebuild", column, label="rebuilds the plate", colour=REBUILD)
    # The residual has no matte: alpha stays the sum of the layers' mattes, which is 1.
    total["output"].setValue("rgb")
    _views_of_layers(canvas, rail[column + 1 :], column + 1, layers)
    straight = "Premultiplied here, the" if layers.alpha == "straight" else "The"
    canvas.note(
        f"{straight} layers add up: {' + '.join(layers.layers)} + residual = the plate, exactly.\n"
        "Work on a layer above its Merge. The residual is what the layers do not hold of the plate:\n"
        "leave it out where you replace a layer by something else."
    )


def _views_of_layers(canvas: Canvas, rail: Sequence[Any], column: int, layers: LayerFiles) -> None:
    """The clean plate and the mattes, beside the tree for whoever wants them."""
    _colour(canvas, rail[0], column, "clean", "clean_plate", "clean plate\nnothing in front", CLEAN)
    for index, layer in enumerate(layers.layers[1:], 1):
        label = f"matte of {layer}\nfor a mask input"
        _matte(canvas, rail[index], column + index, layer, f"{layer}_matte", label)
    index = len(layers.layers)
    _matte(canvas, rail[index], column + index, "confidence", "confidence_matte", "confidence\nwhite: trust it")


def _rebuild_of_dehaze(canvas: Canvas, read: Any, adjustments: Adjustments) -> None:
    """X = T' clear + (1 - T') airlight gain + residual, T' = T to the power of the haze amount.

    Files of one transmission for all colours have it as alpha only; a channel that a file lacks is 0, which T never is.
    """
    rail = canvas.rail(read, 6)
    nuke.Layer("transmission", [f"transmission.{c}" for c in RGBA])
    _colour(canvas, rail[1], 1, "clear", "clear_layer", "clear\nwithout the haze", LAYER)
    _colour(canvas, rail[2], 2, "airlight", "airlight_layer", "airlight\ncolour of the haze", LAYER)
    _matte(canvas, rail[3], 3, "transmission", "transmission_matte", "transmission\nwhite: near")
    _residual(canvas, rail[4], 4)
    _matte(canvas, rail[5], 5, "confidence", "confidence_matte", "confidence\nwhite: trust it")
    rebuild = _expression(canvas, rail[0])
    haze = nuke.Double_Knob("haze_amount", "haze amount")
    haze.setRange(0, 3)
    _control(rebuild, haze, adjustments.haze_amount, "0 is clear, 1 as shot, 2 air twice as thick.")
    airlight = nuke.Color_Knob("airlight_gain", "airlight gain")
    _control(rebuild, airlight, adjustments.airlight_gain, "Brightness and colour of the haze.")
    for index, c in enumerate(RGB):
        through = f"through_{c}"
        rebuild[f"temp_name{index}"].setValue(through)
        own = f"transmission.{c} > 0 ? transmission.{c} : transmission.alpha"
        rebuild[f"temp_expr{index}"].setValue(f"pow({own}, haze_amount)")
        haze_light = f"(1 - {through}) * airlight.{c} * airlight_gain.{c[0]}"
        rebuild[f"expr{index}"].setValue(f"{through} * clear.{c} + {haze_light} + residual.{c}")
    # A of the files is the transmission; the rebuilt picture is as opaque as the plate.
    rebuild["expr3"].setValue("1")
    canvas.note(
        "transmission x clear + (1 - transmission) x airlight + residual = the plate, exactly.\n"
        "VDP_rebuild, tab VDP: haze amount 0 is clear, 1 as shot, 2 air twice as thick;\n"
        "airlight gain colours the haze."
    )


def _rebuild_of_relight(canvas: Canvas, read: Any, layers: LayerFiles, adjustments: Adjustments) -> None:
    """X = (1 - mix) (sign(relit) (|relit| / gain)^(1 / gamma) + noise + residual) + mix relit."""
    rail = canvas.rail(read, 6)
    _colour(canvas, rail[1], 1, "relit", "relit_layer", "relit\nwell exposed", LAYER)
    _colour(canvas, rail[2], 2, "gain", "gain_layer", "gain\nof the light", LAYER)
    _colour(canvas, rail[3], 3, "noise", "noise_layer", "noise\nof the plate", LAYER)
    _residual(canvas, rail[4], 4)
    _matte(canvas, rail[5], 5, "confidence", "confidence_matte", "confidence\nwhite: trust it")
    rebuild = _expression(canvas, rail[0])
    mix = nuke.Double_Knob("exposure_mix", "exposure mix")
    _control(rebuild, mix, adjustments.exposure_mix, "0 is as shot, 1 relit.")
    gamma = nuke.Double_Knob("gamma", "gamma")
    gamma.setRange(1, 5)
    _control(rebuild, gamma, f"{layers.gamma:.9g}", "Belongs to these layers: with another one they miss the plate.")
    rebuild["temp_name0"].setValue("power")
    rebuild["temp_expr0"].setValue("1 / gamma")
    for index, c in enumerate(RGB):
        plate = f"(relit.{c} < 0 ? -1 : 1) * pow(abs(relit.{c}) / gain.{c}, power) + noise.{c} + residual.{c}"
        rebuild[f"expr{index}"].setValue(f"(1 - exposure_mix) * ({plate}) + exposure_mix * relit.{c}")
    canvas.note(
        "(relit / gain) to the power of 1 / gamma, + noise + residual = the plate, exactly.\n"
        "VDP_rebuild, tab VDP: exposure mix 0 is as shot, 1 relit."
    )


def _shuffle(
    canvas: Canvas, above: Any, column: int, layer: str, name: str, label: str, colour: int, sources: Sequence[str]
) -> Any:
    """A Shuffle2 of ``layer``: ``sources`` (also ``black``, ``white``) become red, green, blue and alpha."""
    if layer not in nuke.layers():
        # Nuke learns of a file's layers only when it opens it; until then they cannot be chosen.
        nuke.Layer(layer, list(dict.fromkeys(source for source in sources if "." in source)))
    node = canvas.below(above, "Shuffle2", name, column, label=label, colour=colour)
    node["in1"].setValue(layer)
    node["mappings"].setValue([(source, f"rgba.{target}") for source, target in zip(sources, RGBA)])
    return node


def _colour(canvas: Canvas, above: Any, column: int, layer: str, name: str, label: str, colour: int) -> Any:
    """A layer without a matte, opaque."""
    return _shuffle(canvas, above, column, layer, name, label, colour, [*(f"{layer}.{c}" for c in RGB), "white"])


def _matte(canvas: Canvas, above: Any, column: int, layer: str, name: str, label: str) -> Any:
    """A layer's alpha in all four channels: to be seen, and to be taken by any mask input."""
    return _shuffle(canvas, above, column, layer, name, label, MATTE, [f"{layer}.alpha"] * 4)


def _residual(canvas: Canvas, above: Any, column: int) -> Any:
    sources = [*(f"residual.{c}" for c in RGB), "black"]
    return _shuffle(canvas, above, column, "residual", "residual_layer", "residual\nkeeps it exact", RESIDUAL, sources)


def _expression(canvas: Canvas, above: Any) -> Any:
    label = "rebuilds the plate\ncontrols: tab VDP"
    node = canvas.below(above, "Expression", "VDP_rebuild", 0, label=label, colour=REBUILD)
    node.addKnob(nuke.Tab_Knob("vdp", "VDP"))
    return node


def _control(node: Any, knob: Any, text: str, tooltip: str) -> None:
    """Give a node a knob for the artist, as another one reads in a script."""
    knob.setTooltip(tooltip)
    node.addKnob(knob)
    knob.fromScript(text)
