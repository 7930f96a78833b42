"""One decode for everybody: a clip becomes small frames, upload windows, luma and audio.

The only package that knows the codec library.

- Time is the PTS, never the frame index; zero is the first displayed video frame.
- Rotation and pixel aspect are applied here, once. Pictures of a stream that changes its size or orientation on the
  way are fitted into the first one's displayed size, undistorted, with black around them.
- Colours are sRGB-range RGB: the stream's own matrix and range are used where it states them, BT.601 limited where it
  does not (as FFmpeg and OpenCV do). HDR (HLG, PQ) is brought to BT.709; untagged 10-bit is SDR.
- The small track holds every displayed frame, long side <= 320. The uploaded track holds the frame shown at k/rate
  seconds, long side <= 1280, in windows (see `types.Window`), and the new pictures between them (`ExtraWindow`). All
  come out of the same pass. The rate is the profile's; of long clips it is less, so that no clip has more than
  MAX_SAMPLES.
"""

from reelscope.decode.container import sha256
from reelscope.decode.decoder import MAX_SAMPLES, MAX_SECONDS, SMALL_LONG_SIDE_PX, UPLOAD_LONG_SIDE_PX, Decoder

__all__ = ["MAX_SAMPLES", "MAX_SECONDS", "SMALL_LONG_SIDE_PX", "UPLOAD_LONG_SIDE_PX", "Decoder", "sha256"]
