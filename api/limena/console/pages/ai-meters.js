// How much of its AI limits a tenant has used.

import { ago, compact, dateTime, number, percent } from '../format.js';
import { badge, h, newId } from '../ui.js';

const STATES = { active: ['On', 'ok'], tripped: ['Paused', 'bad'], disabled: ['Off', 'bad'] };

export function aiMeters(quota) {
  const [text, kind] = STATES[quota.state] ?? [quota.state.replaceAll('_', ' '), 'warn'];
  return [
    h('p', {}, 'AI is ', badge(text, kind)),
    h('div', { class: 'meters' },
      gauge('Tokens this month', quota.tokens.used + quota.tokens.reserved, quota.tokens, [
        quota.tokens.reserved ? `${number(quota.tokens.reserved)} of them reserved for calls that run now. ` : null,
        'Starts anew ', dateTime(quota.tokens.resets_at), '.',
      ]),
      gauge('Calls in 60 minutes', quota.calls.used, quota.calls, quota.calls.resets_at ? ['All free again ', ago(quota.calls.resets_at), '.'] : ['No call in the last hour.'])),
  ];
}

export function gauge(label, used, { limit, remaining }, note) {
  const id = newId('meter');
  return h('div', { class: 'gauge' },
    h('p', { id }, h('span', { class: 'strong' }, label), h('span', { class: 'muted' }, percent(used, limit))),
    h('meter', { min: '0', max: limit, low: limit * 0.8, high: limit * 0.95, optimum: '0', value: used, 'aria-labelledby': id }, percent(used, limit)),
    h('p', {}, h('span', { title: number(used) }, compact(used)), ' of ', h('span', { title: number(limit) }, compact(limit)), ' used, ', h('span', { title: number(remaining) }, compact(remaining)), ' left'),
    h('p', { class: 'small muted' }, note));
}
