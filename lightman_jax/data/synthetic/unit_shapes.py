"""Action units as shapes of measured geometry.

Reference: the table "FACS unit, our shapes" of ICT-FaceKit.
Choice: AU 10 is `mouthUpperUp`, which raises the upper lip; the shape that the table lists, `mouthShrugUpper`, pushes it out. AU 25
  is the lower lip of AU 16 with a little of the upper lip, AU 23 the pressed lips of AU 24, AU 26 a part of AU 27.
"""

from typing import NamedTuple

BLINK, GAZE = 45, (61, 62, 63, 64)


class Part(NamedTuple):
    """A shape's share in an action unit; on both sides of the face, or as a whole."""

    shape: str
    share: float = 1.0
    sides: bool = True


UNIT_SHAPES: dict[int, tuple[Part, ...]] = {
    1: (Part("browInnerUp"),),
    2: (Part("browOuterUp"),),
    4: (Part("browDown"),),
    5: (Part("eyeWide"),),
    6: (Part("cheekSquint"),),
    7: (Part("eyeSquint"),),
    9: (Part("noseSneer"),),
    10: (Part("mouthUpperUp"),),
    12: (Part("mouthSmile"),),
    14: (Part("mouthDimple"),),
    15: (Part("mouthFrown"),),
    16: (Part("mouthLowerDown"),),
    17: (Part("mouthShrugLower", sides=False),),
    18: (Part("mouthPucker", sides=False),),
    20: (Part("mouthStretch"),),
    22: (Part("mouthFunnel", sides=False),),
    23: (Part("mouthPress"),),
    24: (Part("mouthPress"),),
    25: (Part("mouthLowerDown"), Part("mouthUpperUp", 0.3)),
    26: (Part("jawOpen", sides=False),),
    27: (Part("jawOpen", sides=False),),
    28: (Part("mouthRollLower", sides=False), Part("mouthRollUpper", sides=False)),
    45: (Part("eyeBlink"),),
    61: (Part("eyeLookOut_L", sides=False), Part("eyeLookIn_R", sides=False)),
    62: (Part("eyeLookOut_R", sides=False), Part("eyeLookIn_L", sides=False)),
    63: (Part("eyeLookUp"),),
    64: (Part("eyeLookDown"),),
}
"""Shapes of each action unit."""

SHAPES = tuple(
    sorted(
        {
            name
            for parts in UNIT_SHAPES.values()
            for part in parts
            for name in ((f"{part.shape}_L", f"{part.shape}_R") if part.sides else (part.shape,))
        }
    )
)
"""Every shape that an action unit uses."""
