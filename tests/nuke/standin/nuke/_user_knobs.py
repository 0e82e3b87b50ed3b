"""Type numbers of addUserKnob lines."""

from __future__ import annotations

from typing import Any

from . import _knobs, _knobs_more, _knobs_number

CLASS_OF_NUMBER: dict[int, Any] = {
    1: _knobs.EvalString_Knob, 2: _knobs.File_Knob, 3: _knobs_number.Int_Knob, 4: _knobs_number.Enumeration_Knob,
    6: _knobs_number.Boolean_Knob, 7: _knobs_number.Double_Knob, 10: _knobs_more.ChannelMask_Knob,
    11: _knobs_more.Channel_Knob, 12: _knobs_number.XY_Knob,
    13: _knobs_number.XYZ_Knob, 14: _knobs_number.WH_Knob, 15: _knobs_number.BBox_Knob,
    17: _knobs_more.Format_Knob, 18: _knobs_number.Color_Knob, 19: _knobs_number.AColor_Knob,
    20: _knobs_more.Tab_Knob, 22: _knobs.PyScript_Knob, 26: _knobs.Text_Knob, 30: _knobs_number.UV_Knob,
    32: _knobs.Script_Knob, 41: _knobs_more.Link_Knob,
    43: _knobs.Multiline_Eval_String_Knob, 52: _knobs.PyCustom_Knob,
}  # fmt: skip
