// Where one is, what AI has used, what happened last.

import { get } from '../session.js';
import { may, myTenants, whoami } from '../shell.js';
import { badge, card, empty, h, heading, later, link, said } from '../ui.js';
import { aiMeters } from './ai-meters.js';
import { eventLine } from './events.js';

const ROLES = {
  owner: 'You may do everything here, and you alone may delete or hand over the tenant.',
  admin: 'You manage members, keys, integrations and settings.',
  member: 'You work with AI and integrations.',
  viewer: 'You may look, and change nothing.',
};

const ROUTINE = /^(refresh_token|session|mail|integration_credential|operator_access|password_reset|registration)\./; // in the log, and not what one looks for at a glance

export default function overview() {
  const me = whoami();
  if (!me.tenant) {
    return [heading('Overview'), empty('You are in no tenant', myTenants().length ? 'Choose one in the navigation.' : 'Ask someone in a tenant to invite you.')];
  }
  return [
    heading(said(me.tenant.name), ['You are ', badge(me.role, `role-${me.role}`), ' here. ', ROLES[me.role]]),
    may('ai:read') && card('AI this month', later(async () => aiMeters(await get('/api/v1/ai/quota')))),
    may('audit:read') && card(
      'What happened last',
      later(async () => {
        const page = await get('/api/v1/audit-logs?limit=50');
        const rows = page.items.filter((row) => !ROUTINE.test(row.action)).slice(0, 8);
        if (!rows.length) return empty('Nothing yet', 'Whatever changes in this tenant will be listed here.');
        return [h('div', { class: 'events' }, rows.map(eventLine)), h('p', {}, link('/settings/audit-log', 'The whole audit log'))];
      }),
    ),
    !may('audit:read') && !may('ai:read') && empty('Nothing to show here', 'Your role sees the settings on the left.'),
  ];
}
