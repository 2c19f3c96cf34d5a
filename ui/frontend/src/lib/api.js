// Every request of a page goes to its own origin; an error is a sentence of the gateway.
import { t } from './i18n.js';
import { said } from './said.js';

export class Refused extends Error {
  // `english` is what the gateway itself wrote, for code that must know which refusal it is.
  constructor(text, status) { super(said(text)); this.english = text; this.status = status; }
}

// What a page asks by itself (background) keeps no session alive.
export async function ask(method, path, body, { background = false, raw = false } = {}) {
  const headers = {};
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (background) headers['Genba-Background'] = '1';
  let answer;
  try {
    answer = await fetch(path, {
      method, headers, body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Refused(t('The gateway does not answer. Is it switched on and on the network?'), 0);
  }
  // A password that is wrong is no login that has ended; only that one asks for another.
  if (answer.status === 401 && answer.headers.has('WWW-Authenticate') && location.pathname !== '/login') {
    location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  }
  if (!answer.ok) throw new Refused(await answer.text() || answer.statusText, answer.status);
  if (raw) return answer;
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

// A file that goes to the gateway's disk as it is; `progress` is told the share that is there.
export function upload(path, file, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', path);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.onprogress = (event) => { if (event.lengthComputable) progress(event.loaded / event.total); };
    request.onload = () => (request.status < 300 ? resolve() : reject(new Refused(request.responseText || request.statusText, request.status)));
    request.onerror = () => reject(new Refused(t('The upload was cut. Is the gateway still there? Try again.'), 0));
    request.send(file);
  });
}

export const get = (path, options) => ask('GET', path, undefined, options);
export const post = (path, body = {}, options) => ask('POST', path, body, options);
export const put = (path, body, options) => ask('PUT', path, body, options);
export const remove = (path, options) => ask('DELETE', path, undefined, options);
