"""The table of node classes. A line is 'name kind default'; an enumeration's is 'name enum default|item|item…'.

Inputs are (most, fewest, index of the mask input, has no output).
"""

from __future__ import annotations

from typing import Any

COMMON = """
name str
help help
onCreate text
onDestroy text
knobChanged text
updateUI text
autolabel text
panel str
tile_color colour_int 0
gl_color colour_int 0
label text
note_font str Verdana
note_font_size float 11
note_font_color colour_int 0
selected bool false
xpos int 0
ypos int 0
icon str
indicators colour_int 0
hide_input bool false
cached bool false
disable bool false
dope_sheet bool false
postage_stamp bool false
postage_stamp_frame float 0
useLifetime bool false
lifetimeStart float 0
lifetimeEnd float 0
bookmark bool true
process_mask chan1 none
"""

_MASK = """
maskChannelMask chan1 none
maskChannelInput chan1 none
inject bool false
invert_mask bool false
fringe bool false
unpremult chan1 none
mix float 1
"""
_COLOR = "channels mask rgb\n"
_RANGE = "first int 1\nlast int 1\n"
_TRANSFORM = """
translate xy 0 0
rotate float 0
scale wh 1
skewX float 0
skewY float 0
center xy 1024 778
invert_matrix bool false
filter enum Cubic|Impulse|Cubic|Keys|Simon|Rifman|Mitchell|Parzen|Notch|Lanczos4|Lanczos6|Sinc4
clamp bool false
black_outside bool true
motionblur float 0
shutter float 0.5
shutteroffset enum start|centred|start|end|custom
shuttercustomoffset float 0
"""
_OPERATIONS = (
    "atop|average|color-burn|color-dodge|conjoint-over|copy|difference|disjoint-over|divide|exclusion|from|geometric|"
    "hard-light|hypot|in|mask|matte|max|min|minus|multiply|out|over|overlay|plus|screen|soft-light|stencil|under|xor"
)
_ON_ERROR = "error|error|black|checkerboard|nearest frame"
_OUTSIDE = "hold|hold|loop|bounce|black"

_READ = f"""
file file
proxy file
format format 2048 1556 0 0 2048 1556 1 2K_Super_35(full-ap)
proxy_format format 1024 778 0 0 1024 778 1 1K_Super_35(full-ap)
file_type enum exr|exr|dpx|jpeg|png|tiff|mov
localizationPolicy enum fromAutoLocalizePath|on|fromAutoLocalizePath|onDemand|off
localCopyProgress bool false
cacheLocal enum auto|always|auto|never
first int 1
before enum {_OUTSIDE}
last int 1
after enum {_OUTSIDE}
frame_mode enum expression|expression|start at|offset
frame eval
origfirst int 1
origlast int 1
origset bool false
on_error enum {_ON_ERROR}
reload py
version int 0
postage_stamp bool true
colorspace space default
premultiplied bool false
raw bool false
auto_alpha bool false
edge_pixels enum plate detail|plate detail|edge detail|repeat|black
offset_negative_display_window bool true
noprefix bool false
tile_color colour_int 0
views str
"""
_COMPRESSION = (
    "Zip (1 scanline)|none|Zip (1 scanline)|Zip (16 scanlines)|PIZ Wavelet (32 scanlines)|RLE|B44|B44A|DWAA|DWAB"
)
_METADATA = (
    "default metadata|no metadata|default metadata|default metadata and exr/*|all metadata except input/*|all metadata"
)
_RGBA = ("red", "green", "blue", "alpha")
_PASS = " ".join(f"rgba.{c} 0 {i} rgba.{c} 0 {i}" for i, c in enumerate(_RGBA))

_WRITE = f"""
file file
proxy file
file_type enum  | |exr|dpx|jpeg|png|tiff|mov|targa
channels mask rgb
colorspace space default
raw bool false
premultiplied bool false
views str main
render_order float 1
frame_mode enum expression|expression|start at|offset
frame eval
use_limit bool false
first int 1
last int 1
Render py
create_directories bool false
reading bool false
checkHashOnRead bool true
on_error enum error|error|black|checkerboard|nearest frame
beforeRender text
beforeFrameRender text
afterFrameRender text
afterRender text
renderProgress text
datatype enum 16 bit half|16 bit half|32 bit float
compression enum {_COMPRESSION}
autocrop bool false
write_ACES_compliant_EXR bool false
write_full_layer_names bool false
standard_layer_name_format bool false
truncateChannelNames bool false
metadata enum {_METADATA}
noprefix bool false
interleave enum channels, layers and views|channels, layers and views|channels and layers|channels
heroview str main
first_part enum rgba|rgba
dw_compression_level float 45
"""

CLASSES: dict[str, dict[str, Any]] = {
    "Read": {"inputs": (0, 0), "knobs": _READ},
    "Write": {"inputs": (1, 1), "knobs": _WRITE},
    "Shuffle2": {
        "inputs": (2, 1),
        "knobs": f"""
in1 chans rgba
in2 chans none
out1 chans rgba
out2 chans none
fromInput1 opaque {{0}} B
fromInput2 opaque {{0}} B
mappings mappings 4 {_PASS}
""",
    },
    "Merge2": {
        "inputs": (100, 2, 2),
        "knobs": f"""
operation enum over|{_OPERATIONS}
Achannels chans rgba
Bchannels chans rgba
output mask rgba
also_merge mask none
bbox enum union|union|intersection|A|B
metainput enum B|A|B|All
rangeinput enum B|A|B|All
screen_alpha bool false
sRGB bool false
maskChannelMask chan1 none
maskChannelInput chan1 none
inject bool false
invert_mask bool false
fringe bool false
mix float 1
""",
    },
    "Multiply": {"inputs": (2, 1, 1), "knobs": _COLOR + "value acolor 1\n" + _MASK},
    "Add": {"inputs": (2, 1, 1), "knobs": _COLOR + "value acolor 0\n" + _MASK},
    "Gamma": {"inputs": (2, 1, 1), "knobs": _COLOR + "value acolor 1\n" + _MASK},
    "Grade": {
        "inputs": (2, 1, 1),
        "knobs": _COLOR
        + """
blackpoint acolor 0
whitepoint acolor 1
black acolor 0
white acolor 1
multiply acolor 1
add acolor 0
gamma acolor 1
reverse bool false
black_clamp bool true
white_clamp bool false
"""
        + _MASK,
    },
    "Expression": {
        "inputs": (2, 1, 1),
        "knobs": "".join(f"temp_name{i} str\ntemp_expr{i} str\n" for i in range(4))
        + "".join(f"channel{i} chans rgba.{c}\nexpr{i} str\n" for i, c in enumerate(_RGBA))
        + _MASK.replace("process_mask", ""),
    },
    "Switch": {"inputs": (1000, 1), "knobs": "which int 0\n"},
    "Dissolve": {"inputs": (1000, 2, 2), "knobs": "which float 0\nchannels mask all\n" + _MASK},
    "Keymix": {
        "inputs": (3, 3),
        "knobs": """
channels mask all
maskChannel chan1 rgba.alpha
invertMask bool false
mix float 1
bbox enum union|union|B|A
""",
    },
    "Copy": {
        "inputs": (3, 2, 2),
        "knobs": "channels chans none\n"
        + "".join(f"from{i} chan1 {c}\nto{i} chan1 {c}\n" for i, c in enumerate(("rgba.alpha", "none", "none", "none")))
        + "bbox enum union|union|B side|A side\nmetainput enum B|A|B|All\nrangeinput enum B|A|B|All\n"
        + _MASK,
    },
    "Premult": {"inputs": (1, 1), "knobs": "channels mask rgb\nalpha chan1 rgba.alpha\ninvert bool false\n"},
    "Unpremult": {"inputs": (1, 1), "knobs": "channels mask rgb\nalpha chan1 rgba.alpha\ninvert bool false\n"},
    "Remove": {
        "inputs": (1, 1),
        "knobs": "operation enum remove|remove|keep\nchannels mask all\n"
        "channels2 chans none\nchannels3 chans none\nchannels4 chans none\n",
    },
    "Dot": {"inputs": (1, 1), "knobs": ""},
    "NoOp": {"inputs": (1, 1), "knobs": ""},
    "Input": {"inputs": (1, 0), "knobs": "number int 0\n"},
    "Output": {"inputs": (1, 1, -1, True), "knobs": ""},
    "Group": {"inputs": (0, 0), "knobs": "lock_connections bool false\n"},
    "LiveGroup": {
        "inputs": (0, 0),
        "knobs": "file file\npublished bool false\nmodified bool false\nautoReload bool true\n",
    },
    "Precomp": {
        "inputs": (0, 0),
        "knobs": "file file\nuseOutput bool false\noutput str\nreading bool false\nfirst int 1\nlast int 1\n",
    },
    "Root": {
        "inputs": (0, 0),
        "knobs": """
name file
project_directory text
frame float 1
first_frame int 1
last_frame int 100
lock_range bool false
fps float 24
format format 2048 1556 0 0 2048 1556 1 2K_Super_35(full-ap)
proxy bool false
proxy_type enum scale|format|scale
proxySetting enum if nearest|never|if nearest|always
proxy_format format 1024 778 0 0 1024 778 1 1K_Super_35(full-ap)
proxy_scale float 0.5
proxyOnly bool false
views opaque main #
hero_view str main
colorManagement enum Nuke|Nuke|OCIO
OCIO_config enum nuke-default|nuke-default|aces_1.2|fn-nuke_cg-config-v1.0.0_aces-v1.3_ocio-v2.1|custom
customOCIOConfigPath file
workingSpaceLUT enum linear|linear|scene_linear|ACES - ACEScg|sRGB
monitorLut str sRGB
int8Lut str sRGB
int16Lut str sRGB
logLut str Cineon
floatLut str linear
onScriptLoad text
onScriptSave text
onScriptClose text
nonLocalized bool false
free_type_font_path file
luts opaque
""",
    },
    "BackdropNode": {
        "inputs": (0, 0, -1, True),
        "knobs": "bdwidth float 80\nbdheight float 80\nz_order float 0\nappearance enum Fill|Fill|Border\n"
        "border_width float 1\nnote_font_size float 42\n",
    },
    "StickyNote": {"inputs": (0, 0, -1, True), "knobs": ""},
    "Viewer": {
        "inputs": (10, 0, -1, True),
        "knobs": "frame int 1\nframe_range str 1-100\ninput_number int 0\nchannels chans rgba\nviewerProcess str sRGB\n"
        "gain float 1\ngamma float 1\nfps float 24\n",
    },
    "Constant": {
        "inputs": (1, 0),
        "knobs": "channels chans rgba\ncolor acolor 0\nformat format 2048 1556 0 0 2048 1556 1 2K_Super_35(full-ap)\n"
        + _RANGE,
    },
    "CheckerBoard2": {
        "inputs": (1, 0),
        "knobs": """
format format 2048 1556 0 0 2048 1556 1 2K_Super_35(full-ap)
boxsize wh 64
color0 acolor 0.1
color1 acolor 0.5
color2 acolor 0.1
color3 acolor 0.5
linecolor acolor 1
linewidth wh 0
centerlinecolor acolor 1
centerlinewidth wh 3
"""
        + _RANGE,
    },
    "Reformat": {
        "inputs": (1, 1),
        "knobs": """
type enum to format|to format|to box|scale
format format 2048 1556 0 0 2048 1556 1 2K_Super_35(full-ap)
box_width int 200
box_height int 200
box_fixed bool false
box_pixel_aspect float 1
scale wh 1
resize enum width|none|width|height|fit|fill|distort
center bool true
flip bool false
flop bool false
turn bool false
filter enum Cubic|Impulse|Cubic|Keys|Simon|Rifman|Mitchell|Parzen|Notch|Lanczos4|Lanczos6|Sinc4
clamp bool false
black_outside bool false
pbb bool false
""",
    },
    "Crop": {
        "inputs": (1, 1),
        "knobs": "box box 0 0 2048 1556\nsoftness float 0\nreformat bool false\nintersect bool false\ncrop bool true\n",
    },
    "FrameHold": {"inputs": (1, 1), "knobs": "first_frame float 0\nincrement float 0\n"},
    "FrameRange": {"inputs": (1, 1), "knobs": "first_frame float 1\nlast_frame float 1\ntime str\n"},
    "TimeOffset": {"inputs": (1, 1), "knobs": "time_offset float 0\nreverse_input bool false\ntime str\n"},
    "OneView": {"inputs": (1, 1), "knobs": "view str main\n"},
    "JoinViews": {"inputs": (100, 1), "knobs": "viewassoc str\n"},
    "Blur": {
        "inputs": (2, 1, 1),
        "knobs": "channels mask all\nsize wh 0\nfilter enum gaussian|box|triangle|quadratic|gaussian\nquality int 15\n"
        "cropformat bool true\n" + _MASK,
    },
    "Saturation": {
        "inputs": (2, 1, 1),
        "knobs": _COLOR + "saturation float 1\nmode enum Rec 709|Rec 709|Ccir 601|Average|Maximum\n" + _MASK,
    },
    "Clamp": {
        "inputs": (2, 1, 1),
        "knobs": "channels mask all\nminimum acolor 0\nminimum_enable bool true\nmaximum acolor 1\n"
        "maximum_enable bool true\n"
        "MinClampTo acolor 0\nMinClampTo_enable bool false\nMaxClampTo acolor 1\nMaxClampTo_enable bool false\n"
        + _MASK,
    },
    "Invert": {"inputs": (2, 1, 1), "knobs": "channels mask all\nclamp bool false\n" + _MASK},
    "Transform": {"inputs": (1, 1), "knobs": _TRANSFORM},
    "Roto": {"inputs": (2, 0), "knobs": "curves opaque\noutput chans alpha\npremultiply chans none\n" + _MASK},
    "RotoPaint": {"inputs": (4, 0), "knobs": "curves opaque\noutput chans rgba\npremultiply chans none\n" + _MASK},
    "AddChannels": {"inputs": (1, 1), "knobs": "channels mask rgba\nchannels2 chans none\ncolor acolor 0\n"},
    "Colorspace": {
        "inputs": (2, 1, 1),
        "knobs": _COLOR + "colorspace_in str linear\ncolorspace_out str linear\n" + _MASK,
    },
    "MergeExpression": {
        "inputs": (3, 2, 2),
        "knobs": "".join(f"temp_name{i} str\ntemp_expr{i} str\n" for i in range(4))
        + "".join(f"channel{i} chans rgba.{c}\nexpr{i} str\n" for i, c in enumerate(_RGBA))
        + _MASK,
    },
    "ModifyMetaData": {"inputs": (2, 1), "knobs": "metadata opaque\n"},
    "Assert": {"inputs": (1, 1), "knobs": "expression float 0\nmessage text\n"},
}
