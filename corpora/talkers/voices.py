"""The voices of the talkers: how espeak-ng is set up for each person.

The default eight were searched for, not taken as they came: a closed-set speaker classifier must tell them
apart, also after a vocoder and after the blur that a small autoencoder leaves, and a speech recogniser must
understand each of them. With voices taken at random one class swallows nearly all vocoded speech.

What a small exemplar autoencoder does to unseen people's speech was measured on ten targets: deviations over
time shrink, those of cepstra to 0.9 of the natural ones, of their deltas to 0.78, of the deltas' deltas to
0.73. A voice of little movement therefore attracts, one of much movement is lost; the four targets keep
their distance when all of them are shifted so.
"""

from dataclasses import dataclass
from typing import Literal

from doppelbench.corpora.errors import InputError


@dataclass(frozen=True, slots=True)
class Voice:
    """One person's voice.

    Attributes:
        name: the speaker's name in the corpus.
        gender: how the voice sounds, and how the face is drawn.
        role: ``target`` (much training speech), ``source`` (never converted to, little training speech) or
            ``extra`` (on request only, as much training speech as a target).
        variant: one of espeak-ng's own variants, where there is no timbre.
        timbre: lines of an espeak-ng voice file, see :func:`_timbre`.
        rate: words per minute.
        pitch: pitch, 0 to 99; 50 is the voice's own.
        range: range of pitch, 0 to 99; 50 is the voice's own, 0 is monotone.
    """

    name: str
    gender: Literal["female", "male"]
    role: Literal["target", "source", "extra"]
    variant: str = ""
    timbre: str = ""
    rate: int = 140
    pitch: int = 50
    range: int = 50


def _timbre(pitch: str, formants: str, tone: str, other: str) -> str:
    """Return the lines of an espeak-ng voice file.

    Args:
        pitch: lowest and highest pitch in Hz.
        formants: frequency/height/width of formants 1 to 6 in percent of the standard ones.
        tone: frequencies in Hz, each followed by its loudness (0 to 255).
        other: further lines, separated by semicolons.
    """
    lines = [f"pitch {pitch}", f"tone {tone}"]
    for number, formant in enumerate(formants.split(), 1):
        lines.append(f"formant {number} {formant.replace('/', ' ')}")
    return "\n".join(lines + other.split("; "))


VOICES: tuple[Voice, ...] = (
    Voice("ada", "female", "target", variant="f1"),
    Voice(
        "bruno",
        "male",
        "target",
        rate=143,
        timbre=_timbre(
            pitch="107 135",
            formants="105/107/131 99/91/92 101/92/123 98/92/124 99/93/131 105/112/90",
            tone="500 255 1000 163 1800 91 2800 62 4200 41",
            other="breath 0 1 2 2 1 1 1 0; voicing 106; consonants 71 102; flutter 3",
        ),
    ),
    Voice(
        "alma",
        "female",
        "target",
        rate=138,
        timbre=_timbre(
            pitch="194 290",
            formants="109/87/149 105/103/98 108/80/104 112/95/128 110/111/140 107/112/142",
            tone="500 163 1000 140 1800 118 2800 104 4200 88",
            other="breath 0 5 7 7 5 5 4 2; voicing 114; consonants 122 80; flutter 5",
        ),
    ),
    Voice(
        "dimitri",
        "male",
        "target",
        rate=137,
        timbre=_timbre(
            pitch="73 108",
            formants="90/103/135 92/103/132 90/82/97 85/111/107 88/101/132 88/98/93",
            tone="500 166 1000 141 1800 114 2800 93 4200 89",
            other="breath 0 1 1 1 1 1 0 0; voicing 91; consonants 90 101; flutter 0",
        ),
    ),
    Voice(
        "edith",
        "female",
        "source",
        rate=145,
        timbre=_timbre(
            pitch="179 263",
            formants="116/81/125 109/86/136 107/112/122 109/80/93 110/94/140 108/88/130",
            tone="500 70 1000 107 1800 170 2800 254 4200 241",
            other="voicing 81; consonants 119 91; flutter 5",
        ),
    ),
    Voice(
        "felix",
        "male",
        "source",
        rate=140,
        timbre=_timbre(
            pitch="89 124",
            formants="94/109/123 92/88/95 97/97/138 97/109/127 95/86/94 96/81/106",
            tone="500 75 1000 111 1800 164 2800 255 4200 255",
            other="voicing 76; consonants 113 92; flutter 1",
        ),
    ),
    Voice(
        "greta",
        "female",
        "source",
        rate=145,
        timbre=_timbre(
            pitch="182 229",
            formants="127/112/135 120/82/137 124/84/121 127/87/100 116/98/143 118/82/102",
            tone="500 117 1000 127 1800 133 2800 136 4200 140",
            other="voicing 112; consonants 95 130; flutter 0",
        ),
    ),
    Voice("hugo", "male", "source", variant="m1"),
    Voice("irene", "female", "extra", variant="f2"),
    Voice("jonas", "male", "extra", variant="edward"),
    Voice("katja", "female", "extra", variant="f3"),
    Voice("liam", "male", "extra", variant="klatt3"),
    Voice("maya", "female", "extra", variant="f5"),
    Voice("nils", "male", "extra", variant="Henrique"),
    Voice("olga", "female", "extra", variant="anikaRobot"),
    Voice("pavel", "male", "extra", variant="adam"),
    Voice(
        "quinn",
        "female",
        "extra",
        rate=136,
        timbre=_timbre(
            pitch="185 260",
            formants="118/112/133 117/112/125 113/80/109 113/105/110 112/103/97 118/102/113",
            tone="500 95 1000 115 1800 146 2800 191 4200 197",
            other="breath 0 7 8 8 7 7 5 3; voicing 73; consonants 95 123; flutter 4",
        ),
    ),
    Voice("rafael", "male", "extra", variant="benjamin"),
    Voice(
        "sofia",
        "female",
        "extra",
        rate=149,
        timbre=_timbre(
            pitch="162 233",
            formants="113/106/111 108/100/103 107/100/101 109/92/137 105/107/129 112/111/136",
            tone="500 51 1000 97 1800 160 2800 255 4200 255",
            other="breath 0 1 2 2 1 1 1 0; voicing 100; consonants 79 73; roughness 5; flutter 1",
        ),
    ),
    Voice("tomas", "male", "extra", variant="caleb"),
    Voice(
        "ulla",
        "female",
        "extra",
        rate=133,
        timbre=_timbre(
            pitch="190 280",
            formants="122/113/113 115/88/94 113/113/104 115/114/133 114/108/92 114/111/94",
            tone="500 65 1000 110 1800 174 2800 231 4200 255",
            other="breath 0 4 6 6 4 4 3 2; voicing 71; consonants 136 74; roughness 4; flutter 3",
        ),
    ),
    Voice("viktor", "male", "extra", variant="m6"),
    Voice(
        "wanda",
        "female",
        "extra",
        rate=142,
        timbre=_timbre(
            pitch="161 219",
            formants="107/88/142 113/111/111 112/107/137 111/110/134 109/87/128 111/89/118",
            tone="500 210 1000 148 1800 105 2800 91 4200 69",
            other="voicing 70; consonants 133 102; flutter 2",
        ),
    ),
    Voice("xaver", "male", "extra", variant="Hugo"),
    Voice(
        "yara",
        "female",
        "extra",
        rate=141,
        timbre=_timbre(
            pitch="168 245",
            formants="113/99/137 110/114/96 115/94/99 119/84/132 119/80/125 118/112/115",
            tone="500 96 1000 118 1800 142 2800 174 4200 222",
            other="breath 0 2 3 3 2 2 2 1; voicing 75; consonants 122 124; flutter 6",
        ),
    ),
    Voice(
        "zeno",
        "male",
        "extra",
        rate=144,
        timbre=_timbre(
            pitch="114 167",
            formants="91/107/117 98/100/105 94/99/112 96/99/92 92/83/129 97/94/103",
            tone="500 255 1000 154 1800 103 2800 68 4200 42",
            other="breath 0 7 9 9 7 7 5 3; voicing 70; consonants 135 129; roughness 5; flutter 6",
        ),
    ),
    Voice(
        "boris",
        "male",
        "extra",
        rate=134,
        timbre=_timbre(
            pitch="118 161",
            formants="93/98/94 93/92/145 91/83/98 95/81/119 98/101/121 98/110/130",
            tone="500 255 1000 154 1800 93 2800 57 4200 44",
            other="breath 0 2 2 2 2 2 1 1; voicing 97; consonants 105 75; roughness 4; flutter 5",
        ),
    ),
    Voice(
        "clara",
        "female",
        "extra",
        rate=130,
        timbre=_timbre(
            pitch="182 253",
            formants="117/111/147 114/81/112 112/81/112 114/108/130 122/99/95 115/108/126",
            tone="500 207 1000 144 1800 112 2800 95 4200 76",
            other="voicing 105; consonants 72 83; flutter 6",
        ),
    ),
    Voice(
        "daniel",
        "male",
        "extra",
        rate=130,
        timbre=_timbre(
            pitch="82 107",
            formants="108/92/125 105/80/95 108/88/95 103/88/96 102/90/116 107/99/138",
            tone="500 125 1000 128 1800 132 2800 134 4200 137",
            other="voicing 87; consonants 130 71; flutter 6",
        ),
    ),
    Voice(
        "elena",
        "female",
        "extra",
        rate=142,
        timbre=_timbre(
            pitch="202 266",
            formants="106/102/131 113/90/90 110/114/107 105/90/143 108/100/118 109/107/91",
            tone="500 69 1000 108 1800 161 2800 227 4200 255",
            other="breath 0 3 4 4 3 3 2 1; voicing 86; consonants 76 116; flutter 7",
        ),
    ),
    Voice(
        "frank",
        "male",
        "extra",
        rate=142,
        timbre=_timbre(
            pitch="91 134",
            formants="106/85/97 103/90/104 104/114/121 106/110/123 103/87/142 109/110/97",
            tone="500 255 1000 156 1800 102 2800 73 4200 58",
            other="breath 0 4 5 5 4 4 3 2; voicing 95; consonants 82 93; flutter 0",
        ),
    ),
    Voice(
        "gilda",
        "female",
        "extra",
        rate=130,
        timbre=_timbre(
            pitch="172 257",
            formants="113/110/97 105/83/118 105/103/138 111/86/115 109/95/108 112/103/122",
            tone="500 116 1000 127 1800 133 2800 141 4200 140",
            other="voicing 104; consonants 90 112; flutter 5",
        ),
    ),
    Voice("hannes", "male", "extra", variant="john"),
    Voice(
        "ines",
        "female",
        "extra",
        rate=147,
        timbre=_timbre(
            pitch="157 203",
            formants="114/86/123 117/87/110 107/110/126 110/80/105 108/101/108 116/83/96",
            tone="500 56 1000 111 1800 176 2800 194 4200 255",
            other="voicing 97; consonants 102 86; roughness 5; flutter 2",
        ),
    ),
    Voice("carla", "female", "extra", variant="f4"),
    Voice("jakob", "male", "extra", variant="klatt6"),
)


def voice_of(name: str) -> Voice:
    """Return the voice of a speaker.

    Raises:
        InputError: there is no such speaker.
    """
    for voice in VOICES:
        if voice.name == name:
            return voice
    known = ", ".join(voice.name for voice in VOICES)
    raise InputError(f"talkers: there is no speaker {name!r}; choose from {known}")


def default_speakers() -> tuple[str, ...]:
    """Return the names of the targets and of the source-only speakers."""
    return tuple(voice.name for voice in VOICES if voice.role != "extra")
