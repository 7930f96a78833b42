// The timeline: scale, ruler, marks, playhead. Zooming makes the tracks wider; the browser scrolls.

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
const MOST_PIXELS_PER_SECOND = 400;

class Timeline {
  constructor(results, lanes, clock) {
    this.clock = clock;
    this.duration = Math.max(results.media.duration_s, 0.001);
    this.zoom = 1;
    this.scroller = byId('scroller');
    this.list = byId('lanes');
    const random = new Set(lanes.filter((lane) => lane.isRandom).map((lane) => lane.name));
    this.curves = new Curves(results, (name) => random.has(name));
    const film = byId('filmstrip').parentElement;
    film.before(this.marks(results));
    film.after(...this.curves.lanes());
    for (const lane of lanes) {
      const result = results.analyzers[lane.name];
      if (result) this.list.append(laneOf(lane, result, this.duration));
    }
    for (const shot of document.querySelectorAll('.film-shot')) {
      shot.style.left = `${(100 * shot.dataset.start) / this.duration}%`;
      shot.style.width = `${(100 * (shot.dataset.end - shot.dataset.start)) / this.duration}%`;
    }
    this.listen();
    byId('zoom').hidden = byId('playhead').hidden = false;
    new ResizeObserver(() => this.layOut()).observe(this.scroller);
    this.layOut();
  }

  listen() {
    this.scroller.addEventListener('scroll', () => this.drawCurves(), { passive: true });
    this.scroller.addEventListener('keydown', (event) => {
      walkLanes(event);
      const factor = { '+': 1.5, '=': 1.5, '-': 1 / 1.5, 0: 0 }[event.key];
      if (factor !== undefined && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        this.setZoom(this.zoom * factor);
      }
    });
    this.scroller.addEventListener('wheel', (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.setZoom(this.zoom * (event.deltaY < 0 ? 1.2 : 1 / 1.2), this.timeAt(event.clientX));
    }, { passive: false });
    this.list.addEventListener('click', (event) => {
      if (event.target.closest('button') || !event.target.closest('.track')) return;
      this.clock.seek(this.timeAt(event.clientX));
    });
    byId('zoom-in').addEventListener('click', () => this.setZoom(this.zoom * 1.5));
    byId('zoom-out').addEventListener('click', () => this.setZoom(this.zoom / 1.5));
    byId('zoom-fit').addEventListener('click', () => this.setZoom(1));
  }

  // Hook, climax, call to action and key moments, above everything.
  marks(results) {
    const track = element('div', { class: 'track', role: 'group', 'aria-label': 'Marks' });
    track.style.setProperty('--rows', 1);
    const put = (title, start, kind, id) => {
      const made = element('button', { type: 'button', class: `mark ${kind}`, 'data-seek': start, 'data-segment': id, title: `${title}, ${clockTime(start)}`, 'aria-label': `${title}, ${clockTime(start)}` }, kind === 'moment' ? '' : title);
      made.style.left = `${(100 * start) / this.duration}%`;
      track.append(made);
    };
    for (const segment of results.analyzers.cross_analyzer_intelligence?.segments ?? []) {
      if (segment.label === 'key_moment') put(`Key moment: ${segmentTitle(segment)}`, segment.start, 'moment', segment.id);
    }
    const summary = results.analyzers.temporal_flow?.summary;
    const [climax, call] = [summary?.climax_s ?? null, summary?.cta?.start ?? null];
    const side = (start, other) => (start > 0.94 * this.duration || (other !== null && other >= start && other - start < 0.12 * this.duration) ? ' before' : '');
    if (summary?.hook_score != null) put('Hook', 0, 'hook');
    if (climax !== null) put('Climax', climax, `climax${side(climax, call)}`);
    if (call !== null) put('CTA', call, `cta${side(call, climax === call ? null : climax)}`);
    return element('div', { class: 'lane marks' }, element('div', { class: 'lane-name' }, element('span', {}, 'Marks')), track);
  }

  timeAt(clientX) {
    const { left, width } = byId('ruler').getBoundingClientRect();
    return Math.min(this.duration, Math.max(0, ((clientX - left) / width) * this.duration));
  }

  // Width of a track that fits, px.
  get room() {
    return Math.max(120, this.scroller.clientWidth - this.nameWidth - 1);
  }

  get nameWidth() {
    return parseFloat(getComputedStyle(this.list).getPropertyValue('--name')) || 0;
  }

  setZoom(zoom, about = this.clock.time) {
    const most = Math.max(1, (MOST_PIXELS_PER_SECOND * this.duration) / this.room);
    const before = (about / this.duration) * this.room * this.zoom - this.scroller.scrollLeft;
    this.zoom = Math.min(most, Math.max(1, zoom));
    this.layOut();
    this.scroller.scrollLeft = (about / this.duration) * this.room * this.zoom - before;
    this.drawCurves();
  }

  layOut() {
    const width = Math.floor(this.room * this.zoom);
    this.list.style.setProperty('--track', `${width}px`);
    this.list.style.setProperty('--room', `${this.room}px`);
    const step = STEPS.find((each) => (each / this.duration) * width >= 64) ?? 600;
    const ticks = [];
    for (let k = 0; k * step < this.duration - step / 4; k += 1) {
      const tick = element('span', { class: 'tick' }, step < 1 ? clockTime(k * step).slice(0, -1) : clockTime(k * step).slice(0, -3));
      tick.style.left = `${(100 * k * step) / this.duration}%`;
      ticks.push(tick);
    }
    byId('ruler').replaceChildren(...ticks);
    this.width = width;
    this.drawCurves();
    this.show(this.clock.time);
  }

  drawCurves() {
    const from = (this.scroller.scrollLeft / this.width) * this.duration;
    this.curves.draw(this.room, from, from + (this.room / this.width) * this.duration);
  }

  show(time) {
    const at = this.nameWidth + (time / this.duration) * this.width;
    byId('playhead').style.transform = `translateX(${at}px)`;
    this.curves.show(time);
    const seen = at - this.nameWidth - this.scroller.scrollLeft;
    if (this.clock.isPlaying && (seen < 0 || seen > this.room)) this.scroller.scrollLeft = at - this.nameWidth - 20;
  }

  recolour() {
    this.curves.recolour();
    this.drawCurves();
  }
}
