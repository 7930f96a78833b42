// A lane per analyzer: its segments as buttons, placed by their time. One stop for the Tab key per lane, arrows within.

const MOST_ROWS = 3; // of spans that overlap
const MOST_BUTTONS = 300; // per lane; what is left out is said, and stands in the analyzer's table

// Rows of segments, so that none overlaps another in its row: spans first, then a row per sort of event.
function packed(segments, duration, mostRows) {
  const least = duration / 250;
  const spans = segments.filter((segment) => segment.kind !== 'event');
  const chosen = spans.length > MOST_BUTTONS ? longest(spans, MOST_BUTTONS) : spans;
  const rows = [];
  for (const segment of chosen) {
    const row = rows.find((each) => each.end <= segment.start + 1e-6);
    if (row) row.items.push(segment);
    else if (rows.length < mostRows) rows.push({ items: [segment], end: 0 });
    else continue;
    (row ?? rows.at(-1)).end = Math.max(segment.end, segment.start + least);
  }
  const events = new Map();
  for (const segment of segments) {
    if (segment.kind !== 'event') continue;
    if (!events.has(segment.label)) events.set(segment.label, { items: [], isEvents: true });
    const { items } = events.get(segment.label);
    if (items.length < MOST_BUTTONS) items.push(segment);
  }
  return [...rows, ...[...events.values()].slice(0, mostRows)];
}

function longest(spans, count) {
  const ranked = [...spans].sort((a, b) => b.end - b.start - (a.end - a.start)).slice(0, count);
  return ranked.sort((a, b) => a.start - b.start);
}

function laneOf(lane, result, duration) {
  const rows = packed(result.segments, duration, lane.isRandom ? 1 : MOST_ROWS);
  const shown = rows.reduce((count, row) => count + row.items.length, 0);
  const left = result.segments.length - shown;
  const notes = [];
  if (lane.isRandom) notes.push('random');
  if (lane.status !== 'ok') notes.push(lane.status);
  if (left > 0) notes.push(`${left} more`);
  const name = element('div', { class: 'lane-name' },
    element('button', { type: 'button', class: 'lane-link', 'data-card': lane.name }, lane.title),
    notes.length ? element('span', { class: 'lane-note' }, notes.join(', ')) : null);
  const track = element('div', { class: 'track', role: 'group', 'aria-label': `Segments of ${lane.title}` });
  track.style.setProperty('--rows', Math.max(1, rows.length));
  rows.forEach((row, number) => {
    for (const segment of row.items) {
      const made = segmentButton(segment, row, number, duration);
      if (segment.data?.palette) made.style.background = stripes(segment.data.palette);
      track.append(made);
    }
  });
  if (!rows.length) track.append(element('span', { class: 'lane-empty' }, emptyReason(lane, result)));
  track.querySelector('.seg')?.setAttribute('tabindex', '0');
  const made = element('div', { class: lane.isRandom ? 'lane random' : 'lane', 'data-lane': lane.name, 'data-group': lane.group }, name, track);
  return made;
}

function emptyReason(lane, result) {
  if (lane.status === 'failed' || lane.status === 'skipped') return result.message ?? result.reason ?? lane.status;
  return result.series.hop_s !== null || Object.keys(result.series.cols).length ? 'a curve only' : 'no segments';
}

function segmentButton(segment, row, number, duration) {
  const title = segmentTitle(segment);
  const made = element('button', {
    type: 'button',
    class: row.isEvents ? 'seg event' : 'seg',
    tabindex: '-1',
    'data-segment': segment.id,
    'data-seek': segment.start,
    'aria-label': `${title}, ${clockTime(segment.start)} to ${clockTime(segment.end)}`,
    title: `${title}\n${clockTime(segment.start)}–${clockTime(segment.end)}`,
  }, row.isEvents || segment.data?.palette ? null : element('span', {}, title));
  made.style.left = `${(100 * segment.start) / duration}%`;
  if (!row.isEvents) made.style.width = `${(100 * (segment.end - segment.start)) / duration}%`;
  made.style.setProperty('--row', number);
  return made;
}

// Colours side by side, each as wide as its share.
function stripes(palette) {
  let at = 0;
  const stops = palette.map(({ hex, share }) => `${hex} ${100 * at}% ${100 * (at += share)}%`);
  return `linear-gradient(90deg, ${stops.join(', ')})`;
}

// Arrows move within a lane, as in a toolbar.
function walkLanes(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !event.target.classList.contains('seg')) return;
  const every = [...event.target.parentElement.querySelectorAll('.seg')].sort((a, b) => a.dataset.seek - b.dataset.seek);
  const next = every[every.indexOf(event.target) + step];
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
