// Keys for programs. A key is on the page for as long as its dialog is open, and in no variable, storage or address after.

import { guardPage } from '../app.js';
import { ago, date, dateTime, number } from '../format.js';
import { Problem, get, json, post, query } from '../session.js';
import { may } from '../shell.js';
import { ask, badge, busy, card, empty, field, h, heading, later, newId, paged, said, select, table, toast } from '../ui.js';

export default function apiKeys() {
  const create = () => h('button', { type: 'button', class: 'primary', click: ({ currentTarget }) => busy(currentTarget, () => createKey(list)).catch((error) => toast(error.message)) }, 'Create an API key');
  const list = later(() => paged(
    (after) => get(`/api/v1/api-keys${query({ after })}`),
    (items) => keyTable(items, list),
    empty('No API keys yet', 'A key lets a program call the API with exactly the scopes that you give it.', may('api_keys:write') && create()),
  ));
  return [
    heading('API keys', 'For programs. A key does what its scopes say, and never more than whoever made it may do.', may('api_keys:write') && create()),
    card('Keys', list),
  ];
}

function stateOf(key) {
  if (key.revoked_at) return badge('Revoked', 'bad');
  if (key.retires_at) return new Date(key.retires_at) < Date.now() ? badge('Retired', 'bad') : h('span', {}, badge('Replaced', 'warn'), ' works until ', dateTime(key.retires_at));
  if (key.expires_at && new Date(key.expires_at) < Date.now()) return badge('Expired', 'warn');
  return badge('Active', 'ok');
}

const isLive = (key) => !key.revoked_at && ![key.retires_at, key.expires_at].some((end) => end && new Date(end) < Date.now());

function keyTable(items, list) {
  return table('API keys', [
    ['Name', (key) => h('span', { class: 'person-cell' }, said(key.name, { class: 'strong' }), h('code', { class: 'small muted' }, `${key.prefix}…${key.last_four}`)), 'main'],
    ['State', stateOf],
    ['Scopes', (key) => h('details', {}, h('summary', {}, key.scopes.length === 1 ? '1 scope' : `${key.scopes.length} scopes`), h('ul', { class: 'small' }, key.scopes.map((scope) => h('li', {}, h('code', {}, scope)))))],
    ['Last used', (key) => ago(key.last_used_at)],
    ['Calls a minute', (key) => (key.calls_per_minute ? number(key.calls_per_minute) : 'no limit')],
    ['Expires', (key) => (key.expires_at ? date(key.expires_at) : 'never')],
    ['Actions', (key) => may('api_keys:write') && isLive(key) && [
      !key.retires_at && h('button', { type: 'button', class: 'quiet', 'aria-label': `Rotate ${key.name}`, click: () => rotate(key, list) }, 'Rotate'),
      h('button', { type: 'button', class: 'quiet', 'aria-label': `Revoke ${key.name}`, click: () => revoke(key, list) }, 'Revoke'),
    ], 'end'],
  ], items);
}

// Making one
// ---------------------------------------------------------------------------------------------------------------------

const EXPIRY = [['30', 'In 30 days'], ['90', 'In 90 days'], ['365', 'In a year'], ['', 'Never']];

async function createKey(list) {
  const { items: permissions } = await get('/api/v1/permissions');
  const boxes = permissions.filter(({ name }) => may(name)).map(({ name: scope, description }) => h('label', { class: 'check' },
    h('input', { type: 'checkbox', name: 'scopes', value: scope }),
    h('span', {}, h('code', { class: 'strong' }, scope), h('span', { class: 'muted' }, description))));
  const made = await ask({
    title: 'Create an API key',
    fields: [
      field('Name', { name: 'name', required: true, maxlength: '100', autocomplete: 'off' }, 'Where it is used, so that you know it again.'),
      h('fieldset', { class: 'field' }, h('legend', {}, 'Scopes'), h('p', { class: 'hint' }, 'Choose as few as the program needs. None includes another.'), h('div', { class: 'scopes' }, boxes), h('p', { class: 'error', role: 'alert' })),
      field('Expires', select('days', EXPIRY, '90')),
      field('Calls a minute', { name: 'calls', type: 'number', min: '1', inputmode: 'numeric' }, 'Empty: no limit of its own.'),
    ],
    button: 'Create',
    work: (data, element) => {
      const scopes = new FormData(element).getAll('scopes');
      if (!scopes.length) throw new Problem(422, { errors: [{ field: 'scopes', message: 'needs one choice at least' }] });
      return post('/api/v1/api-keys', {
        name: data.name,
        scopes,
        ...(data.days && { expires_at: new Date(Date.now() + data.days * 86_400_000).toISOString() }),
        ...(data.calls && { calls_per_minute: Number(data.calls) }),
      });
    },
  });
  if (made) await showKey(made.key);
  if (made) list.load();
}

async function rotate(key, list) {
  const made = await ask({
    title: ['Rotate ', said(key.name), '?'],
    body: h('p', {}, 'You get a new key. The old one works on for the time that you choose, so that programs can change over.'),
    fields: field('The old key works for', select('grace', [['0', 'No longer'], ['3600', 'An hour more'], ['86400', 'A day more'], ['604800', 'A week more']], '86400')),
    button: 'Rotate',
    work: (data) => post(`/api/v1/api-keys/${key.id}/rotate`, { grace_seconds: Number(data.grace) }),
  });
  if (made) await showKey(made.key);
  if (made) list.load();
}

async function revoke(key, list) {
  const done = await ask({
    title: ['Revoke ', said(key.name), '?'],
    body: h('p', {}, 'Its very next request is refused. This cannot be undone.'),
    button: 'Revoke',
    danger: true,
    work: () => json('DELETE', `/api/v1/api-keys/${key.id}`),
  });
  if (done) {
    toast('The key is revoked.');
    list.load();
  }
}

/** Shows a key this once. The dialog stays until the key was copied and its reader said that it is stored: not Escape, not
 * a click outside, not the back button closes it. */
function showKey(key) {
  return new Promise((resolve) => {
    const titleId = newId('dialog');
    const warning = h('p', { class: 'alert', role: 'alert' });
    const text = h('code', { class: 'key', tabindex: '0', 'aria-label': 'The API key', copy: () => copied() }, key);
    const stored = h('input', { type: 'checkbox', disabled: true, change: () => { done.disabled = !stored.checked; } });
    const done = h('button', { type: 'button', class: 'primary', disabled: true, click: () => {
      isDone = true;
      dialog.close();
    } }, 'Done');
    const copy = h('button', { type: 'button', click: async () => {
      try {
        await navigator.clipboard.writeText(text.textContent);
        copied();
      } catch {
        getSelection().selectAllChildren(text);
        warning.textContent = 'This browser does not let the page copy. The key is selected: copy it yourself.';
      }
    } }, 'Copy');
    let isDone = false;
    const copied = () => {
      stored.disabled = false;
      copy.textContent = 'Copied';
      warning.textContent = '';
    };
    const warn = () => { warning.textContent = 'Not yet: copy the key and confirm that you stored it. It is not shown again.'; };
    const dialog = h('dialog', {
      'aria-labelledby': titleId,
      closedby: 'none',
      cancel: (event) => event.preventDefault(),
      keydown: (event) => {
        if (event.key !== 'Escape') return;
        event.preventDefault();
        warn();
      },
      close: () => {
        if (!isDone) {
          dialog.showModal();
          warn();
          return;
        }
        guardPage(null);
        text.textContent = '';
        dialog.remove();
        resolve();
      },
    },
    h('h2', { id: titleId }, 'Your new API key'),
    h('p', {}, 'Copy it now and store it where secrets belong. Nobody can show it again, we neither: only its hash is kept.'),
    text,
    h('div', { class: 'actions' }, copy),
    h('label', { class: 'check' }, stored, h('span', {}, 'I have stored the key')),
    warning,
    h('div', { class: 'buttons' }, done));
    guardPage(warn);
    document.body.append(dialog);
    dialog.showModal();
  });
}
