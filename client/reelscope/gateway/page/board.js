// The 24 analyzers: what each finds, and, as they finish, what each found.

import { COLUMNS, NAMES, titleOf } from './analyzers.js';
import { byId, counted, element, icon, say, sentence } from './dom.js';

const STATES = {
  idle: 'ready',
  unready: 'not ready',
  waiting: 'at work',
  unasked: 'not asked',
  ok: 'done',
  random: 'done',
  partial: 'partly done',
  skipped: 'left out',
  failed: 'failed',
};
const MARKS = { unready: 'skipped', unasked: 'idle' };

export const isRandom = (outcome) => outcome.models.some((model) => model.trained === false);

// Colours in a headline are shown as such.
const withSwatches = (text) =>
  text.split(/(#[0-9a-f]{6})\b,? */).map((part, place) => (place % 2 ? swatch(part) : part));

function swatch(colour) {
  const made = element('span', { className: 'swatch', title: colour });
  made.style.background = colour;
  made.setAttribute('role', 'img');
  made.setAttribute('aria-label', colour);
  return made;
}

export class Board {
  rows = new Map();
  finds = {};

  constructor() {
    byId('board').append(
      ...COLUMNS.map((groups) => element('div', { className: 'column' }, ...groups.map((group) => this.group(group)))),
    );
  }

  group([title, tone, titles]) {
    const list = element('ul', {}, ...Object.keys(titles).map((name) => this.row(name)));
    list.setAttribute('aria-label', title);
    return element('section', { className: 'group panel', dataset: { tone } }, element('h3', {}, title), list);
  }

  row(name) {
    const parts = {
      mark: icon('mark-waiting'),
      state: element('span', { className: 'visually-hidden' }),
      badges: element('span', { className: 'badges' }),
      says: element('p', { className: 'row-says' }),
    };
    const head = element('p', { className: 'row-head' }, element('b', {}, titleOf(name)), parts.state, parts.badges);
    const item = element('li', { className: 'row', dataset: { analyzer: name } }, parts.mark, element('div', {}, head, parts.says));
    this.rows.set(name, { item, ...parts });
    return item;
  }

  put(name, state, says, badges = []) {
    const row = this.rows.get(name);
    if (!row) return;
    row.item.dataset.state = state;
    row.mark.firstChild.setAttribute('href', `#mark-${MARKS[state] ?? state}`);
    row.state.textContent = `: ${STATES[state]}. `;
    row.badges.replaceChildren(...badges.map(([kind, text]) => element('span', { className: `badge ${kind}` }, text)));
    row.says.replaceChildren(...withSwatches(sentence(says ?? '')));
  }

  // Before a job: what each finds, and whether it is ready.
  know(health) {
    this.finds = Object.fromEntries(Object.entries(health.analyzers).map(([name, each]) => [name, each.title]));
    if (!this.isIdle) return;
    for (const name of NAMES) {
      const each = health.analyzers[name];
      if (!each) this.put(name, 'unasked', 'Switched off here.');
      else if (!each.ready) this.put(name, 'unready', each.title, [['status-failed', 'not ready']]);
      else this.put(name, 'idle', each.title, each.models.some((model) => model.trained === false) ? [['random', 'random weights']] : []);
    }
  }

  idle(health) {
    this.isIdle = true;
    byId('board').dataset.phase = 'idle';
    say(byId('board-says'), 'What each looks for');
    if (health) this.know(health);
  }

  // `only`: those that were asked for, or null for all; those that they consult come of themselves.
  begin(only, isLive) {
    this.isIdle = false;
    this.done = new Map();
    this.asked = only ? only.length : NAMES.length;
    byId('board').dataset.phase = isLive ? 'live' : 'told';
    for (const name of NAMES) {
      const isAsked = !only || only.includes(name);
      this.put(name, isAsked ? 'waiting' : 'unasked', this.finds[name]);
    }
    this.count();
  }

  result(outcome) {
    const { name, status } = outcome;
    const random = isRandom(outcome);
    const isFound = status === 'ok' || status === 'partial';
    const badges = [];
    if (random) badges.push(['random', 'random weights']);
    if (outcome.summary?.sensitive) badges.push(['sensitive', 'biometric']);
    if (status !== 'ok') badges.push([`status-${status}`, status]);
    const said = isFound && random ? outcome.title : isFound ? outcome.headline : outcome.message;
    this.put(name, random && status === 'ok' ? 'random' : status, said ?? outcome.title, badges);
    this.done.set(name, outcome);
    this.count();
  }

  // The job has ended: who has not answered will not.
  end() {
    byId('board').dataset.phase = 'told';
    for (const [name, { item }] of this.rows) {
      if (item.dataset.state === 'waiting') this.put(name, 'unasked', this.finds[name]);
    }
  }

  get total() {
    return Math.max(this.asked, this.done.size);
  }

  get randomNames() {
    return [...this.done.values()].filter(isRandom).map((outcome) => titleOf(outcome.name));
  }

  // "24 of 24: 22 ok, 1 partial, 1 failed".
  get tally() {
    const counts = new Map();
    for (const { status } of this.done.values()) counts.set(status, (counts.get(status) ?? 0) + 1);
    return ['ok', 'partial', 'skipped', 'failed'].filter((each) => counts.has(each)).map((each) => `${counts.get(each)} ${each}`).join(', ');
  }

  count() {
    say(byId('board-says'), `${this.done.size} of ${counted(this.total, 'analyzer')} done`);
  }
}
