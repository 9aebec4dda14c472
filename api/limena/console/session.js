// The session: who is logged in here, and every request to the API.
//
// The access token lives in this module's memory and nowhere else; a reload fetches a new one by the HttpOnly cookie.
// What is in localStorage is the time until which a cookie may be there, so that a visitor's first page asks for
// nothing; and the channel tells other tabs that something happened, never a token.

const EXPIRES_EARLY = 30_000;
const HINT = 'limena-session';
const COOKIE_LIFE = 7 * 24 * 3600 * 1000;

let access = null; // { token, until, user, tenant }
let refreshing = null;
let onEnd = () => {};
let onStart = () => {};
const channel = new BroadcastChannel('limena');

/** An answer that is an error: RFC 9457. `fields` has the messages of bad input by field. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? 'unknown';
    this.requestId = body.request_id;
    this.permission = body.permission;
    this.retryAfter = retryAfter;
    this.fields = Object.fromEntries((body.errors ?? []).map((one) => [one.field, one.message]));
  }
}

/** The server cannot be reached. */
export class Offline extends Error {
  constructor() {
    super('Limena cannot be reached.');
  }
}

/** The session has ended; whoever asked is shown the log-in. */
export class Ended extends Error {}

// Tabs
// ---------------------------------------------------------------------------------------------------------------------

channel.onmessage = ({ data }) => {
  if (data.kind === 'ended' && access) end('You logged out in another tab.', false);
  if (data.kind === 'started' && (data.user !== access?.user || data.tenant !== access?.tenant)) onStart();
};

/** `callback(reason)` is called when the session ends. */
export function whenEnded(callback) {
  onEnd = callback;
}

/** `callback()` is called when another tab logs in, or moves to another tenant. */
export function whenStarted(callback) {
  onStart = callback;
}

function end(reason, tellOthers = true) {
  access = null;
  localStorage.removeItem(HINT);
  if (tellOthers) channel.postMessage({ kind: 'ended' });
  onEnd(reason);
}

// Tokens
// ---------------------------------------------------------------------------------------------------------------------

function adopt(answer) {
  const payload = answer.access_token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
  const claims = JSON.parse(atob(payload));
  const before = access;
  access = {
    token: answer.access_token,
    until: performance.now() + answer.expires_in * 1000 - EXPIRES_EARLY,
    user: claims.sub,
    tenant: claims.tid ?? null,
  };
  localStorage.setItem(HINT, Date.now() + COOKIE_LIFE);
  if (before && (before.user !== access.user || before.tenant !== access.tenant)) {
    // Another tab switched the tenant, or logged in as someone else: nothing of before may stay on the page.
    location.replace('/');
    throw new Ended();
  }
}

/** One refresh at a time, over all tabs: each finds the cookie that the one before it was given. */
function refresh() {
  const locked = navigator.locks ? (work) => navigator.locks.request('limena-refresh', work) : (work) => work();
  refreshing ??= locked(rotate).finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function rotate() {
  try {
    adopt(await json('POST', '/api/v1/auth/refresh', { anonymous: true }));
  } catch (error) {
    if (error.status !== 401) throw error;
    const wasIn = access !== null;
    access = null;
    localStorage.removeItem(HINT);
    if (wasIn) end('Your session has ended.');
  }
}

async function token() {
  if (access && performance.now() > access.until) await refresh();
  if (!access) throw new Ended();
  return access.token;
}

/** Whether someone is logged in. */
export async function resume() {
  if (!access && Number(localStorage.getItem(HINT)) > Date.now()) await refresh();
  return access !== null;
}

export const isIn = () => access !== null;

// In and out
// ---------------------------------------------------------------------------------------------------------------------

/** Takes what a log-in, a registration or an invitation answered. */
export function enter(answer) {
  access = null;
  adopt(answer);
  channel.postMessage({ kind: 'started', user: access.user, tenant: access.tenant });
}

export async function leave(everywhere = false) {
  await json('POST', everywhere ? '/api/v1/auth/logout-all' : '/api/v1/auth/logout');
  end('');
}

/** Forgets a session that the server has ended already. */
export const forget = (reason) => end(reason);

export async function switchTenant(id) {
  const answer = await json('POST', '/api/v1/auth/tenant', { body: { tenant_id: id } });
  enter(answer);
  location.assign('/');
}

// Requests
// ---------------------------------------------------------------------------------------------------------------------

async function fetchOnce(method, path, headers, body, signal) {
  try {
    return await fetch(path, { method, headers, body, signal, credentials: 'same-origin', cache: 'no-store', redirect: 'error' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Offline();
  }
}

async function csrfToken(authorization, isFresh) {
  const kept = /(?:^|; )(?:__[A-Za-z]+-)?limena_csrf=([^;]+)/.exec(document.cookie)?.[1];
  if (kept && !isFresh) return kept;
  const response = await fetchOnce('GET', '/api/v1/auth/csrf', authorization);
  if (!response.ok) throw await problemOf(response);
  return (await response.json()).csrf_token;
}

async function problemOf(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's page, not an answer of ours.
  }
  return new Problem(response.status, body, Number(response.headers.get('Retry-After')) || null);
}

/** The response, when it is a good one. `anonymous`: without a token. Raises Problem, Offline, Ended. */
export async function request(method, path, { body, signal, anonymous = false, headers = {} } = {}) {
  for (let isFresh = false; ; isFresh = true) {
    const authorization = anonymous ? {} : { Authorization: `Bearer ${await token()}` };
    const sent = { Accept: 'application/json', ...headers, ...authorization };
    if (method !== 'GET') sent['X-CSRF-Token'] = await csrfToken(authorization, isFresh);
    if (body !== undefined) sent['Content-Type'] = 'application/json';
    const response = await fetchOnce(method, path, sent, body === undefined ? undefined : JSON.stringify(body), signal);
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (!isFresh && problem.code === 'csrf_failed') continue;
    if (!anonymous && problem.status === 401) {
      if (!isFresh && problem.code === 'token_expired') {
        access.until = 0;
        continue;
      }
      end('Your session has ended.');
      throw new Ended();
    }
    throw problem;
  }
}

/** The JSON of an answer; null of an empty one. */
export async function json(method, path, options) {
  const response = await request(method, path, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const get = (path, options) => json('GET', path, options);
export const post = (path, body, options) => json('POST', path, { body, ...options });

/** A query string of what is set. */
export function query(parameters) {
  const set = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== '');
  return set.length ? `?${new URLSearchParams(set)}` : '';
}
