// What AI may cost the tenant, what it has cost, and the switches.

import { ago, compact, dateTime, day, number } from '../format.js';
import { get, json, post, query } from '../session.js';
import { may, renew } from '../shell.js';
import { ask, badge, card, empty, field, form, h, heading, later, paged, said, submit, table, toast } from '../ui.js';
import { aiMeters } from './ai-meters.js';
import { barChart, lastDays } from './chart.js';

const VIEWS = [['day', 'By day'], ['model', 'By model'], ['user', 'By person'], ['api_key', 'By API key']];

export default function ai() {
  const place = later(async () => {
    const quota = await get('/api/v1/ai/quota');
    const changed = async () => {
      await renew();
      await place.load();
    };
    return [
      card('Now', aiMeters(quota), quota.trip && trip(quota, changed)),
      may('ai:write') && card('Settings', settings(quota, changed)),
    ];
  });
  return [
    heading('AI', 'Every AI call is reserved before it is made, so that no limit is ever passed. A pause stops AI alone: everything else goes on.'),
    place,
    card('Use', usage()),
  ];
}

function trip(quota, changed) {
  const velocity = quota.trip.cause === 'velocity';
  return h('div', { class: 'notice bad' },
    h('p', { class: 'strong' }, velocity ? 'Paused: too many calls within an hour' : 'Paused: the month’s tokens are used up'),
    h('p', {}, 'Since ', dateTime(quota.trip.tripped_at), '. AI goes on ', ago(quota.trip.ends_at), ', at ', dateTime(quota.trip.ends_at), '.'),
    velocity && may('tenant:own') && h('p', {}, h('button', { type: 'button', click: () => reset(changed) }, 'End the pause now')));
}

async function reset(changed) {
  const done = await ask({
    title: 'End the pause?',
    body: h('p', {}, 'AI calls are let through at once, and the hour is counted anew. It is recorded that you did this.'),
    button: 'End the pause',
    work: () => post('/api/v1/ai/quota/reset'),
  });
  if (done) {
    toast('AI is on again.');
    await changed();
  }
}

function settings(quota, changed) {
  const { is_enabled: isOn, is_allowed: isAllowed, max_calls_per_hour: maxCalls, max_tokens_per_month: maxTokens } = quota.settings;
  const limit = (label, name, value, max) => field(label, { name, type: 'number', min: '1', max, value, required: true, inputmode: 'numeric' }, `${number(max)} at most: that is the platform’s limit.`);
  return [
    h('div', { class: 'row' },
      h('p', {}, 'AI is ', badge(isOn ? 'On' : 'Off', isOn ? 'ok' : 'bad'), ' in this tenant.', !isAllowed && ' The platform has switched it off; only the platform can switch it on.'),
      h('button', { type: 'button', class: isOn ? 'danger' : '', click: () => toggle(isOn, changed) }, isOn ? 'Switch AI off' : 'Switch AI on')),
    may('tenant:own') && form(
      h('div', { class: 'grid' }, limit('Calls in 60 minutes', 'calls_per_hour', quota.calls.limit, maxCalls), limit('Tokens a month', 'tokens_per_month', quota.tokens.limit, maxTokens)),
      submit('Save limits'),
      async (data) => {
        await json('PATCH', '/api/v1/ai/settings', { body: { calls_per_hour: Number(data.calls_per_hour), tokens_per_month: Number(data.tokens_per_month) } });
        toast('The limits count from now on.');
        await changed();
      },
    ),
  ];
}

async function toggle(isOn, changed) {
  const done = await ask({
    title: isOn ? 'Switch AI off?' : 'Switch AI on?',
    body: h('p', {}, isOn ? 'New AI calls are refused at once, for everyone in this tenant. Calls that run now may end.' : 'AI calls are let through again, within the limits.'),
    button: isOn ? 'Switch off' : 'Switch on',
    danger: isOn,
    work: () => json('PATCH', '/api/v1/ai/settings', { body: { is_enabled: !isOn } }),
  });
  if (done) await changed();
}

// Use
// ---------------------------------------------------------------------------------------------------------------------

function usage() {
  const place = h('div', {});
  const draw = async (by) => place.replaceChildren(later(() => usageBy(by)));
  const tabs = h('fieldset', { class: 'choices' }, h('legend', { class: 'hidden' }, 'Add up'), VIEWS.map(([by, text]) =>
    h('label', {}, h('input', { type: 'radio', name: 'by', value: by, checked: by === 'day', change: () => draw(by) }), text)));
  draw('day');
  return [tabs, place];
}

async function usageBy(by) {
  const since = new Date(Date.now() - 30 * 86_400_000).toISOString();
  const load = (after) => get(`/api/v1/ai/usage${query({ by, from: since, after, limit: by === 'day' ? 31 : 50 })}`);
  const names = by === 'user' && may('members:read') ? namesOf(await get('/api/v1/members?limit=200'), 'user_id', 'display_name')
    : by === 'api_key' && may('api_keys:read') ? namesOf(await get('/api/v1/api-keys?limit=200'), 'id', 'name') : {};
  return paged(load, (items) => [
    by === 'day' && barChart('Tokens by day, UTC', lastDays(Object.fromEntries(items.map((one) => [one.key, one.prompt_tokens + one.completion_tokens])))),
    table('AI use', [
      [VIEWS.find(([key]) => key === by)[1].slice(3).replace(/^./, (first) => first.toUpperCase()), (one) => (names[one.key] ? said(names[one.key]) : by === 'day' ? day(one.key) : h('code', {}, one.key)), 'main'],
      ['Calls', (one) => number(one.calls), 'number'],
      ['Failed', (one) => number(one.failed_calls), 'number'],
      ['Not finished', (one) => number(one.unfinished_calls), 'number'],
      ['Prompt tokens', (one) => h('span', { title: number(one.prompt_tokens) }, compact(one.prompt_tokens)), 'number'],
      ['Completion tokens', (one) => h('span', { title: number(one.completion_tokens) }, compact(one.completion_tokens)), 'number'],
      ['Average time', (one) => (one.average_latency_ms === null ? '–' : `${number(one.average_latency_ms)} ms`), 'number'],
    ], items),
  ], empty('No AI calls in the last 31 days', 'Programs reserve a call with POST /api/v1/ai/reservations before they make it.'));
}

const namesOf = (page, id, name) => Object.fromEntries(page.items.map((one) => [one[id], one[name]]));
