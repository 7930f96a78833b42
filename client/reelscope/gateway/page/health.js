// The state of the gateway, as /health tells it, at the top of the page.

import { ask } from './api.js';
import { NAMES, titleOf } from './analyzers.js';
import { plain } from './problems.js';
import { byId, counted, element, say } from './dom.js';

const POLL_MS = 5000;

export class Health extends EventTarget {
  now = null; // the last answer
  problem = null; // why there is none

  async look() {
    clearTimeout(this.timer);
    try {
      this.now = await ask('/health');
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
    }
    this.show();
    this.dispatchEvent(new Event('change'));
    this.timer = setTimeout(() => this.whenVisible(), POLL_MS);
  }

  whenVisible() {
    if (!document.hidden) this.look();
    else document.addEventListener('visibilitychange', () => this.look(), { once: true });
  }

  get isSilent() {
    return this.problem !== null;
  }

  get limits() {
    return this.now?.limits;
  }

  get isQueueFull() {
    return Boolean(this.limits) && this.now.jobs_queued >= this.limits.queue_length;
  }

  // Analyzers that run without a server: those that read nothing from it at all.
  get independent() {
    const found = Object.entries(this.now?.analyzers ?? {});
    return found.filter(([, each]) => each.ready && !each.missing_inputs.length).map(([name]) => name);
  }

  get isServerGone() {
    return this.now?.status === 'unavailable';
  }

  show() {
    const { now } = this;
    byId('health').dataset.state = this.problem ? 'silent' : now.status;
    if (this.problem) {
      const { title, text } = plain(this.problem);
      say(byId('health-says'), title);
      byId('health-body').replaceChildren(element('p', {}, text));
      delete byId('health-body').dataset.told;
      return;
    }
    const gone = this.isServerGone ? ': no server answers' : '';
    say(byId('health-says'), `${now.active_analyzers} of ${now.expected_analyzers} analyzers ready${gone}`);
    say(byId('tool'), now.tool);
    const body = byId('health-body');
    const told = JSON.stringify([now.analyzers, now.server.reason, now.jobs_queued, now.jobs_running]);
    if (body.dataset.told !== told) body.replaceChildren(...this.explained());
    body.dataset.told = told;
  }

  * explained() {
    const { server, analyzers, jobs_running: running, jobs_queued: queued } = this.now;
    const entries = Object.entries(analyzers);
    yield fact('Analysis server', `${server.live ? 'Triton' : 'No Triton'} answers at ${server.url}, profile ${server.profile}.`);
    if (server.reason) yield element('p', { className: 'muted small' }, server.reason);
    const missing = entries.filter(([, each]) => !each.ready);
    if (missing.length && !server.live) {
      yield fact('Need it', `${missing.map(([name]) => titleOf(name)).join(', ')}.`);
    } else if (missing.length) {
      yield element('h2', {}, 'Not ready');
      yield pairs(missing.map(([name, each]) => [titleOf(name), each.reason ?? 'not known why']));
    }
    const random = entries.filter(([, each]) => each.models.some((model) => model.trained === false));
    if (random.length) {
      const names = random.map(([name]) => titleOf(name)).join(', ');
      yield fact('Random weights', `${names}: they read models that were never trained. What they say means nothing.`);
    }
    const left = NAMES.filter((name) => !(name in analyzers)).map(titleOf);
    if (left.length) yield fact('Switched off here', `${left.join(', ')}.`);
    yield fact('Work', `${running ? counted(running, 'clip') : 'Nothing'} being analysed, ${queued || 'none'} waiting.`);
  }
}

const fact = (name, text) => element('p', {}, element('b', {}, name), ` ${text}`);

const pairs = (rows) =>
  element('dl', { className: 'pairs' }, ...rows.flatMap(([name, text]) => [element('dt', {}, name), element('dd', {}, text)]));
