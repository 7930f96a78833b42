// Everything together.

async function start() {
  const { results, lanes } = await unpack();
  const player = byId('player');
  const lead = Math.max(0, -Number(player.dataset.offset)); // sound that begins before the picture
  const clock = new Clock(Number(player.dataset.duration), lead);
  byId('screen').style.setProperty('--aspect', player.dataset.width / player.dataset.height);
  const overlay = new Overlay(byId('overlay'), results, lanes);
  const timeline = new Timeline(results, lanes, clock);
  const following = new Following();
  byId('layers').hidden = byId('controls').hidden = false;
  overlay.switches(byId('layers'));

  clock.addEventListener('time', () => {
    const { time } = clock;
    overlay.show(time);
    timeline.show(time);
    following.show(time);
    byId('now').textContent = clockTime(time);
    byId('position').value = time;
    byId('position').setAttribute('aria-valuetext', clockTime(time));
  });
  clock.addEventListener('state', () => {
    byId('play').setAttribute('aria-label', clock.isPlaying ? 'Pause' : 'Play');
    byId('play').classList.toggle('playing', clock.isPlaying);
  });
  controls(clock, Number(player.dataset.fps) || 30);
  links(clock, results, lanes);
  tools(results, () => {
    overlay.recolour();
    overlay.draw();
    timeline.recolour();
  });
  clock.changed();
  whenParsed(() => loadVideo(clock));
  document.documentElement.dataset.ready = 'yes';
}

function whenParsed(then) {
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', then);
  else then();
}

// The clip comes last in the page, so that everything else need not wait for it.
function loadVideo(clock) {
  const video = byId('video');
  if (!video) return;
  const holder = byId('clip-data');
  if (holder) {
    const [, kind, coded] = /^data:([^;]+);base64,(.*)$/s.exec(holder.textContent.trim());
    const bytes = Uint8Array.from(atob(coded), (char) => char.charCodeAt(0));
    holder.remove();
    video.src = URL.createObjectURL(new Blob([bytes], { type: kind }));
  }
  clock.attach(video, () => {
    const note = byId('screen-note');
    note.textContent = holder
      ? 'This browser cannot play the format of this clip. Everything but its pictures works.'
      : 'The clip is not beside this page, or this browser cannot play it. Everything but its pictures works.';
    note.hidden = false;
    video.hidden = true;
  });
}

function controls(clock, framesPerSecond) {
  const [position, mute, video] = [byId('position'), byId('mute'), byId('video')];
  byId('play').addEventListener('click', () => clock.toggle());
  position.addEventListener('input', () => clock.seek(Number(position.value)));
  mute.addEventListener('click', () => {
    video.muted = !video.muted;
    mute.classList.toggle('muted-now', video.muted);
    mute.setAttribute('aria-label', video.muted ? 'Unmute' : 'Mute');
  });
  byId('screen').addEventListener('click', () => clock.toggle());
  document.addEventListener('keydown', (event) => {
    if (event.target.closest('input, button, summary, a, select, textarea') || event.ctrlKey || event.metaKey || event.altKey) return;
    const isInScroller = event.target.closest('#scroller, .table, .transcript');
    if (event.key === ' ' && !isInScroller) clock.toggle();
    else if (event.key === ',') clock.seek(clock.time - 1 / framesPerSecond);
    else if (event.key === '.') clock.seek(clock.time + 1 / framesPerSecond);
    else return;
    event.preventDefault();
  });
}

// Whatever carries a time seeks, whatever names a segment shows it, whatever names a card opens it.
function links(clock, results, lanes) {
  const byName = new Map(lanes.map((lane) => [lane.name, lane]));
  const find = (id) => {
    const lane = byName.get(id.split(':')[0]);
    return [results.analyzers[lane?.name]?.segments.find((segment) => segment.id === id), lane];
  };
  document.addEventListener('click', (event) => {
    const target = event.target.closest('[data-seek], [data-card]');
    if (!target) return;
    if (target.dataset.seek) {
      clock.seek(Number(target.dataset.seek));
      byId('status').textContent = `At ${clockTime(clock.time)}`;
    }
    if (target.dataset.segment) {
      const [segment, lane] = find(target.dataset.segment);
      if (segment) inspect(segment, lane);
      for (const chosen of document.querySelectorAll('.seg.chosen')) chosen.classList.remove('chosen');
      document.querySelector(`.seg[data-segment="${CSS.escape(target.dataset.segment)}"]`)?.classList.add('chosen');
    }
    if (target.dataset.card) {
      const card = byId(`card-${target.dataset.card}`);
      card.open = true;
      card.scrollIntoView({ block: 'start' });
      card.querySelector('summary').focus({ preventScroll: true });
    }
  });
  for (const card of document.querySelectorAll('details.card')) {
    card.addEventListener('toggle', () => card.open && fillCard(card, results, byName.get(card.dataset.analyzer)));
  }
}

function tools(results, onTheme) {
  const theme = byId('theme');
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark';
  const name = () => {
    theme.textContent = isDark() ? 'Light' : 'Dark';
    onTheme();
  };
  theme.addEventListener('click', () => {
    document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
    name();
  });
  dark.addEventListener('change', name);
  theme.textContent = isDark() ? 'Light' : 'Dark';
  byId('print').addEventListener('click', () => window.print());
  byId('download').addEventListener('click', () => {
    const url = URL.createObjectURL(new Blob([JSON.stringify(results, null, 1)], { type: 'application/json' }));
    element('a', { href: url, download: 'results.json' }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  });
  theme.hidden = byId('print').hidden = byId('download').hidden = false;
}

start();
