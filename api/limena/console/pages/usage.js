// What an operator looks at in the morning: tenants against their ceilings, what is paused or switched off, and the switches.

import { compact, dateTime, number, percent, words } from '../format.js';
import { get, post, query } from '../session.js';
import { askReason, badge, card, empty, field, h, heading, later, newId, paged, said, select, table, toast } from '../ui.js';
import { barChart, lastDays } from './chart.js';

const SORTS = [['percent', 'Nearest to the ceiling'], ['tokens', 'Most tokens'], ['calls', 'Most calls in the last hour'], ['created', 'Newest']];
const CAUSES = { velocity: 'Too many calls', ceiling: 'Ceiling reached' };

// action → [button, what it will do, whether it takes something away]
const ACTIONS = {
  'set-ai-limits': ['Change AI limits', 'The platform’s limits count at once. The owner may still set lower ones.', false],
  'reset-ai-quota': ['End the AI pause', 'The pause ends, and AI calls are let through at once.', false],
  'disable-ai': ['Switch AI off', 'Every AI call of this tenant is refused from now on. Everything else goes on. Only a platform admin can switch it on again.', true],
  'enable-ai': ['Switch AI on', 'AI calls of this tenant are let through again, within its limits.', false],
  freeze: ['Freeze the tenant', 'Nobody in this tenant can change anything; reading, logging out and revoking keys still work. Its people see a banner.', true],
  unfreeze: ['Unfreeze the tenant', 'Everything works again at once.', false],
  'revoke-api-keys': ['Revoke all API keys', 'Every API key of this tenant is refused from its next request on. This cannot be undone.', true],
};

export default function usage() {
  const place = h('div', {});
  const draw = (sort) => place.replaceChildren(later(() => overview(sort, () => draw(sort))));
  const sort = select('sort', SORTS, 'percent', { change: ({ target }) => draw(target.value) });
  draw('percent');
  return [
    heading('Usage', 'All tenants of this platform. Opening this page is an operator’s access: each tenant finds it in its log.'),
    h('div', { class: 'sort' }, field('Sort by', sort)),
    place,
  ];
}

async function overview(sort, changed) {
  let days = [];
  const load = async (after) => {
    const page = await get(`/api/v1/admin/usage${query({ sort, after, limit: 50, trend: after ? undefined : true })}`);
    days = page.days ?? days;
    return page;
  };
  const list = await paged(load, (items) => [summary(items), tenantTable(items, changed)], empty('No tenants yet', 'They appear here when they have used AI.'));
  const sums = Object.fromEntries(days.map((one) => [one.day, one.tokens]));
  return h('div', { class: 'stack' }, card('Tenants', list), card('Tokens of all tenants', barChart('By day, UTC', lastDays(sums))));
}

function summary(items) {
  const near = items.filter((one) => one.tokens.percent >= 80).length;
  const paused = items.filter((one) => one.trip).length;
  const off = items.filter((one) => !one.is_allowed || one.tenant.state !== 'active').length;
  const tile = (figure, text) => h('div', {}, h('span', { class: 'figure' }, number(figure)), h('span', { class: 'muted' }, text));
  return h('div', { class: 'tiles' }, tile(items.length, items.length === 1 ? 'tenant listed' : 'tenants listed'), tile(near, 'at 80 % or more'), tile(paused, 'paused'), tile(off, 'frozen or switched off'));
}

function tenantTable(items, changed) {
  return table('Tenants', [
    ['Tenant', (one) => h('span', { class: 'person-cell' }, said(one.tenant.name, { class: 'strong' }), h('code', { class: 'small muted' }, one.tenant.id)), 'main'],
    ['State', (one) => h('span', { class: 'badges' }, states(one), one.acts.length > 0 && lastActs(one.acts))],
    ['Tokens this month', (one) => use(one.tokens.used + one.tokens.reserved, one.tokens.limit, `Tokens of ${one.tenant.name}`)],
    ['Calls in an hour', (one) => use(one.calls.used, one.calls.limit, `Calls of ${one.tenant.name}`)],
    ['Actions', (one) => menu(one, changed), 'end'],
  ], items);
}

function states(one) {
  return [
    one.tenant.state === 'active' ? null : badge(one.tenant.state === 'frozen' ? 'Frozen' : 'Will be deleted', 'bad'),
    one.trip && h('span', {}, badge(CAUSES[one.trip.cause] ?? one.trip.cause, 'bad'), h('span', { class: 'small muted' }, ' until ', dateTime(one.trip.ends_at))),
    !one.is_allowed && badge('AI off by the platform', 'bad'),
    !one.is_enabled && badge('AI off by the tenant', 'warn'),
    one.tenant.state === 'active' && !one.trip && one.is_allowed && one.is_enabled && badge('All on', 'ok'),
  ];
}

/** Why the switches stand as they do. */
function lastActs(acts) {
  return h('details', { class: 'small' }, h('summary', {}, ACTIONS[acts[0].action]?.[0] ?? words(acts[0].action), ': ', said(acts[0].reason)),
    h('ul', {}, acts.map((act) => h('li', {}, dateTime(act.occurred_at), ', ', said(act.actor_label), ': ', ACTIONS[act.action]?.[0] ?? words(act.action), ', “', said(act.reason), '”'))));
}

function use(used, limit, label) {
  return h('span', { class: 'use' },
    h('span', { title: `${number(used)} of ${number(limit)}` }, `${compact(used)} of ${compact(limit)}`, h('span', { class: 'muted' }, ` · ${percent(used, limit)}`)),
    h('meter', { min: '0', max: limit, low: limit * 0.8, high: limit * 0.95, optimum: '0', value: used, 'aria-label': label }, percent(used, limit)));
}

function menu(one, changed) {
  const fitting = Object.keys(ACTIONS).filter((action) => ({
    'reset-ai-quota': one.trip,
    'disable-ai': one.is_allowed,
    'enable-ai': !one.is_allowed,
    freeze: one.tenant.state === 'active',
    unfreeze: one.tenant.state === 'frozen',
  })[action] ?? !['reset-ai-quota', 'disable-ai', 'enable-ai', 'freeze', 'unfreeze'].includes(action));
  const id = newId('menu');
  const list = h('div', { id, popover: 'auto', class: 'menu-list' }, h('p', { class: 'strong' }, said(one.tenant.name)), fitting.map((action) =>
    h('button', { type: 'button', class: ACTIONS[action][2] ? 'quiet danger' : 'quiet', click: () => {
      list.hidePopover();
      act(one, action, changed);
    } }, ACTIONS[action][0])));
  return [h('button', { type: 'button', class: 'quiet', popovertarget: id, 'aria-label': `Actions on ${one.tenant.name}` }, 'Actions'), list];
}

async function act(one, action, changed) {
  const [text, effect, isDanger] = ACTIONS[action];
  const limit = (label, name, value) => field(label, { name, type: 'number', min: '1', value, required: true, inputmode: 'numeric' });
  const done = await askReason({
    title: [text, ': ', said(one.tenant.name)],
    body: h('p', {}, effect),
    fields: action === 'set-ai-limits' ? [limit('Calls in 60 minutes', 'calls_per_hour', one.calls.limit), limit('Tokens a month', 'tokens_per_month', one.tokens.limit)] : [],
    button: text,
    danger: isDanger,
    work: (data) => post(`/api/v1/admin/tenants/${one.tenant.id}/${action}`, {
      reason: data.reason,
      ...(action === 'set-ai-limits' && { calls_per_hour: Number(data.calls_per_hour), tokens_per_month: Number(data.tokens_per_month) }),
    }),
  });
  if (!done) return;
  toast('Done. It stands in the tenant’s log and in the platform’s.');
  changed();
}
