// Who belongs to the tenant, who is invited, and as what.

import { date } from '../format.js';
import { forget, get, json, post, query } from '../session.js';
import { may, whoami } from '../shell.js';
import { ask, badge, card, empty, field, h, heading, later, paged, said, select, table, toast } from '../ui.js';

export const ROLES = {
  viewer: 'Viewer: sees members, integrations and AI use',
  member: 'Member: also uses AI and integrations',
  admin: 'Admin: also manages members, keys, settings, and reads the audit log',
  owner: 'Owner: everything, and the tenant itself',
};
const LADDER = Object.keys(ROLES);
const mayGive = (role) => LADDER.indexOf(role) <= LADDER.indexOf(whoami().role);
const choices = () => LADDER.filter(mayGive).map((role) => [role, ROLES[role].split(':')[0]]);

export default function members() {
  const list = later(() => paged((after) => get(`/api/v1/members${query({ after })}`), (items) => memberTable(items, list), null));
  const invited = may('invitations:read') && later(() => paged(
    (after) => get(`/api/v1/invitations${query({ after })}`),
    (items) => invitationTable(items, invited),
    empty('Nobody is invited at the moment', 'Whoever you invite stands here until they have accepted.'),
  ));
  return [
    heading('Members', 'Whoever belongs to this tenant, and what their role lets them do.',
      may('invitations:write') && h('button', { type: 'button', class: 'primary', click: () => invite(invited) }, 'Invite someone')),
    card('People', list),
    invited && card('Invitations', invited),
  ];
}

const person = (name, email) => h('span', { class: 'person-cell' }, said(name, { class: 'strong' }), said(email, { class: 'small muted' }));

function memberTable(items, list) {
  const me = whoami();
  return table('Members', [
    ['Person', (one) => person(one.display_name, one.email), 'main'],
    ['Role', (one) => (may('members:write') && mayGive(one.role) ? roleChoice(one, list) : badge(one.role, `role-${one.role}`))],
    ['Member since', (one) => date(one.created_at)],
    ['Actions', (one) => {
      const isMe = one.user_id === me.user.id;
      return [
        may('tenant:own') && !isMe && h('button', { type: 'button', class: 'quiet', 'aria-label': `Transfer ownership to ${one.display_name}`, click: () => transfer(one) }, 'Make owner'),
        (isMe || (may('members:write') && mayGive(one.role))) && h('button', { type: 'button', class: 'quiet', 'aria-label': isMe ? 'Leave the tenant' : `Remove ${one.display_name}`, click: () => remove(one, isMe, list) }, isMe ? 'Leave' : 'Remove'),
      ];
    }, 'end'],
  ], items);
}

function roleChoice(one, list) {
  const choice = select('role', choices(), one.role, { 'aria-label': `Role of ${one.display_name}`, change: async () => {
    choice.disabled = true;
    try {
      await json('PATCH', `/api/v1/members/${one.user_id}`, { body: { role: choice.value } });
      toast('The role is changed. It counts from the next request on.');
      list.load();
    } catch (error) {
      toast(error.message);
      choice.value = one.role;
      choice.disabled = false;
    }
  } });
  return choice;
}

async function remove(one, isMe, list) {
  const keys = select('api_keys', [['revoke', 'Revoke them'], ['transfer', 'Pass them to the owner']], 'revoke');
  const done = await ask({
    title: isMe ? 'Leave this tenant?' : ['Remove ', said(one.display_name), '?'],
    body: h('p', {}, isMe ? 'You lose access at once. Someone must invite you to come back.' : 'They lose access with their very next request. Their account stays.'),
    fields: field(isMe ? 'API keys that you made' : 'API keys that they made', keys),
    button: isMe ? 'Leave' : 'Remove',
    danger: true,
    work: (data) => json('DELETE', `/api/v1/members/${one.user_id}${query(data)}`),
  });
  if (!done) return;
  if (isMe) forget('You left the tenant.');
  else {
    toast('They are no longer a member.');
    list.load();
  }
}

async function transfer(one) {
  const done = await ask({
    title: ['Hand this tenant over to ', said(one.display_name), '?'],
    body: h('p', {}, 'They become owner, and you become admin. Only they can hand it back.'),
    button: 'Transfer ownership',
    danger: true,
    work: () => post('/api/v1/tenant/transfer-ownership', { user_id: one.user_id }),
  });
  if (done) location.reload();
}

// Invitations
// ---------------------------------------------------------------------------------------------------------------------

function invitationTable(items, list) {
  return table('Invitations', [
    ['Address', (one) => said(one.email, { class: 'strong' }), 'main'],
    ['Role', (one) => badge(one.role, `role-${one.role}`)],
    ['Good until', (one) => date(one.expires_at)],
    ['Actions', (one) => may('invitations:write') && h('button', { type: 'button', class: 'quiet', 'aria-label': `Withdraw the invitation of ${one.email}`, click: () => withdraw(one, list) }, 'Withdraw'), 'end'],
  ], items);
}

async function invite(list) {
  const roles = choices().map(([role]) => h('label', { class: 'check' },
    h('input', { type: 'radio', name: 'role', value: role, required: true }),
    h('span', {}, h('span', { class: 'strong' }, ROLES[role].split(': ')[0]), h('span', { class: 'muted' }, ROLES[role].split(': ')[1]))));
  const done = await ask({
    title: 'Invite someone',
    fields: [
      field('E-mail address', { name: 'email', type: 'email', required: true, autocomplete: 'off' }, 'They get a link that works once, for seven days, for this address alone.'),
      h('fieldset', {}, h('legend', {}, 'Role'), roles),
    ],
    button: 'Invite',
    work: (body) => post('/api/v1/invitations', body),
  });
  if (done) {
    toast('The invitation is on its way.');
    list?.load();
  }
}

async function withdraw(one, list) {
  const done = await ask({ title: 'Withdraw this invitation?', body: h('p', {}, 'The link that ', said(one.email), ' was sent stops working.'), button: 'Withdraw', danger: true, work: () => json('DELETE', `/api/v1/invitations/${one.id}`) });
  if (done) list.load();
}
