// One row of the audit log, as people read it.

import { dateTime, device, utc, words } from '../format.js';
import { badge, h, said } from '../ui.js';

const IS_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/;

export const isOperator = (row) => row.actor_type === 'operator' || row.action.startsWith('operator');

function marks(row) {
  if (isOperator(row)) return badge('Operator', 'operator');
  if (/denied|failed|refused|tripped|deleted/.test(row.action)) return badge('Attention', 'warn');
  return null;
}

const who = (row) => (row.actor_label ? said(row.actor_label) : h('span', { class: 'muted' }, row.actor_type === 'system' ? 'Limena itself' : words(row.actor_type)));

function headOf(row) {
  return [
    h('span', { class: 'event-what' }, words(row.action), ' ', marks(row)),
    h('span', { class: 'event-who' }, who(row), row.actor_type === 'api_key' && !row.actor_label?.includes('(lmn_') ? h('span', { class: 'muted' }, ' (API key)') : null),
    h('span', { class: 'event-when muted' }, dateTime(row.occurred_at)),
  ];
}

/** On the overview: one line, without details. */
export const eventLine = (row) => h('div', { class: `event event-head${isOperator(row) ? ' by-operator' : ''}` }, headOf(row));

/** In the log: a line that opens. */
export function eventRow(row) {
  const details = h('details', { class: `event${isOperator(row) ? ' by-operator' : ''}`, toggle: () => {
    if (details.open && details.childElementCount === 1) details.append(body(row));
  } }, h('summary', { class: 'event-head' }, headOf(row)));
  return details;
}

function body(row) {
  return h('div', { class: 'event-body' },
    row.changes && changesTable(row.changes),
    row.details && listOf(Object.entries(row.details).map(([name, value]) => [words(name), shown(value)])),
    listOf([
      ['Action', h('code', {}, row.action)],
      ['When', utc(row.occurred_at)],
      row.entity_type && ['On', [words(row.entity_type), ' ', h('code', {}, row.entity_id)]],
      row.actor_id && ['By', h('code', {}, row.actor_id)],
      row.ip && ['From', [h('code', {}, row.ip), row.user_agent && [' with ', said(device(row.user_agent), { title: row.user_agent })]]],
      row.request_id && ['Request', h('code', {}, row.request_id)],
    ]));
}

function listOf(pairs) {
  return h('dl', {}, pairs.filter(Boolean).map(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
}

function changesTable(changes) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Changes' }, h('table', { class: 'changes' },
    h('thead', {}, h('tr', {}, ['Field', 'Before', 'After'].map((text) => h('th', { scope: 'col' }, text)))),
    h('tbody', {}, Object.entries(changes).map(([column, [before, after]]) => h('tr', {},
      h('th', { scope: 'row' }, words(column)), h('td', { class: 'before' }, shown(before)), h('td', { class: 'after' }, shown(after)))))));
}

function shown(value) {
  if (value === null || value === undefined) return h('span', { class: 'muted' }, 'nothing');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length ? h('ul', {}, value.map((one) => h('li', {}, shown(one)))) : h('span', { class: 'muted' }, 'empty');
  if (typeof value === 'object') return listOf(Object.entries(value).map(([name, one]) => [words(name), shown(one)]));
  if (typeof value === 'string' && IS_TIME.test(value) && !Number.isNaN(Date.parse(value))) return dateTime(value);
  return said(value);
}
