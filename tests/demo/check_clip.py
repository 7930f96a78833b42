"""Decode the demo clip and check it against its truth file.

Each row of the printed table is one property: what was measured, and what it has to be.

Usage: python tests/demo/check_clip.py
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from skimage.color import deltaE_ciede2000, rgb2lab

MOST_BYTES = 1_500_000
EXACT_COLOUR = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
"""Without the two flags the conversion to RGB rounds down, and is up to 2 of 255 too dark."""
THUMBNAIL = (90, 160)
"""Width and height at which neighbouring frames are compared."""


@dataclass(frozen=True, slots=True)
class Decoded:
    times_seconds: list[Fraction]
    thumbnails: np.ndarray
    """[frames, height, width, 3], RGB as int16."""
    stills: dict[int, np.ndarray]
    """Chosen frames at full size, RGB."""
    waveform: np.ndarray
    """[2, samples] from the start of the audio stream as it is to be heard."""
    sample_rate: int
    audio_start_seconds: Fraction
    colour: tuple[int, int, int, int]
    """Matrix, range, primaries and transfer of the first frame."""


class Table:
    """Collects and prints the checks."""

    def __init__(self) -> None:
        self.failed = 0
        print(f"{'property':<44}{'measured':>18}   wanted")

    def row(self, name: str, measured: object, wanted: str, ok: bool) -> None:
        """Print one check."""
        self.failed += not ok
        shown = f"{measured:.3f}" if isinstance(measured, float) else str(measured)
        print(f"{name:<44}{shown:>18}   {wanted:<22}{'ok' if ok else 'FAILED'}")


def decode(path: Path, stills: set[int]) -> Decoded:
    """Decode both streams of a clip."""
    times, thumbnails, kept, blocks = [], [], {}, []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 0:
                colour = (frame.colorspace, frame.color_range, frame.color_primaries, frame.color_trc)
            rgb = frame.to_ndarray(format="rgb24", interpolation=EXACT_COLOUR, threads=1)
            times.append(frame.pts * frame.time_base)
            thumbnails.append(cv2.resize(rgb, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.int16))
            if number in stills:
                kept[number] = rgb
    with av.open(str(path)) as container:
        for block in container.decode(audio=0):
            blocks.append((block.pts * block.time_base, block.to_ndarray()))
            sample_rate = block.sample_rate
    waveform = np.concatenate([samples for _, samples in blocks], axis=1)
    return Decoded(times, np.stack(thumbnails), kept, waveform, sample_rate, blocks[0][0], colour)


def check_container(table: Table, path: Path, truth: dict, decoded: Decoded) -> None:
    """Size, digest, time stamps, colour tags, audio length."""
    clip = truth["clip"]
    payload = path.read_bytes()
    table.row("size (bytes)", len(payload), f"<= {MOST_BYTES}", len(payload) <= MOST_BYTES)
    digest = hashlib.sha256(payload).hexdigest()
    table.row("sha256", digest[:12], clip["sha256"][:12], digest == clip["sha256"])
    table.row(
        "index before the pictures", payload.find(b"moov"), "< mdat", payload.find(b"moov") < payload.find(b"mdat")
    )
    count, rate = len(decoded.times_seconds), Fraction(clip["frame_rate"])
    table.row("frames", count, str(clip["frame_count"]), count == clip["frame_count"])
    even = all(time == Fraction(k) / rate for k, time in enumerate(decoded.times_seconds))
    table.row("frame k at k / frame_rate", even, "True", even)
    tags = (Colorspace.ITU709, ColorRange.MPEG, ColorPrimaries.BT709, ColorTrc.BT709)
    table.row("matrix, range, primaries, transfer", tuple(map(int, decoded.colour)), "BT.709", decoded.colour == tags)
    length = decoded.waveform.shape[1] / decoded.sample_rate
    table.row("audio starts (s)", float(decoded.audio_start_seconds), "0", decoded.audio_start_seconds == 0)
    table.row("audio length (s)", length, "10 to 10.022", 10 <= length <= 10 + 1024 / 48000 + 1e-9)


def check_cuts(table: Table, truth: dict, decoded: Decoded) -> None:
    """Hard cuts are the largest changes apart from the flash; the fade has its minimum at the boundary."""
    change = np.abs(np.diff(decoded.thumbnails, axis=0)).mean(axis=(1, 2, 3))
    rate = Fraction(truth["clip"]["frame_rate"])
    hard = [shot["frame_in"] for shot in truth["shots"] if shot["transition_in"] == "hard"]
    flashes = [round(f[key] * rate) for f in truth["flashes"] for key in ("start_seconds", "end_seconds")]
    fading = [
        frame
        for fade in truth["fades"]
        for frame in range(round(fade["fade_out_start_seconds"] * rate), round(fade["fade_in_end_seconds"] * rate) + 1)
    ]
    ordinary = np.delete(change, [frame - 1 for frame in hard + flashes + fading])
    for frame in hard:
        table.row(f"change at cut {frame}", float(change[frame - 1]), f"> 2 x {ordinary.max():.2f}",
                  change[frame - 1] > 2 * ordinary.max())  # fmt: skip
    for first, end in zip(flashes[::2], flashes[1::2], strict=True):
        white = decoded.thumbnails[first:end].min()
        table.row(f"darkest pixel of flash {first}-{end}", int(white), ">= 250", white >= 250)
    for fade in truth["fades"]:
        first, end = round(fade["black_start_seconds"] * rate), round(fade["black_end_seconds"] * rate)
        black = decoded.thumbnails[first:end].max()
        table.row(f"brightest pixel of black {first}-{end}", int(black), "<= 3", black <= 3)
        middle = Fraction(first + end, 2)
        table.row(
            "middle of the black frames", str(middle), "the boundary", middle == round(fade["boundary_seconds"] * rate)
        )


def check_palettes(table: Table, truth: dict, decoded: Decoded) -> None:
    """The colours of the palette card survive the encoder."""
    for palette in truth["palettes"]:
        shot = truth["shots"][palette["shot"]]
        top = 0.0
        for entry in palette["colors"]:
            bottom = top + entry["share"]
            wanted = np.array(list(bytes.fromhex(entry["hex"][1:])), np.uint8).reshape(1, 1, 3)
            worst, typical = 0.0, 0.0
            for frame in (shot["frame_in"], (shot["frame_in"] + shot["frame_out"]) // 2, shot["frame_out"] - 1):
                still = decoded.stills[frame]
                rows = still[round(top * len(still)) + 4 : round(bottom * len(still)) - 4]
                error = deltaE_ciede2000(rgb2lab(rows), rgb2lab(wanted))
                worst, typical = max(worst, float(error.max())), max(typical, float(np.median(error)))
            table.row(f"{entry['hex']} dE00, typical ({worst:.2f} at worst)", typical, "<= 1", typical <= 1)
            top = bottom


def check_sound(table: Table, truth: dict, decoded: Decoded) -> None:
    """Peak, level of speech over music, starts of sentences, beats."""
    mono, rate = decoded.waveform.mean(axis=0), decoded.sample_rate
    peak = 20 * np.log10(np.abs(decoded.waveform).max())
    table.row("peak (dBFS)", float(peak), "-3.5 to -2", -3.5 <= peak <= -2)

    def level(start: float, end: float) -> float:
        return 10 * np.log10(np.mean(mono[round(start * rate) : round(end * rate)] ** 2))

    spoken = [level(s["start_seconds"], s["end_seconds"]) for s in truth["speech"]["sentences"]]
    silent = [level(p["start_seconds"] + 0.05, p["end_seconds"] - 0.05) for p in truth["speech"]["pauses"]]
    for sentence, loudness in zip(truth["speech"]["sentences"], spoken, strict=True):
        start = sentence["start_seconds"]
        rise = level(start, start + 0.08) - level(start - 0.1, start - 0.02)
        table.row(f"rise at {start} s, {sentence['text'][:20]!r} (dB)", float(rise), ">= 8", rise >= 8)
        table.row(
            "  above the loudest pause (dB)", float(loudness - max(silent)), ">= 12", loudness - max(silent) >= 12
        )
    for pause in truth["speech"]["pauses"]:
        length = pause["end_seconds"] - pause["start_seconds"]
        table.row(f"pause from {pause['start_seconds']} s (s)", float(length), ">= 0.5", length >= 0.5)


def check_clip(clip: Path, truth_path: Path) -> int:
    """Check a clip against its truth, print a table; returns the number of failed checks."""
    truth = json.loads(truth_path.read_text(encoding="utf-8"))
    cards = [truth["shots"][palette["shot"]] for palette in truth["palettes"]]
    stills = {f for s in cards for f in (s["frame_in"], (s["frame_in"] + s["frame_out"]) // 2, s["frame_out"] - 1)}
    decoded = decode(clip, stills)
    table = Table()
    check_container(table, clip, truth, decoded)
    check_cuts(table, truth, decoded)
    check_palettes(table, truth, decoded)
    check_sound(table, truth, decoded)
    return table.failed


if __name__ == "__main__":
    sys.exit(check_clip(Path(__file__).with_name("clip.mp4"), Path(__file__).with_name("truth.json")))
