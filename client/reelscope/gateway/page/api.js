// The gateway's routes. Every failure is a Problem.

import { Problem, silence } from './problems.js';

let aheadMs = 0;
export const gatewayNow = () => Date.now() + aheadMs; // its clock and the browser's may differ

export async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw silence();
  }
  const date = Date.parse(response.headers.get('Date'));
  if (Math.abs(date - Date.now()) > 2000) aheadMs = date - Date.now();
  const body = response.status === 204 ? null : await response.json().catch(() => null);
  const isHealth = Boolean(body?.analyzers && body.server); // it answers 503 with all that is known
  if (!response.ok && !isHealth) throw problemOf(body, response.status, response.headers.get('Retry-After'));
  if (!body && response.status !== 204) throw silence();
  return body;
}

function problemOf(body, status, retryAfter) {
  const known = body?.code ? body : { code: 'unknown', title: 'The gateway refused', detail: `it answered ${status}` };
  return new Problem(known, Number(retryAfter) || null);
}

// Starts a job for a file, or for a path on the server. The answer is the job; `signal` takes the upload back.
export function start({ file, path }, options, onProgress, signal) {
  const request = new XMLHttpRequest();
  request.open('POST', '/analyze?wait=false');
  request.responseType = 'json';
  const done = new Promise((resolve, reject) => {
    request.onload = () => {
      if (request.status === 202) resolve(request.response);
      else reject(problemOf(request.response, request.status, request.getResponseHeader('Retry-After')));
    };
    request.onerror = () => reject(silence());
    request.onabort = () => reject(new DOMException('taken back', 'AbortError'));
  });
  request.upload.onprogress = (event) => onProgress(event.loaded, event.total);
  signal.addEventListener('abort', () => request.abort());
  if (file) request.send(form(file, options));
  else {
    request.setRequestHeader('Content-Type', 'application/json');
    request.send(JSON.stringify({ video_path: path, ...options }));
  }
  return done;
}

function form(file, options) {
  const fields = new FormData();
  for (const [name, value] of Object.entries(options)) fields.append(name, String(value));
  fields.append('video', file, file.name);
  return fields;
}
