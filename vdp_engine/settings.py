"""Everything a user can set, as frozen, validated models.

``Settings`` decides what comes out; ``Machine`` only where and how it is computed. Each field of ``Settings``
names the first stage whose result it changes, so that a change redoes that stage and those after it, and no more.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from vdp_engine.errors import UsageError

Stage = Literal["prep", "fit", "render"]
STAGES: tuple[Stage, ...] = ("prep", "fit", "render")
MOST_LAYERS = 4

Task = Literal["layers", "dehaze", "relight"]
TASKS: tuple[Task, ...] = ("layers", "dehaze", "relight")
Quality = Literal["draft", "standard", "final"]
Missing = Literal["error", "hold", "black"]
Compression = Literal["none", "rle", "zip", "zips", "piz", "pxr24", "b44", "b44a", "dwaa", "dwab"]


def _first(
    stage: Stage, default: Any, description: str, *, tasks: tuple[Task, ...] = TASKS, **constraints: Any
) -> Any:
    extra: dict[str, Any] = {"stage": stage, "tasks": list(tasks)}
    return Field(default, description=description, json_schema_extra=extra, **constraints)


def _three(value: Any) -> Any:
    """``0.8,0.82,0.9`` as it is typed on a command line, or whatever else came, for pydantic to judge."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",")]
    if len(parts) != 3:
        raise ValueError("needs three numbers with commas between, such as 0.8,0.82,0.9")
    return parts


Light = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""An amount of scene-linear light."""

Share = Annotated[float, Field(ge=0, le=1)]
Colour = Annotated[tuple[Light, Light, Light], BeforeValidator(_three)]
"""Scene-linear R, G, B in the plate's primaries; a text of three numbers with commas is taken too."""


class Settings(BaseModel):
    """What a user can set for one shot. Frozen; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    layer: str | None = _first("prep", None, "channel group of the plate to decompose; none: its main RGB")
    colorspace: str | None = _first("prep", None, "OCIO colour space of the plate; none: scene-linear")
    missing: Missing = _first("prep", "error", "what a missing frame becomes: an error, its neighbour, or black")
    quality: Quality = _first("prep", "standard", "working resolutions and number of steps")
    flow: Literal["dis", "vdp", "raft", "vectors"] = _first("prep", "dis", "where optical flow comes from")
    flow_weights: str | None = _first("prep", None, "RAFT weights file; none: the torch cache")
    flow_layer: str | None = _first("prep", None, "motion-vector layer for flow=vectors; none: forward and backward")
    flow_refine: bool = _first("prep", False, "refine the flow of each pair of frames on the pair itself")

    task: Task = _first("fit", "layers", "what to decompose into")
    layers: Literal[2, 3, 4, "auto"] = _first(
        "fit", 2, "how many layers, the background included", tasks=("layers",)
    )
    hints: tuple[str, ...] = _first(
        "fit",
        (),
        "rough mattes of the first foreground layer, on one frame or more; once more for each further layer. "
        "dehaze: a rough transmission, relight: a rough lighting map",
    )
    objective: Literal["vdp", "paper"] = _first(
        "fit", "vdp", "priors and a curriculum, or the paper's plain objective"
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = _first("fit", 0, "seed of everything random")
    airlight: Colour | None = _first(
        "fit", None, "dehaze: colour of the haze, scene-linear; none: estimated from the shot", tasks=("dehaze",)
    )
    transmission: Literal["grey", "rgb"] = _first(
        "fit", "grey", "dehaze: one transmission for all colours, or one each (water, smoke)", tasks=("dehaze",)
    )
    gamma: Annotated[float, Field(gt=1, le=8)] | None = _first(
        "fit", None, "relight: the exponent, above 1; none: learned from the shot", tasks=("relight",)
    )

    bit_depth: Literal["half", "float"] = _first("render", "half", "pixel type of the layers")
    compression: Compression = _first("render", "zips", "EXR compression of the layers; b44 and dwa lose detail")
    alpha: Literal["premultiplied", "straight"] = _first(
        "render", "premultiplied", "state of the layers' colours", tasks=("layers",)
    )
    strength: Share = _first(
        "render", 1.0, "dehaze, relight: how much of it is done, 0 to 1", tasks=("dehaze", "relight")
    )
    exposure: Annotated[float, Field(ge=-8, le=8)] = _first(
        "render", 0.0, "relight: stops above or below what the shot is lit to", tasks=("relight",)
    )
    key_fill: Share = _first(
        "render", 0.2, "relight: 0 lifts the whole picture alike (key), 1 the shadows most (fill)", tasks=("relight",)
    )
    protect: Share = _first(
        "render", 1.0, "relight: how far highlights are held back from the lift, 0 to 1", tasks=("relight",)
    )
    vectors: bool = _first("render", False, "also write forward.u/v and backward.u/v, in pixels")

    @model_validator(mode="after")
    def _flow_options_belong_to_the_flow(self) -> Settings:
        if self.flow_weights is not None and self.flow != "raft":
            raise ValueError("flow_weights needs flow=raft")
        if self.flow_layer is not None and self.flow != "vectors":
            raise ValueError("flow_layer needs flow=vectors")
        if self.flow_refine and self.flow == "vectors":
            raise ValueError("flow_refine needs flow=dis, vdp or raft: vectors are taken as they are")
        return self

    @model_validator(mode="after")
    def _options_belong_to_the_task(self) -> Settings:
        for name, field in type(self).model_fields.items():
            if not belongs(name, self.task) and getattr(self, name) != field.default:
                tasks = " and ".join(_TASKS_OF[name])
                raise ValueError(f"{flag(name)} belongs to the task {tasks}, this is {self.task}")
        return self

    @model_validator(mode="after")
    def _each_hint_has_a_layer(self) -> Settings:
        count, most = len(self.hints), MOST_LAYERS - 1
        if self.task != "layers":
            if count > 1:
                raise ValueError(f"{count} hints are too many: the task {self.task} takes one")
            return self
        if count > most:
            raise ValueError(f"{count} hints are too many: there are {most} foreground layers at most")
        if self.layers != "auto" and count >= self.layers:
            raise ValueError(
                f"{count} hint(s) steer {count} layer(s) before the background: pass --layers {count + 1}, or auto"
            )
        return self

    @property
    def least_layers(self) -> int:
        """The fewest layers that may come out, the background included: each hint has one."""
        return max(2, len(self.hints) + 1) if self.layers == "auto" else self.layers

    @classmethod
    def parse(cls, **values: Any) -> Settings:
        """Settings from keyword values; ``None`` means the default.

        Raises:
            UsageError: a value is not allowed; the message names each setting and what it may be.
        """
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise UsageError(_told(error), code="settings", remedy="see vdp run --help") from None

    def digest(self, upto: Stage) -> str:
        """Short digest of every setting that the result of the stage ``upto`` depends on, those of its task only."""
        stages = STAGES[: STAGES.index(upto) + 1]
        chosen = {
            name: getattr(self, name)
            for name, stage in _STAGE_OF.items()
            if stage in stages and belongs(name, self.task)
        }
        # What was made before there was such a setting is still good.
        return short_digest({name: value for name, value in chosen.items() if value != _LATER.get(name, ...)})


def short_digest(value: Any) -> str:
    """16 hexadecimal digits that tell JSON-able values apart."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _told_of(name: str, key: str) -> Any:
    extra = Settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return extra[key]


_STAGE_OF: dict[str, Stage] = {name: _told_of(name, "stage") for name in Settings.model_fields}
_LATER: dict[str, Any] = {"hints": (), "flow_refine": False}
_TASKS_OF: dict[str, tuple[Task, ...]] = {name: tuple(_told_of(name, "tasks")) for name in Settings.model_fields}


def belongs(name: str, task: str) -> bool:
    """Whether a field of ``Settings`` is one of a task: others refuse it."""
    return task in _TASKS_OF[name]


def flag(name: str) -> str:
    """The command line's option for a field of ``Settings`` or ``Machine``; that of ``hints`` takes one each time."""
    return "--" + ("hint" if name == "hints" else name.replace("_", "-"))


class Machine(BaseModel):
    """Where the work is done. Nothing here changes which layers come out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="device: auto, cpu, cuda or cuda:N")
    threads: int = Field(0, ge=0, description="CPU threads; 0: all that this process may use")
    max_memory: int = Field(0, ge=0, description="most memory to use, as 8G, 4096M or bytes; 0: 3/4 of what there is")

    @classmethod
    def parse(cls, **values: Any) -> Machine:
        """Like ``Settings.parse``."""
        try:
            return cls(**{name: value for name, value in values.items() if value is not None})
        except ValidationError as error:
            raise UsageError(_told(error), code="settings", remedy="see vdp run --help") from None


def _told(error: ValidationError) -> str:
    told = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        reason = item["msg"].removeprefix("Value error, ").removeprefix("Input ")
        told.append(f"{name + ': ' if name else ''}{reason}" + (f", not {item['input']!r}" if name else ""))
    return "; ".join(told)
