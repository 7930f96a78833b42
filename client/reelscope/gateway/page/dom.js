// Elements and words. Whatever comes from a clip or a file name gets into the page as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function element(tag, properties = {}, ...children) {
  const { dataset = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, dataset);
  made.append(...children);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#${name}`);
  svg.setAttribute('class', 'mark');
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

export function show(node, isShown = true) {
  node.hidden = !isShown;
}

export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = !text;
}

// Shows the first picture of a file, or none.
const pictured = new WeakMap();

export function picture(video, file = null) {
  if (pictured.get(video) !== file) {
    pictured.set(video, file);
    const before = video.src;
    video.removeAttribute('src');
    video.load(); // ends what is being loaded: the browser complains of an address that is gone
    if (before) URL.revokeObjectURL(before);
    if (file) video.src = URL.createObjectURL(file);
  }
  show(video, Boolean(file) && !video.error);
}

export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);
export const words = (name) => sentence(name.replaceAll('_', ' '));
export const counted = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;

export function size(bytes) {
  if (bytes < 1e6) return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.round(bytes / 1e6)} MB`;
}

export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const rest = String(whole % 60).padStart(2, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

// 09:41 today, 3 Nov 09:41 else.
export function moment(iso) {
  const date = new Date(iso);
  const isToday = date.toDateString() === new Date().toDateString();
  const day = isToday ? {} : { day: 'numeric', month: 'short' };
  return new Intl.DateTimeFormat('en-GB', { ...day, hour: '2-digit', minute: '2-digit' }).format(date);
}

// What screen readers are told: the latest, not more often than they can say it; `isLast` waits for nothing.
const SPACING_MS = 3000;
let [pending, timer] = ['', 0];

export function announce(text, isLast = false) {
  pending = text;
  if (isLast) {
    clearTimeout(timer);
    timer = 0;
  }
  if (timer) return;
  tell();
}

function tell() {
  byId('live').textContent = pending;
  pending = '';
  timer = setTimeout(() => {
    timer = 0;
    if (pending) tell();
  }, SPACING_MS);
}
