"""What a file says of itself before any pixel is read: windows, channels, attributes, parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import OpenImageIO as oiio

from vdp_engine.errors import PlateError
from vdp_engine.plate import subsampled
from vdp_engine.plate.windows import Window

MAX_PIXELS = 2**28  # 16k by 16k; a header that asks for more is damaged, and would be believed by malloc

# Said by the file's own layout, which the writer chooses anew, or derived by OpenImageIO rather than stored.
_STRUCTURAL = frozenset(
    {"compression", "name", "view", "multiView", "type", "version", "chunkCount", "channels", "tiles", "lineOrder"}
    | {"dataWindow", "displayWindow", "PixelAspectRatio", "pixelAspectRatio", "YResolution", "ResolutionUnit"}
    | {"envmap", "wrapmodes", "textureformat"}
)
_STRUCTURAL_PREFIXES = ("oiio:", "openexr:")


class Attribute(NamedTuple):
    """One metadata value with the type OpenImageIO gave it, so that it can be written back as it was."""

    type: oiio.TypeDesc
    value: Any


@dataclass(frozen=True)
class FrameHeader:
    """The header of one frame, for the part of the file that the plate takes its colour from.

    ``channels`` are all channels of that part; ``pixel_type`` is that of the colour (half, float, uint, uint8 …);
    ``attributes`` are the ones to carry over to files made from this frame, by OpenImageIO's names.
    """

    number: int
    path: Path
    data_window: Window
    display_window: Window
    pixel_aspect: float
    channels: tuple[str, ...]
    pixel_type: str
    compression: str
    tiled: bool
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class Part:
    """One part of a file: an image with its own windows and channels. ``kinds`` are the channels' pixel types."""

    index: int
    name: str
    view: str
    views: tuple[str, ...]
    channels: tuple[str, ...]
    kinds: tuple[str, ...]
    data_window: Window
    display_window: Window
    pixel_aspect: float
    compression: str
    tiled: bool
    deep: bool
    file_format: str
    attributes: dict[str, Attribute]
    is_subsampled: bool = False


def unreadable(path: Path, frame: int | None, reason: str) -> PlateError:
    """The error for a file that is damaged, ends early or is no image; ``reason`` is the library's own message."""
    told = " ".join(reason.split()) or "it is damaged or ends early"
    return PlateError(
        f"cannot read {path}: {told}",
        code="unreadable",
        path=path,
        frame=frame,
        remedy="the file is truncated, damaged or of another kind: render or copy it again",
    )


def open_image(path: Path) -> oiio.ImageInput | None:
    """Open a file for reading with straight values: colour is never multiplied by a file's own alpha."""
    hint = oiio.ImageSpec()
    hint.attribute("oiio:UnassociatedAlpha", 1)
    return oiio.ImageInput.open(str(path), hint)


def last_error(source: Any = oiio) -> str:
    """What OpenImageIO, or one of its images, has to say; "" where that quotes bytes of a damaged file as text."""
    try:
        return str(source.geterror())
    except UnicodeDecodeError:
        return ""


def stamps(path: Path, *names: str) -> tuple[str, ...] | None:
    """Text attributes of a file of our own, "" for those it lacks; ``None`` where it is missing or damaged."""
    if not path.exists():
        return None
    image = open_image(path)
    if image is None:
        last_error()  # clears it: a damaged file is simply made again
        return None
    spec = image.spec()
    image.close()
    return tuple(str(spec.get_string_attribute(name)) for name in names)


def scan(path: Path, frame: int | None = None) -> tuple[Part, ...]:
    """All parts of a file, from its header alone.

    Raises:
        PlateError: ``unreadable``, or ``too_large`` where the header asks for more pixels than any plate has.
    """
    image = open_image(path)
    if image is None:
        reason = last_error()
        if "ubsampled" in reason:
            return (_subsampled_part(path, frame),)
        raise unreadable(path, frame, reason)
    try:
        parts: list[Part] = []
        while image.seek_subimage(len(parts), 0):
            parts.append(_part(image, len(parts), path, frame))
        return tuple(parts)
    except UnicodeDecodeError as error:
        raise unreadable(path, frame, "names in its header are not text") from error
    finally:
        image.close()


def _part(image: oiio.ImageInput, index: int, path: Path, frame: int | None) -> Part:
    spec = image.spec()
    if spec.width < 1 or spec.height < 1 or spec.full_width < 1 or spec.full_height < 1 or spec.depth > 1:
        raise unreadable(path, frame, "the header holds no usable image size")
    data_window = Window(spec.x, spec.y, spec.width, spec.height)
    check_size(data_window, path, frame)
    attributes = {item.name: Attribute(item.type, item.value) for item in spec.extra_attribs}
    views = attributes["multiView"].value if "multiView" in attributes else ()
    kinds = [str(kind) for kind in spec.channelformats] or [str(spec.format)] * spec.nchannels
    return Part(
        index=index,
        name=_text(attributes, "oiio:subimagename") or _text(attributes, "name"),
        view=_text(attributes, "view"),
        views=(views,) if isinstance(views, str) else tuple(views),
        channels=tuple(spec.channelnames),
        kinds=tuple(kinds),
        data_window=data_window,
        display_window=Window(spec.full_x, spec.full_y, spec.full_width, spec.full_height),
        pixel_aspect=float(attributes["PixelAspectRatio"].value) if "PixelAspectRatio" in attributes else 1.0,
        compression=_text(attributes, "compression") or "none",
        tiled=spec.tile_width > 0,
        deep=bool(spec.deep),
        file_format=image.format_name(),
        attributes={name: item for name, item in attributes.items() if _survives(name)},
    )


def _subsampled_part(path: Path, frame: int | None) -> Part:
    try:
        found = subsampled.read_header(path)
    except subsampled.Unsupported as error:
        raise unreadable(path, frame, str(error)) from error
    check_size(found.data_window, path, frame)
    attributes = {name: Attribute(oiio.TypeDesc(kind), value) for name, (kind, value) in found.attributes.items()}
    return Part(
        index=0,
        name="",
        view="",
        views=(),
        channels=found.channels,
        kinds=found.kinds,
        data_window=found.data_window,
        display_window=found.display_window,
        pixel_aspect=found.pixel_aspect,
        compression=found.compression,
        tiled=found.tiled,
        deep=False,
        file_format="openexr",
        attributes={name: item for name, item in attributes.items() if _survives(name)},
        is_subsampled=True,
    )


def check_size(window: Window, path: Path, frame: int | None) -> None:
    """Refuse windows that no machine should try to allocate.

    Raises:
        PlateError: ``too_large``.
    """
    if window.area > MAX_PIXELS:
        raise PlateError(
            f"{path} asks for {window.width}x{window.height} pixels",
            code="too_large",
            path=path,
            frame=frame,
            expected=f"at most {MAX_PIXELS} pixels",
            remedy="the header is damaged, or the plate has to be cropped",
        )


def _text(attributes: dict[str, Attribute], name: str) -> str:
    return str(attributes[name].value) if name in attributes else ""


def _survives(name: str) -> bool:
    return name not in _STRUCTURAL and not name.startswith(_STRUCTURAL_PREFIXES)
