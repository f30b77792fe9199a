"""A parametric two-dimensional talking head.

One :class:`Face` per person says how the head looks; :class:`Head` draws it for one moment. Shapes are
polygons in units of the frame's height around the middle of the head, drawn at four times the size and
averaged down.
"""

import colorsys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Fill = Callable[[np.ndarray, Colour], None]
SUPERSAMPLING = 4

SKINS: tuple[Colour, ...] = (
    (245, 210, 185), (140, 92, 64), (226, 178, 144), (190, 138, 100), (250, 222, 205), (98, 64, 46),
    (212, 160, 122), (236, 194, 162),
)  # fmt: skip
HAIRS: tuple[Colour, ...] = (
    (58, 38, 26), (24, 20, 22), (196, 152, 84), (92, 58, 34), (172, 74, 38), (30, 26, 30), (120, 116, 116),
    (206, 178, 120),
)  # fmt: skip
EYES: tuple[Colour, ...] = ((70, 110, 150), (72, 46, 28), (70, 112, 74), (96, 66, 38), (110, 128, 140))


@dataclass(frozen=True, slots=True)
class Face:
    """How one person looks; lengths in heights of the frame."""

    skin: Colour
    hair: Colour
    eyes: Colour
    lips: Colour
    clothes: Colour
    background: Colour
    half_width: float
    half_height: float
    taper: float
    eye_distance: float
    eye_size: float
    brow: float
    nose: float
    mouth_width: float
    mouth_opening: float
    lip: float
    long_hair: bool
    fringe: float
    beard: bool
    glasses: bool


def face_of(name: str, gender: Literal["female", "male"], index: int) -> Face:
    """Return the face of a person; ``index`` keeps colours of neighbours in the table apart."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))

    def within(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def colour(hue: float, saturation: float, value: float) -> Colour:
        red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
        return round(255 * red), round(255 * green), round(255 * blue)

    skin = SKINS[index % len(SKINS)]
    female = gender == "female"
    golden = 0.618 * index
    lips = mixed(skin, (196, 52, 66) if female else (168, 78, 72), 0.62 if female else 0.45)
    return Face(
        skin=skin,
        hair=HAIRS[index % len(HAIRS)],
        eyes=EYES[index % len(EYES)],
        lips=lips,
        clothes=colour(golden + 0.45, within(0.4, 0.8), within(0.35, 0.8)),
        background=colour(golden, within(0.15, 0.45), within(0.45, 0.85)),
        half_width=within(0.2, 0.225) if female else within(0.215, 0.245),
        half_height=within(0.27, 0.3),
        taper=within(0.26, 0.36) if female else within(0.14, 0.26),
        eye_distance=within(0.088, 0.102),
        eye_size=within(0.036, 0.042) if female else within(0.03, 0.036),
        brow=within(0.006, 0.009) if female else within(0.011, 0.016),
        nose=within(0.03, 0.045),
        mouth_width=within(0.095, 0.11),
        mouth_opening=within(0.11, 0.13),
        lip=within(0.022, 0.028) if female else within(0.015, 0.021),
        long_hair=female,
        fringe=within(0.35, 0.6),
        beard=not female and index % 4 == 3,
        glasses=index % 5 == 3,
    )


@dataclass(frozen=True, slots=True)
class Pose:
    """One moment: the mouth (see :class:`~doppelbench.corpora.talkers.articulation.Viseme`), eyes and the
    head.

    ``blink`` 0 (open) to 1; ``brow`` 0 to 1 (raised); ``gaze`` -1 to 1 (right of the picture); ``shift`` of
    the head in heights of the frame; ``roll`` in radians; ``scale`` about 1.
    """

    opening: float
    width: float = 0.0
    teeth: float = 0.3
    tongue: float = 0.0
    bite: float = 0.0
    jaw: float = 0.0
    blink: float = 0.0
    brow: float = 0.0
    gaze: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    roll: float = 0.0
    scale: float = 1.0


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """Return ``first`` with ``share`` of ``second`` in it."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Head:
    """Draws one person at one size."""

    centre = (0.5, 0.47)
    mouth_y = 0.165

    def __init__(self, face: Face, size: int) -> None:
        self.face = face
        self.size = size
        self._pixels = size * SUPERSAMPLING
        angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        self._circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self._across = np.linspace(-1, 1, 17)
        self._bulge = np.sqrt(1 - np.square(self._across))
        self._scene = self._draw_scene()

    def draw(self, pose: Pose) -> tuple[np.ndarray, dict[str, float]]:
        """Draw one frame.

        Returns:
            Frame of shape (size, size, 3), uint8, and the truth about the mouth in pixels: ``mouth_opening``
            (height of the gap between the lips), ``mouth_width``, ``mouth_x`` and ``mouth_y`` (middle of the
            gap).
        """
        image = self._scene.copy()
        brush = ImageDraw.Draw(image)
        cosine, sine = np.cos(pose.roll), np.sin(pose.roll)
        turn = pose.scale * np.array([[cosine, sine], [-sine, cosine]])
        origin = np.array(self.centre) + pose.shift

        def fill(points: np.ndarray, colour: Colour) -> None:
            brush.polygon(((points @ turn + origin) * self._pixels).ravel().tolist(), fill=colour)

        self._draw_hair_behind(fill)
        self._draw_skull(fill, pose)
        self._draw_eyes(fill, pose)
        truth = self._draw_mouth(fill, pose)
        frame = np.asarray(image.reduce(SUPERSAMPLING))
        middle = (np.array([0.0, truth["middle"]]) @ turn + origin) * self.size
        scale = pose.scale * self.size
        return frame, {
            "mouth_opening": truth["opening"] * scale,
            "mouth_width": truth["width"] * scale,
            "mouth_x": float(middle[0]),
            "mouth_y": float(middle[1]),
        }

    def _ellipse(self, x: float, y: float, half_width: float, half_height: float) -> np.ndarray:
        return self._circle * (half_width, half_height) + (x, y)

    def _draw_scene(self) -> Image.Image:
        face, pixels = self.face, self._pixels
        ramp = np.linspace(1.12, 0.72, pixels)[:, None, None]
        sweep = np.linspace(0.95, 1.05, pixels)[None, :, None]
        wall = np.clip(np.array(face.background) * ramp * sweep, 0, 255).astype(np.uint8)
        image = Image.fromarray(wall)
        brush = ImageDraw.Draw(image)
        shelf = mixed(face.background, (40, 40, 50), 0.35)
        side = 0.04 if face.long_hair else 0.78
        brush.rectangle([pixels * side, pixels * 0.08, pixels * (side + 0.18), pixels * 0.3], fill=shelf)
        neck = mixed(face.skin, (60, 20, 10), 0.18)
        half = 0.5 * face.half_width
        for points, colour in (
            (
                [(0.08, 1.0), (0.14, 0.9), (0.5 - half, 0.82), (0.5 + half, 0.82), (0.86, 0.9), (0.92, 1.0)],
                face.clothes,
            ),
            (
                [(0.5 - half, 0.6), (0.5 + half, 0.6), (0.5 + half, 0.84), (0.5, 0.9), (0.5 - half, 0.84)],
                neck,
            ),
        ):
            brush.polygon([(pixels * x, pixels * y) for x, y in points], fill=colour)
        return image

    def _outline(self, jaw: float) -> np.ndarray:
        face = self.face
        x, y = self._circle.T
        drop = np.where(y > 0, face.half_height + 0.01 + 0.05 * jaw, face.half_height)
        narrowing = 1 - face.taper * np.square(np.maximum(y, 0))
        return np.stack([face.half_width * x * narrowing, drop * y], axis=1)

    def _draw_hair_behind(self, fill: Fill) -> None:
        face = self.face
        width, height = 1.1 * face.half_width, 1.1 * face.half_height
        crown = self._ellipse(0, -0.01, width, height)
        fill(crown if face.long_hair else np.minimum(crown, (1.0, 0.02)), face.hair)
        if face.long_hair:
            fill(
                np.array([(-width, -0.05), (width, -0.05), (1.12 * width, 0.34), (-1.12 * width, 0.34)]),
                face.hair,
            )

    def _draw_skull(self, fill: Fill, pose: Pose) -> None:
        face = self.face
        shade = mixed(face.skin, (70, 30, 20), 0.16)
        for side in (-1, 1):
            fill(self._ellipse(side * face.half_width, 0.02, 0.03, 0.055), shade)
        outline = self._outline(pose.jaw)
        fill(outline, shade)
        fill(outline * (0.95, 1.0) + (-0.008, -0.004), face.skin)
        if face.beard:
            lower = outline[outline[:, 1] > 0.03]
            lower = lower[np.argsort(np.arctan2(lower[:, 1], lower[:, 0]))]
            edge = np.stack([np.linspace(-0.8, 0.8, 9), 0.115 - 0.03 * np.linspace(-1, 1, 9) ** 2], axis=1)
            edge[:, 0] *= face.half_width
            fill(np.concatenate([lower, edge]), mixed(face.hair, face.skin, 0.25))
        top = -face.fringe * face.half_height
        x = np.linspace(-0.99, 0.99, 15)
        upper = np.stack([1.03 * face.half_width * x, -1.03 * face.half_height * np.sqrt(1 - x**2)], axis=1)
        fringe = np.stack(
            [1.03 * face.half_width * x, np.maximum(top + 0.1 * x**2 - 0.03 * x, upper[:, 1])], axis=1
        )
        fill(np.concatenate([upper, fringe[::-1]]), face.hair)
        fill(np.array([(-0.006, 0.0), (0.006, 0.0), (face.nose, 0.085), (-0.006, 0.095)]), shade)

    def _draw_eyes(self, fill: Fill, pose: Pose) -> None:
        face = self.face
        lid = mixed(face.skin, (80, 40, 30), 0.25)
        rim = (30, 30, 34)
        for side in (-1, 1):
            x, y, size = side * face.eye_distance, -0.035, face.eye_size
            height = 0.62 * size * (1 - pose.blink)
            fill(self._ellipse(x, y, 1.12 * size, max(height, 0.1 * size) + 0.004), lid)
            if height > 0.15 * size:
                fill(self._ellipse(x, y, size, height), (246, 244, 240))
                iris = min(0.55 * size, height)
                look = x + 0.3 * size * pose.gaze
                fill(self._ellipse(look, y, 0.55 * size, iris), face.eyes)
                fill(self._ellipse(look, y, 0.26 * size, min(0.26 * size, height)), (16, 14, 18))
            brow_y = y - 0.062 - 0.018 * pose.brow
            across = np.linspace(-1, 1, 7)
            arch = np.stack([x + 1.25 * size * across, brow_y + 0.012 * np.square(across)], axis=1)
            thickness = np.array([0.0, face.brow])
            fill(np.concatenate([arch - thickness, (arch + thickness)[::-1]]), face.hair)
            if face.glasses:
                ring = self._ellipse(x, y, 1.65 * size, 1.35 * size)
                hole = self._ellipse(x, y, 1.5 * size, 1.2 * size)
                seam = slice(None, None, -1)
                fill(np.concatenate([ring, ring[:1], hole[:1], hole[seam]]), rim)
        if face.glasses:
            inner = face.eye_distance - 1.5 * face.eye_size
            fill(np.array([(-inner, -0.042), (inner, -0.042), (inner, -0.032), (-inner, -0.032)]), rim)

    def _draw_mouth(self, fill: Fill, pose: Pose) -> dict[str, float]:
        face, across, bulge = self.face, self._across, self._bulge
        widening = 0.2 * pose.width if pose.width > 0 else 0.42 * pose.width
        half = face.mouth_width * (1 + widening)
        gap = face.mouth_opening * pose.opening
        thickness = face.lip * (1 + 0.35 * max(0.0, -pose.width))
        seam = (
            self.mouth_y + 0.004 * (1 - np.square(across)) - 0.006 * max(0.0, pose.width) * np.square(across)
        )
        upper = seam - 0.25 * gap * bulge
        lower = seam + 0.75 * gap * bulge
        x = half * across
        bow = 1 - 0.3 * np.exp(-np.square(across / 0.18))
        top = upper - thickness * bulge * bow
        bottom = lower + 1.25 * thickness * (1 - 0.5 * pose.bite) * bulge

        def between(one: np.ndarray, other: np.ndarray, colour: Colour) -> None:
            fill(np.concatenate([np.stack([x, one], 1), np.stack([x, other], 1)[::-1]]), colour)

        between(top, upper, mixed(face.lips, (40, 10, 10), 0.15))
        between(lower, bottom, face.lips)
        if gap * self._pixels > 1:
            between(upper, lower, (52, 14, 18))
            tongue = np.minimum(lower, lower - (0.18 + 0.6 * pose.tongue) * gap * bulge)
            between(tongue, lower, (196, 84, 88))
            bared = min(1.0, 0.35 + 0.65 * pose.teeth) * np.minimum(0.024, gap) * bulge
            between(upper, np.minimum(upper + bared, lower), (240, 238, 230))
        else:
            line = mixed(face.lips, (40, 10, 10), 0.55)
            between(seam - 0.002, seam + 0.002, line)
        return {"opening": gap, "width": 2 * half, "middle": float(self.mouth_y + 0.004 + 0.25 * gap)}
