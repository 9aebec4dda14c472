import { get, json } from '../session.js';
import { may, renew, whoami } from '../shell.js';
import { ask, badge, card, field, form, h, heading, later, said, submit, toast } from '../ui.js';

export default function tenant() {
  const place = later(async () => {
    const found = await get('/api/v1/tenant');
    return [about(found, () => place.load()), may('tenant:own') && danger(found, () => place.load())];
  });
  return [heading('Tenant', 'The company or team whose data is kept apart from all others.'), place];
}

function about(found, changed) {
  const name = { name: 'name', required: true, maxlength: '100', value: found.name, readonly: !may('tenant:write') };
  return card('About', form(
    [field('Name', name), h('dl', {}, h('dt', {}, 'State'), h('dd', {}, badge(found.state, found.state === 'active' ? 'ok' : 'warn')), h('dt', {}, 'Id'), h('dd', {}, h('code', {}, found.id)))],
    may('tenant:write') && submit('Save'),
    async (body) => {
      await json('PATCH', '/api/v1/tenant', { body });
      toast('Saved.');
      await renew();
      changed();
    },
  ));
}

function danger(found, changed) {
  return card('Delete', h('p', {}, JSON.stringify(found)), h('button', { type: 'button', class: 'danger', click: changed }, 'Delete'));
}
