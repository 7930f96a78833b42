// Earlier analyses: the gateway keeps them, over reloads and restarts.

import { ask } from './api.js';
import { byId, clock, counted, element, moment, say, show } from './dom.js';

const PAGE = 20;
const [BUSY_MS, IDLE_MS] = [2000, 15000];
export const ENDED = ['completed', 'failed', 'cancelled', 'interrupted'];
export const isEnded = (job) => ENDED.includes(job.state);

export const tookSeconds = (job) => (job.started && job.ended ? (Date.parse(job.ended) - Date.parse(job.started)) / 1000 : null);

export class Jobs {
  rows = new Map();
  limit = PAGE;
  current = null; // id of the job that is looked at

  constructor(onDelete) {
    this.onDelete = onDelete;
    byId('more').addEventListener('click', () => {
      this.limit += PAGE;
      this.look();
    });
  }

  async look() {
    clearTimeout(this.timer);
    let isBusy = false;
    try {
      const { jobs, total } = await ask(`/jobs?limit=${Math.min(this.limit, 200)}`);
      isBusy = jobs.some((job) => !isEnded(job));
      this.show(jobs, total);
    } catch {
      // The head of the page says that the gateway does not answer.
    }
    this.timer = setTimeout(() => (document.hidden ? this.later() : this.look()), isBusy ? BUSY_MS : IDLE_MS);
  }

  later() {
    document.addEventListener('visibilitychange', () => this.look(), { once: true });
  }

  show(jobs, total) {
    const list = byId('jobs');
    const isFocused = list.contains(document.activeElement);
    const ids = new Set(jobs.map((job) => job.id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.item.remove();
      this.rows.delete(id);
    }
    jobs.forEach((job, place) => {
      const row = this.rows.get(job.id) ?? this.row(job);
      this.update(row, job);
      if (list.children[place] !== row.item) list.insertBefore(row.item, list.children[place] ?? null);
    });
    if (isFocused && !list.contains(document.activeElement)) byId('jobs-title').focus();
    say(byId('jobs-count'), total ? counted(total, 'clip') : '');
    show(byId('jobs-none'), !total);
    show(byId('more'), total > jobs.length && this.limit < 200);
  }

  row(job) {
    const row = {
      link: element('a', { className: 'job-name', href: `#/jobs/${job.id}` }, job.name),
      state: element('span', { className: 'badge' }),
      facts: element('span', { className: 'muted small job-facts' }),
      report: element('a', { className: 'button', href: job.links.report, target: '_blank', rel: 'noopener' }, 'Report'),
      erase: element('button', { type: 'button', className: 'button' }, 'Delete'),
    };
    row.report.setAttribute('aria-label', `Report of ${job.name}`);
    row.erase.setAttribute('aria-label', `Delete ${job.name}`);
    row.erase.addEventListener('click', () => this.onDelete(row.job));
    const what = element('div', { className: 'job-what' }, element('span', {}, row.link, ' ', row.state), row.facts);
    row.item = element('li', {}, what, element('div', { className: 'actions' }, row.report, row.erase));
    this.rows.set(job.id, row);
    return row;
  }

  update(row, job) {
    row.job = job;
    row.state.textContent = job.state;
    row.state.className = `badge job-${job.state}`;
    row.facts.textContent = [moment(job.created), ...facts(job)].join(' · ');
    show(row.report, job.state === 'completed');
    row.item.classList.toggle('current', job.id === this.current);
    if (job.id === this.current) row.link.setAttribute('aria-current', 'true');
    else row.link.removeAttribute('aria-current');
  }

  mark(id) {
    this.current = id;
    for (const row of this.rows.values()) this.update(row, row.job);
  }
}

function facts(job) {
  const took = tookSeconds(job);
  const statuses = Object.values(job.analyzers);
  const asked = Math.max(job.options.only?.length ?? 24, statuses.length);
  const failed = statuses.filter((status) => status === 'failed').length;
  if (job.state === 'completed') return [clock(took), counted(statuses.length, 'analyzer') + (failed ? `, ${failed} failed` : '')];
  if (job.state === 'running') return [`${statuses.length} of ${asked} analyzers done`];
  return job.problem ? [job.problem.title.toLowerCase()] : [];
}
