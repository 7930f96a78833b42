// Segments of an analyzer: in its card when that is opened, and one at a time below the timeline.

const ROWS_AT_FIRST = 50;

function fillCard(card, results, lane) {
  const place = card.querySelector('[data-segments]');
  const segments = results.analyzers[place.dataset.segments]?.segments ?? [];
  if (!segments.length || place.childElementCount) return;
  const body = element('tbody');
  const add = (from, to) => body.append(...segments.slice(from, to).map((segment) => segmentRow(segment, lane)));
  add(0, ROWS_AT_FIRST);
  const head = element('tr', {}, ...['From', 'To', 'Label', 'Score', 'Measured'].map((title) => element('th', { scope: 'col' }, title)));
  place.append(element('div', { class: 'table tall', tabindex: '0', role: 'region', 'aria-label': `Segments of ${place.dataset.segments}` },
    element('table', {}, element('thead', {}, head), body)));
  if (segments.length <= ROWS_AT_FIRST) return;
  const more = element('button', { type: 'button', class: 'button' }, `Show all ${segments.length}`);
  more.addEventListener('click', () => {
    add(ROWS_AT_FIRST, segments.length);
    more.remove();
  });
  place.append(more);
}

function segmentRow(segment, lane) {
  const seek = element('button', { type: 'button', class: 'seek', 'data-seek': segment.start, 'aria-label': `Go to ${clockTime(segment.start)}` }, clockTime(segment.start));
  return element('tr', {}, element('td', {}, seek), element('td', {}, clockTime(segment.end)),
    element('td', {}, spaced(segment.label)), element('td', { class: 'right' }, inWords(segment.score)),
    element('td', { class: 'small' }, measured(segment, lane).map(([name, value]) => `${name} ${value}`).join(' · ')));
}

// What was measured, by its label, with its unit; what was not is left out.
function measured(segment, lane) {
  return Object.entries(segment.data ?? {}).filter(([, value]) => value !== null).map(([name, value]) => {
    const [label, unit] = lane.labels[name] ?? [spaced(name), ''];
    const isQuantity = typeof value === 'number' && unit && unit !== 'count' && !unit.startsWith('1/');
    return [label, isQuantity ? `${inWords(value)}${unit.startsWith('%') || unit === '°' ? '' : ' '}${unit}` : inWords(value)];
  });
}

function inspect(segment, lane) {
  const pairs = element('dl', { class: 'pairs' });
  const facts = measured(segment, lane);
  if (segment.score !== null) facts.unshift(['Score', inWords(segment.score)]);
  if (segment.track_id) facts.unshift(['Track', segment.track_id]);
  for (const [name, value] of facts) pairs.append(element('dt', {}, name), element('dd', {}, value));
  byId('inspector').replaceChildren(
    element('p', {}, element('b', {}, segmentTitle(segment)), ' ',
      element('span', { class: 'muted' }, `${lane.title} · ${clockTime(segment.start)}–${clockTime(segment.end)}`), ' ',
      lane.isRandom ? element('span', { class: 'badge random' }, 'random weights: means nothing') : null,
      lane.isSensitive ? element('span', { class: 'badge sensitive' }, 'biometric: as it appears') : null),
    pairs,
    element('button', { type: 'button', class: 'link', 'data-card': lane.name }, `All of ${lane.title}`));
}
