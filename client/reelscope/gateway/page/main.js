// Everything together: what is shown at which address, and what happens on which button.
//   #/          choose a clip
//   #/jobs/ID   follow an analysis, or look at an earlier one

import { ask } from './api.js';
import { Board } from './board.js';
import { Clip } from './clip.js';
import { announce, byId, counted, element, say, show } from './dom.js';
import { Health } from './health.js';
import { JobView } from './job.js';
import { Jobs, isEnded } from './jobs.js';
import { Options } from './options.js';
import { plain, refusal } from './problems.js';

const health = new Health();
const board = new Board();
const options = new Options();
const clip = new Clip();
const view = new JobView(board, health);
const jobs = new Jobs(erase);

// ---- Addresses

const jobAt = () => /^#\/jobs\/([0-9a-f]+)$/.exec(location.hash)?.[1] ?? null;

async function route() {
  const id = jobAt();
  if (view.upload) {
    if (id === null) return;
    history.replaceState(null, '', '#/');
    notify('news', 'The clip is still being uploaded', 'Cancel that, or look at other analyses afterwards.');
    return;
  }
  jobs.mark(id);
  quiet();
  if (id === null) {
    begin();
    return;
  }
  try {
    await view.open(id);
    look('job');
  } catch (problem) {
    begin();
    complain(problem);
  }
}

function begin() {
  view.leave();
  board.idle(health.now);
  prepare();
  look('start');
}

function look(name) {
  const isNew = document.body.dataset.view !== name;
  document.body.dataset.view = name;
  show(byId('start'), name === 'start');
  show(byId('job'), name === 'job');
  title();
  if (isNew && hasBegun) byId(`${name}-title`).focus();
}

let hasBegun = false;

function title() {
  const isJob = document.body.dataset.view === 'job';
  const share = isJob && byId('job-progress').hidden ? null : view.share;
  const parts = isJob ? [byId('job-title').textContent] : [];
  if (isJob && share !== null && share !== undefined) parts.unshift(`${Math.round(100 * share)}%`);
  document.title = [...parts, 'reelscope'].join(' · ');
}

function go(hash) {
  if (location.hash === hash) return route();
  location.hash = hash;
  return undefined;
}

// ---- Problems and news

function complain(problem, ...actions) {
  const { title: head, text } = plain(problem);
  notify('problem', head, text, ...actions);
}

function notify(kind, head, text, ...actions) {
  byId('alert').dataset.kind = kind;
  say(byId('alert-title'), head);
  say(byId('alert-text'), text);
  byId('alert-actions').replaceChildren(...actions);
  show(byId('alert'));
  byId('alert').scrollIntoView({ block: 'nearest' });
}

const quiet = () => show(byId('alert'), false);

// ---- Analysing

async function analyze(source, chosen) {
  quiet();
  const refused = source.file && refusal(source.file, health.limits);
  if (refused) {
    complain(refused);
    return;
  }
  look('job');
  const sending = view.send(source, chosen);
  byId('job-title').focus();
  try {
    const id = await sending;
    jobs.look();
    if (id) {
      clip.clear();
      go(`#/jobs/${id}`);
    } else {
      begin();
      notify('news', 'Cancelled', 'Nothing of the clip is kept.');
    }
  } catch (problem) {
    begin();
    complain(problem);
    byId('go').focus();
  }
}

// Without a server, all that can run are the analyzers that need none.
function runnable(chosen) {
  if (!health.isServerGone) return chosen;
  const wanted = chosen.only ?? health.independent;
  return { ...chosen, only: health.independent.filter((name) => wanted.includes(name)) };
}

byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const { source } = clip;
  if (source) analyze(source, runnable(options.read()));
});

function prepare() {
  const { source } = clip;
  const chosen = runnable(options.read());
  const few = health.isServerGone ? chosen.only.length : null;
  byId('go').disabled = !source || few === 0 || view.upload;
  byId('go').textContent = few ? `Analyse with ${counted(few, 'analyzer')}` : 'Analyse';
  const gone = `No analysis server answers at ${health.now?.server.url}.`;
  say(byId('start-note'), few === null || health.isSilent ? ''
    : few ? `${gone} Only what needs none can run now: ${counted(few, 'analyzer')}.` : `${gone} None of the chosen analyzers can run without it.`);
}

clip.addEventListener('change', prepare);
byId('options').addEventListener('change', prepare);
byId('options').addEventListener('click', prepare);
clip.addEventListener('taken', () => {
  if (view.upload) return;
  if (jobAt()) go('#/');
  byId('go').focus();
  announce(`${clip.file.name} chosen`, true);
});

// ---- One analysis

byId('cancel').addEventListener('click', async () => {
  if (view.upload) {
    view.upload.abort();
    return;
  }
  await forget(view.job, 'Cancelled', 'Nothing of the clip is kept.');
});
byId('delete').addEventListener('click', () => erase(view.job));
byId('again').addEventListener('click', () => {
  const { source, options: chosen } = view.sources.get(view.job?.id) ?? {};
  if (source) analyze(source, chosen);
});

async function erase(job) {
  const dialog = byId('confirm');
  const back = document.activeElement;
  byId('confirm-title').textContent = `Delete ${job.name}?`;
  byId('confirm-text').textContent = (isEnded(job) ? '' : 'Its analysis is ended. ')
    + (job.source === 'upload' ? 'Its results, its report and the uploaded clip are erased.' : 'Its results and its report are erased; the clip itself stays.');
  dialog.returnValue = 'no';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  if (dialog.returnValue === 'yes') await forget(job, 'Deleted', `Nothing is kept of ${job.name}.`);
  else back?.focus();
}

async function forget(job, head, text) {
  if (jobs.current === job.id) view.leave();
  try {
    await ask(`/jobs/${job.id}`, { method: 'DELETE' });
  } catch (problem) {
    if (problem.code !== 'job_not_found') {
      complain(problem);
      return;
    }
  }
  view.sources.delete(job.id);
  await jobs.look();
  if (jobAt() === job.id) {
    history.replaceState(null, '', '#/');
    await route();
  }
  notify('news', head, text);
}

view.addEventListener('progress', title);
view.addEventListener('problem', ({ detail }) => {
  begin();
  complain(detail);
});
view.addEventListener('ended', ({ detail: { job, isReplay } }) => {
  title();
  if (!isReplay) jobs.look();
  const { source, options: chosen } = view.sources.get(job.id) ?? {};
  const few = health.independent;
  const offers = [];
  if (job.problem?.code === 'server_unreachable' && source && few.length) {
    const button = element('button', { type: 'button', className: 'button' }, `Analyse with the ${few.length} that need no server`);
    button.addEventListener('click', () => analyze(source, { ...chosen, only: few }));
    offers.push(button);
  }
  if (job.problem) complain(job.problem, ...offers);
});

// ---- The gateway

health.addEventListener('change', () => {
  if (!health.now) return;
  options.know(health.now);
  clip.know(health.limits);
  board.know(health.now);
  prepare();
  if (view.job?.state === 'queued') view.reach();
});

document.addEventListener('click', (event) => {
  if (!byId('health').contains(event.target)) byId('health').open = false;
});
byId('health').addEventListener('keydown', (event) => {
  if (event.key !== 'Escape') return;
  byId('health').open = false;
  byId('health').firstElementChild.focus();
});

// ---- Light and dark

const dark = matchMedia('(prefers-color-scheme: dark)');
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? 'dark' : 'light')) === 'dark';
const name = () => {
  byId('theme').textContent = isDark() ? 'Light' : 'Dark';
};
dark.addEventListener('change', name);
byId('theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
  name();
  try {
    localStorage.setItem('theme', document.documentElement.dataset.theme);
  } catch {
    // Storage is switched off: it holds until the page is left.
  }
});

addEventListener('hashchange', route);
name();
prepare();
jobs.look();
await Promise.all([health.look(), route()]);
hasBegun = true;
document.documentElement.dataset.ready = 'yes';
performance.mark('ready');
