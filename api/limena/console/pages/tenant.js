import { date, dateTime } from '../format.js';
import { get, json, post } from '../session.js';
import { may, renew, whoami } from '../shell.js';
import { ask, badge, card, field, form, h, heading, later, said, submit, toast } from '../ui.js';

const STATES = { active: ['Active', 'ok'], frozen: ['Frozen', 'warn'], deleting: ['Will be deleted', 'bad'] };

export default function tenant() {
  const place = later(async () => {
    const found = await get('/api/v1/tenant');
    const changed = async () => {
      await renew();
      await place.load();
    };
    // By the role: while a tenant is frozen, what its owner may do is withheld, but for taking the deletion back.
    return [about(found, changed), whoami().role === 'owner' && deletion(found, changed)];
  });
  return [heading('Tenant', 'The company or team whose data is kept apart from all others.'), place];
}

function about(found, changed) {
  const [state, kind] = STATES[found.state] ?? [found.state, 'warn'];
  const facts = h('dl', {},
    h('dt', {}, 'State'), h('dd', {}, badge(state, kind)),
    h('dt', {}, 'Since'), h('dd', {}, date(found.created_at)),
    h('dt', {}, 'Id'), h('dd', {}, h('code', {}, found.id)));
  if (!may('tenant:write')) return card('About', h('p', { class: 'strong' }, said(found.name)), facts);
  return card('About', form(
    [field('Name', { name: 'name', required: true, maxlength: '100', value: found.name, autocomplete: 'off' }), facts],
    submit('Save'),
    async (body) => {
      await json('PATCH', '/api/v1/tenant', { body });
      toast('Saved.');
      await changed();
    },
    true,
  ));
}

function deletion(found, changed) {
  if (found.deletion_due_at) {
    return card('Deletion', h('p', {}, 'This tenant and all that it holds will be erased on ', dateTime(found.deletion_due_at), '. Until then it can be read, and you can take the deletion back.'),
      h('div', { class: 'buttons' }, h('button', { type: 'button', click: () => restore(changed) }, 'Keep the tenant')));
  }
  return card('Deletion', h('p', { class: 'muted' }, 'The tenant is frozen at once and erased after 30 days: members, keys, integrations, the audit log. Until then you can take it back.'),
    may('tenant:own') && h('div', { class: 'buttons' }, h('button', { type: 'button', class: 'danger', click: () => remove(found, changed) }, 'Delete the tenant')));
}

async function remove(found, changed) {
  const done = await ask({
    title: 'Delete this tenant?',
    body: h('p', {}, 'To confirm, type its name: ', said(found.name, { class: 'strong' })),
    fields: field('Name of the tenant', { name: 'name', required: true, autocomplete: 'off' }),
    button: 'Delete',
    danger: true,
    work: (body) => json('DELETE', '/api/v1/tenant', { body }),
  });
  if (done) await changed();
}

async function restore(changed) {
  const done = await ask({ title: 'Keep the tenant?', body: h('p', {}, 'Its deletion is taken back, and everything works again.'), button: 'Keep it', work: () => post('/api/v1/tenant/restore') });
  if (done) await changed();
}
