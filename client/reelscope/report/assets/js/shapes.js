// What can be drawn over the picture, by layer: tracks of shapes in 0-1 of the frame, with the times that they are known at.

const SKELETON = [
  [15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8], [7, 9], [8, 10],
  [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6],
]; // COCO's limbs, as in exports/coco.py

// Each layer: the analyzer it comes from, and what it makes of the results. `isOn`: shown at first, when trained.
const LAYERS = [
  { name: 'objects', title: 'Objects', analyzer: 'object_detection', tone: 'things', isOn: true, tracks: objectTracks },
  { name: 'poses', title: 'Poses', analyzer: 'body_pose', tone: 'people', isOn: true, tracks: poseTracks },
  { name: 'faces', title: 'Faces', analyzer: 'eye_tracking', tone: 'story', isOn: true, tracks: faceTracks },
  { name: 'texts', title: 'Text', analyzer: 'text_overlay', tone: 'words', isOn: true, tracks: textTracks },
  { name: 'subject', title: 'Subject and thirds', analyzer: 'composition_analysis', tone: 'picture', isOn: false, tracks: subjectTracks },
  { name: 'safe', title: 'Safe zone', analyzer: 'text_overlay', tone: 'warn', isOn: false, tracks: safeZones },
];

const stepOf = (result) => (result.inputs.fps ? 1 / result.inputs.fps : 0.1);

function objectTracks(results) {
  const result = results.analyzers.object_detection;
  const products = new Map();
  for (const segment of results.analyzers.product_detection?.segments ?? []) {
    if (segment.track_id) products.set(segment.track_id, segment.label);
  }
  return result.segments.map((segment) => ({
    kind: 'box',
    step: stepOf(result),
    times: segment.data.boxes.t,
    shapes: segment.data.boxes.xyxy,
    label: () => products.get(segment.track_id) ?? segment.data.class,
  }));
}

function poseTracks(results) {
  const result = results.analyzers.body_pose;
  const least = result.params.keypoint_min_confidence ?? 0.5;
  return result.segments
    .filter((segment) => segment.data.keypoints)
    .map((segment) => ({
      kind: 'pose',
      step: stepOf(result),
      least,
      times: segment.data.t,
      shapes: segment.data.keypoints.map((points) => points.flat()),
      label: () => '',
    }));
}

function faceTracks(results) {
  const result = results.analyzers.eye_tracking;
  const looks = results.analyzers.face_emotion?.segments ?? [];
  return result.segments
    .filter((segment) => segment.data.xyxy)
    .map((segment) => ({
      kind: 'face',
      step: stepOf(result),
      times: segment.data.t,
      shapes: segment.data.xyxy,
      contact: segment.data.contact,
      label: (time) => {
        const look = looks.find((each) => each.track_id === segment.track_id && each.start <= time && time < each.end);
        return look ? spaced(look.label) : '';
      },
    }));
}

function textTracks(results) {
  return results.analyzers.text_overlay.segments.map((segment) => ({
    kind: 'quad',
    start: segment.start,
    end: segment.end,
    times: [segment.start],
    shapes: [segment.data.quad],
    label: () => segment.data.role ? spaced(segment.data.role) : '',
  }));
}

function subjectTracks(results) {
  const result = results.analyzers.composition_analysis;
  const x = curve(result, 'subject_x');
  const y = curve(result, 'subject_y');
  if (!x || !y) return [];
  const known = x.times.map((time, k) => [time, x.values[k], y.values[k]]).filter((each) => each[1] !== null);
  return [{
    kind: 'subject',
    step: stepOf(result),
    times: known.map((each) => each[0]),
    shapes: known.map((each) => [each[1], each[2]]),
    label: () => '',
  }];
}

function safeZones(results) {
  const result = results.analyzers.text_overlay;
  const { width, height } = results.media;
  const sides = ['x1', 'y1', 'x2', 'y2'].map((side) => result.params[`safe_zone_${side}`]);
  if (sides.includes(undefined) || Math.abs((height / width) * (9 / 16) - 1) > 0.02) return [];
  return [{ kind: 'safe', start: 0, end: Infinity, times: [0], shapes: [sides], label: () => '' }];
}

// The shape of a track at a time, between two known ones where they are near; null where it is not there.
function shapeAt(track, time) {
  if (track.start !== undefined) return time >= track.start && time < track.end ? track.shapes[0] : null;
  const at = lastUpTo(track.times, time);
  if (at < 0) return null;
  const gap = (track.times[at + 1] ?? Infinity) - track.times[at];
  if (gap > 2.5 * track.step) return time - track.times[at] <= track.step ? track.shapes[at] : null;
  const share = (time - track.times[at]) / gap;
  return track.shapes[at].map((value, k) => value + share * (track.shapes[at + 1][k] - value));
}
