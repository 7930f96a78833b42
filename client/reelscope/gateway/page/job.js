// One analysis: uploaded, followed as its analyzers finish, and what can be done with it afterwards.

import { ask, gatewayNow, start } from './api.js';
import { titleOf } from './analyzers.js';
import { isRandom } from './board.js';
import { announce, byId, clock, counted, moment, picture, say, show, size } from './dom.js';
import { isEnded, tookSeconds } from './jobs.js';
import { Problem, waiting } from './problems.js';

const MOST_RETRY_SECONDS = 60;
const LOST_MS = 3000;
// Of the bar; the rest are the analyzers that are done.
const [DECODE_SHARE, SIGNALS_SHARE] = [0.05, 0.75];

const BUTTONS = ['open-report', 'get-results', 'get-srt', 'get-vtt', 'again', 'cancel', 'delete', 'another'];

function doing(decode, signals) {
  if (decode < 1) return `Decoding ${Math.round(100 * decode)}%`;
  return signals < 1 ? `Looking and listening ${Math.round(100 * signals)}%` : 'Drawing conclusions';
}

export class JobView extends EventTarget {
  job = null;
  sources = new Map(); // what this page has uploaded or named, by job: it can be analysed again

  constructor(board, health) {
    super();
    Object.assign(this, { board, health });
    setInterval(() => this.tick(), 1000);
    addEventListener('beforeunload', (event) => {
      if (this.upload) event.preventDefault();
    });
    byId('job-thumb').addEventListener('error', () => show(byId('job-thumb'), false));
  }

  leave() {
    this.events?.close();
    this.events = null;
    clearTimeout(this.lost);
    this.job = null;
  }

  // Sends a clip and answers with its job's id; null when it was taken back. Waits where the queue is full.
  async send(source, options) {
    this.leave();
    this.upload = new AbortController();
    const { signal } = this.upload;
    this.head(source.name, 'uploading');
    picture(byId('job-thumb'), source.file);
    say(byId('job-facts'), [source.file && size(source.file.size), ...this.said(options)].filter(Boolean).join(' · '));
    this.board.begin(options.only, true);
    this.offer('cancel');
    try {
      for (;;) {
        this.progress(source.file ? 0 : null, source.file ? 'Uploading' : 'Asking the gateway');
        try {
          const job = await start(source, options, (loaded, total) => this.uploaded(loaded, total), signal);
          this.sources.set(job.id, { source, options });
          return job.id;
        } catch (problem) {
          const found = await this.explained(problem, source);
          if (found.code !== 'queue_full') throw found;
          await this.pause(Math.min(found.retrySeconds ?? 10, MOST_RETRY_SECONDS), signal);
        }
      }
    } catch (problem) {
      if (problem.name !== 'AbortError') throw problem;
      return null;
    } finally {
      this.upload = null;
    }
  }

  // A gateway that refuses an upload need not read it, and browsers may then tell of a lost connection only.
  async explained(problem, source) {
    if (problem.code !== 'no_answer' || !source.file) return problem;
    await this.health.look();
    if (this.health.isSilent) return problem;
    if (this.health.isQueueFull) return new Problem({ code: 'queue_full', title: '', detail: '' });
    return new Problem({ code: 'upload_broke_off', title: '', detail: '' });
  }

  uploaded(loaded, total) {
    const share = loaded / total;
    this.progress(share, share < 1 ? `Uploading: ${size(loaded)} of ${size(total)}` : 'The gateway takes the clip');
    if (share < 1) announce(`${Math.round(100 * share)}% uploaded`);
  }

  // Counts down until the next try; "Try again" ends it at once.
  async pause(seconds, signal) {
    byId('job-state').textContent = 'queue full';
    announce(`The queue is full. Trying again in ${seconds} seconds.`, true);
    this.offer('again', 'cancel');
    await new Promise((resolve, reject) => {
      const over = (end) => () => {
        clearInterval(timer);
        byId('again').onclick = null;
        end();
      };
      const tell = () => this.progress(null, `The queue is full. Trying again in ${seconds} s.`);
      const timer = setInterval(() => {
        seconds -= 1;
        if (seconds > 0) tell();
        else over(resolve)();
      }, 1000);
      tell();
      byId('again').onclick = over(resolve);
      signal.addEventListener('abort', over(() => reject(new DOMException('taken back', 'AbortError'))));
    });
    byId('job-state').textContent = 'uploading';
    this.offer('cancel');
  }

  // Shows a job from its beginning to its end, whenever this page comes to it.
  async open(id) {
    this.leave();
    const job = await ask(`/jobs/${encodeURIComponent(id)}`);
    const { source } = this.sources.get(id) ?? {};
    this.shares = { decode: 0, signals: 0 };
    this.isReplay = isEnded(job);
    this.head(job.name, job.state);
    picture(byId('job-thumb'), source?.file);
    this.board.begin(job.options.only, !isEnded(job));
    this.update(job);
    this.listen(job);
  }

  listen(job) {
    const events = new EventSource(job.links.events);
    const on = (kind, react) =>
      events.addEventListener(kind, (event) => {
        if (this.job?.id === job.id) react(JSON.parse(event.data));
      });
    this.events = events;
    on('job', (now) => (isEnded(now) || !this.isReplay) && this.update(now));
    on('progress', ({ stage, share }) => this.reach(stage, share));
    on('analyzer', (outcome) => this.found(outcome));
    events.onopen = () => this.reach();
    events.onerror = () => {
      if (this.job?.id !== job.id || isEnded(this.job)) return;
      this.progress(null, 'The gateway does not answer. Trying again.');
      // A browser that has given up does not try again by itself.
      if (events.readyState === EventSource.CLOSED) this.lost = setTimeout(() => this.comeBack(job.id), LOST_MS);
    };
  }

  async comeBack(id) {
    try {
      await this.open(id);
    } catch (problem) {
      if (problem.code === 'no_answer') this.lost = setTimeout(() => this.comeBack(id), LOST_MS);
      else this.dispatchEvent(new CustomEvent('problem', { detail: problem }));
    }
  }

  update(job) {
    this.job = job;
    byId('job-state').textContent = job.state;
    byId('job-state').className = `badge job-${job.state}`;
    const how = job.source === 'upload' ? 'uploaded' : 'read on the server';
    say(byId('job-facts'), [`${how} ${moment(job.created)}`, ...this.said(job.options)].join(' · '));
    this.tick();
    if (!isEnded(job)) {
      this.offer('cancel');
      this.reach();
      return;
    }
    if (!this.events) return; // the stream, which is opened next, tells everything again, and the end last
    this.events.close();
    this.events = null;
    this.ended(job);
  }

  ended(job) {
    const isDone = job.state === 'completed';
    this.board.end();
    show(byId('job-progress'), false);
    say(byId('job-summary'), isDone ? this.outcome() : '');
    const random = this.board.randomNames;
    const rest = random.length === 1 ? 'rests' : 'rest';
    say(byId('job-random'), isDone && random.length
      ? `${counted(random.length, 'analyzer')} ${rest} on random weights, and what they say means nothing: ${random.join(', ')}.` : '');
    const captions = this.captions();
    const isAgain = !isDone && this.sources.has(job.id);
    this.offer(...(isDone ? ['open-report', 'get-results', ...(captions ? [] : ['get-srt', 'get-vtt'])] : []),
      ...(isAgain ? ['again'] : []), 'another', 'delete');
    say(byId('job-note'), isDone ? captions : '');
    this.links(job);
    if (!this.isReplay) announce(isDone ? `Finished. ${this.outcome()} The report is ready.` : `The analysis ${job.state}.`, true);
    this.dispatchEvent(new CustomEvent('ended', { detail: { job, isReplay: this.isReplay } }));
  }

  outcome() {
    const { done, tally } = this.board;
    return `${counted(done.size, 'analyzer')} done in ${clock(tookSeconds(this.job) ?? 0)}: ${tally}.`;
  }

  links(job) {
    const base = job.name.replace(/\.[^.]*$/, '') || 'clip';
    Object.assign(byId('open-report'), { href: job.links.report });
    Object.assign(byId('get-results'), { href: job.links.results, download: `${base}.results.json` });
    Object.assign(byId('get-srt'), { href: job.links.captions_srt, download: `${base}.srt` });
    Object.assign(byId('get-vtt'), { href: job.links.captions_vtt, download: `${base}.vtt` });
  }

  // Why there are none; empty where there are.
  captions() {
    const heard = this.board.done.get('speech_transcription');
    if (!heard) return 'No captions: the transcript was not asked for.';
    if (!heard.summary) return `No captions: the transcript was ${heard.status === 'failed' ? 'not made' : 'left out'}, ${heard.message ?? heard.reason}.`;
    return isRandom(heard) ? 'No captions: the transcript rests on random weights.' : '';
  }

  found(outcome) {
    this.board.result(outcome);
    this.reach();
    const { done, total } = this.board;
    if (!this.isReplay) announce(`${done.size} of ${total} analyzers done, the latest: ${titleOf(outcome.name)}`);
  }

  reach(stage, share) {
    if (stage in this.shares) this.shares[stage] = share;
    if (!this.job || isEnded(this.job)) return;
    const { decode, signals } = this.shares;
    const { done, total } = this.board;
    if (this.job.state === 'queued') {
      this.progress(null, `Waiting: ${waiting(this.health.now?.jobs_queued ?? 0)}`);
      return;
    }
    const whole = DECODE_SHARE * decode + SIGNALS_SHARE * signals + (1 - DECODE_SHARE - SIGNALS_SHARE) * (done.size / total);
    this.progress(whole, `${doing(decode, signals)} · ${done.size} of ${total} analyzers done`);
  }

  head(name, state) {
    byId('job-title').textContent = name;
    byId('job-state').textContent = state;
    byId('job-state').className = `badge job-${state}`;
    for (const id of ['job-summary', 'job-random', 'job-note', 'job-clock']) say(byId(id), '');
    show(byId('job-progress'));
  }

  said(options) {
    return [
      options.only && `only ${counted(options.only.length, 'analyzer')}`,
      options.no_biometrics && 'no biometrics',
      options.detail === 'full' && 'full detail',
    ].filter(Boolean);
  }

  offer(...ids) {
    const focused = document.activeElement;
    for (const id of BUTTONS) show(byId(id), ids.includes(id));
    // Whoever stood on a button that is gone must not be lost.
    if (BUTTONS.includes(focused?.id) && !ids.includes(focused.id)) byId('job-title').focus();
  }

  progress(share, text) {
    const bar = byId('job-bar');
    if (share === null) bar.removeAttribute('value');
    else bar.value = share;
    say(byId('job-stage'), text);
    this.share = share;
    this.dispatchEvent(new Event('progress'));
  }

  tick() {
    const { job } = this;
    const began = job?.started ?? job?.created;
    say(byId('job-clock'), began && !isEnded(job) ? clock((gatewayNow() - Date.parse(began)) / 1000) : '');
  }
}
