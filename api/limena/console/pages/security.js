// One's own sessions and password.

import { ago, dateTime, device } from '../format.js';
import { get, json, leave, post } from '../session.js';
import { ask, badge, card, field, form, h, heading, later, paged, said, submit, table, toast } from '../ui.js';

export default function security() {
  const sessions = later(() => paged((after) => get(`/api/v1/auth/sessions${after ? `?after=${encodeURIComponent(after)}` : ''}`), (items) => list(items, () => sessions.load()), null));
  return [
    heading('Security', 'Where you are logged in, and your password.'),
    card('Sessions', h('p', { class: 'muted' }, 'Each is a browser in which you are logged in. End what you do not recognise, and change your password.'), sessions,
      h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'danger', click: signOutEverywhere }, 'Sign out everywhere'))),
    card('Password', passwordForm(() => sessions.load())),
  ];
}

function list(items, changed) {
  return table('Sessions', [
    ['Device', (one) => [said(device(one.user_agent), { title: one.user_agent ?? '' }), ' ', one.current && badge('This one', 'ok')], 'main'],
    ['Address', (one) => h('code', {}, one.ip ?? '–')],
    ['Last seen', (one) => (one.current ? 'now' : ago(one.last_seen_at))],
    ['Since', (one) => dateTime(one.created_at)],
    ['Actions', (one) => !one.current && h('button', { type: 'button', class: 'quiet', 'aria-label': `End the session of ${device(one.user_agent)}`, click: () => endSession(one, changed) }, 'End'), 'end'],
  ], items);
}

async function endSession(one, changed) {
  const done = await ask({
    title: 'End this session?',
    body: h('p', {}, said(device(one.user_agent)), ' is logged out with its very next request.'),
    button: 'End session',
    danger: true,
    work: () => json('DELETE', `/api/v1/auth/sessions/${one.id}`),
  });
  if (done) {
    toast('The session has ended.');
    changed();
  }
}

function signOutEverywhere() {
  ask({ title: 'Sign out everywhere?', body: h('p', {}, 'All your sessions end, this one too. API keys go on working.'), button: 'Sign out', danger: true, work: () => leave(true) });
}

function passwordForm(changed) {
  return form(
    [
      field('Current password', { name: 'current_password', type: 'password', required: true, autocomplete: 'current-password' }),
      field('New password', { name: 'new_password', type: 'password', required: true, autocomplete: 'new-password' }, '12 characters or more that are not easy to guess. Your other sessions end.'),
    ],
    submit('Change password'),
    async (body, element) => {
      await post('/api/v1/auth/password', body);
      element.reset();
      toast('Your password is changed, and your other sessions have ended.');
      changed();
    },
    true,
  );
}
