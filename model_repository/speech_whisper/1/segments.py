"""Tokens to segments: what lies between time stamps, and where the next pass begins; as `whisper.transcribe` does."""

from dataclasses import dataclass, field

FRAMES_PER_SECOND = 100
FRAMES_PER_STAMP = 2
SECONDS_PER_STAMP = 0.02


@dataclass
class Segment:
    """Tokens that were said together; times are seconds of the window."""

    start: float
    end: float
    tokens: list
    words: list = field(default_factory=list)


@dataclass(frozen=True)
class Cut:
    """The segments of one pass.

    Attributes:
        seek: frame of the window at which the next pass begins.
        is_complete: the text ends with a single time stamp: behind it nobody speaks.
    """

    segments: list
    seek: int
    is_complete: bool


def cut(tokens, first_stamp, seek, frame_count):
    """Cut the tokens of a pass.

    Args:
        tokens: of text and times.
        first_stamp: id of the time stamp 0.
        seek: frame of the window at which the pass began.
        frame_count: frames of sound that it heard.
    """
    begin = seek / FRAMES_PER_SECOND
    stamps = [token >= first_stamp for token in tokens]
    complete = stamps[-2:] == [False, True]
    ends = [number for number in range(1, len(tokens)) if stamps[number - 1] and stamps[number]]
    if not ends:
        marked = [token for token in tokens if token >= first_stamp]
        seconds = frame_count / FRAMES_PER_SECOND
        if marked and marked[-1] != first_stamp:
            seconds = (marked[-1] - first_stamp) * SECONDS_PER_STAMP
        return Cut([Segment(begin, begin + seconds, list(tokens))], seek + frame_count, complete)
    if complete:
        ends.append(len(tokens))
    segments = []
    for start, end in zip([0, *ends[:-1]], ends, strict=True):
        part = tokens[start:end]
        times = [begin + (token - first_stamp) * SECONDS_PER_STAMP for token in (part[0], part[-1])]
        segments.append(Segment(*times, part))
    if complete:
        return Cut(segments, seek + frame_count, True)
    # The segment after the last pair of time stamps is unfinished: the next pass hears it again.
    return Cut(segments, seek + (tokens[ends[-1] - 1] - first_stamp) * FRAMES_PER_STAMP, False)
