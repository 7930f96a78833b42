// Problems in plain words: what is wrong, and what helps. Codes are those of the gateway; others are told as it tells them.

import { counted, size } from './dom.js';

export class Problem extends Error {
  constructor(body, retrySeconds = null) {
    super(body.detail);
    this.code = body.code;
    this.title = body.title;
    this.detail = body.detail;
    this.retrySeconds = retrySeconds;
  }
}

export const silence = () =>
  new Problem({ code: 'no_answer', title: 'The gateway does not answer', detail: 'it may be starting, or gone' });

const PLAIN = {
  no_answer: ['The gateway does not answer', 'Is it still running? This page goes on as soon as it answers.'],
  upload_broke_off: ['The upload broke off', 'The connection to the gateway was lost. Try again.'],
  unauthorized: ['A key is needed', 'Reload the page, leave the user name empty, and give your key as the password.'],
  upload_too_large: ['The clip is too large', 'Make it shorter or smaller.'],
  input_unreadable: ['The clip cannot be read', 'It is damaged, or no video. Does a player play it?'],
  input_invalid: ['The clip cannot be analysed', ''],
  input_too_long: ['The clip is too long', 'Cut out what is to be analysed.'],
  no_video_stream: ['There are no moving pictures in this file', 'It may be a sound file.'],
  input_not_found: ['The server has no such clip', 'The path counts from one of the folders that the gateway was started with.'],
  queue_full: ['The queue is full', 'Other clips come first.'],
  server_unreachable: ['No analysis server answers', 'The gateway works, but the Triton server behind it does not.'],
  server_error: ['The analysis server has a problem', 'The Triton server behind the gateway answers, but not as it should.'],
  deadline_exceeded: ['It took too long', 'Try a shorter clip, or fewer analyzers.'],
  job_crashed: ['The analysis crashed', 'Only this clip is affected. If it happens again, the clip may be damaged.'],
  interrupted: ['The analysis was interrupted', 'The gateway was stopped while it ran. Start it again.'],
  disk_full: ['The server has no room for the clip', 'Delete earlier analyses, or try later.'],
  job_not_found: ['This analysis is gone', 'It was deleted, or kept as long as the gateway keeps them.'],
  client_disconnected: ['The analysis was cancelled', 'Whoever had asked for it went away.'],
};

// Title, and text for people; what the gateway says comes last, for who wants to know.
export function plain(problem) {
  const [title, help] = PLAIN[problem.code] ?? [problem.title, ''];
  const said = problem.code === 'no_answer' || !problem.detail ? '' : `The gateway says: ${problem.detail}.`;
  return { title: title || 'Something went wrong', text: [help, said.replace(/\.+$/, '.')].filter(Boolean).join(' ') };
}

// What can be told before anything is sent.
export function refusal(file, limits) {
  const most = limits?.max_upload_bytes;
  if (!most || file.size <= most) return null;
  const detail = `the file has ${size(file.size)}, and at most ${size(most)} are taken`;
  return new Problem({ code: 'upload_too_large', title: '', detail });
}

export const waiting = (count) => (count > 0 ? `${counted(count, 'clip')} in the queue` : 'next in the queue');
