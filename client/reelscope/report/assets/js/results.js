// What the page shows comes out of the results file that it carries: deflated JSON in base64.

const byId = (id) => document.getElementById(id);

async function unpack() {
  const bytes = Uint8Array.from(atob(byId('packed').textContent), (char) => char.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return JSON.parse(await new Response(stream).text());
}

// An element with its attributes and children. Strings become text, never markup: they may come from a clip.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const spaced = (name) => String(name).replaceAll('_', ' ');

function clockTime(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, '0')}`;
}

// A JSON value in a line; long lists are counted.
function inWords(value) {
  if (value === null || value === undefined) return '–';
  if (value === true || value === false) return value ? 'yes' : 'no';
  if (typeof value === 'number') return String(Number.isInteger(value) ? value : Number(value.toPrecision(3))).replace('-', '−');
  if (Array.isArray(value)) {
    if (value.length > 8 || value.some((item) => typeof item === 'object' && item !== null)) {
      return `${value.length} value${value.length === 1 ? '' : 's'}`;
    }
    return value.map(inWords).join(', ') || 'none';
  }
  if (typeof value === 'object') {
    const shown = Object.entries(value).slice(0, 6).map(([name, item]) => `${spaced(name)} ${inWords(item)}`);
    return shown.join(', ') || 'none';
  }
  return String(value);
}

const rounded = (value) => (typeof value === 'number' ? String(Math.round(value)) : undefined);

// What a segment is called: the words that are read or said, what it is judged as, else its label.
function segmentTitle(segment) {
  const data = segment.data ?? {};
  const text = data.text ?? data.caption ?? data.name ?? data.letter ?? (data.layout && spaced(data.layout)) ?? rounded(data.overall);
  return typeof text === 'string' && text.trim() ? text.trim() : spaced(segment.label);
}

// A CSS colour as canvases take it.
function colour(name) {
  const probe = element('span', { hidden: true });
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

// Index of the last of sorted times that is not after this one; -1 before the first.
function lastUpTo(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// Times of a series and one of its columns; null where it has none.
function curve(result, name) {
  const values = result?.series.cols[name];
  if (!values || !values.some((value) => value !== null)) return null;
  const { t0, hop_s: hop, cols } = result.series;
  return { times: hop === null ? cols.t : values.map((_, k) => t0 + k * hop), values };
}
