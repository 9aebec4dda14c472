// What happened in the tenant: filtered by the address, verified, exported.

import { go } from '../app.js';
import { ago, bytes, number, words } from '../format.js';
import { get, query, request } from '../session.js';
import { may } from '../shell.js';
import { badge, card, empty, field, form, h, heading, later, link, newId, paged, submit, toast } from '../ui.js';
import { eventRow } from './events.js';

const FILTERS = ['action', 'actor_id', 'entity_type', 'entity_id', 'from', 'to'];

function filtersOfAddress() {
  const asked = new URLSearchParams(location.search);
  return Object.fromEntries(FILTERS.map((name) => [name, asked.get(name)]).filter(([, value]) => value));
}

export default function auditLog() {
  const filters = filtersOfAddress();
  const isFiltered = Object.keys(filters).length > 0;
  return [
    heading('Audit log', 'Everything that changed in this tenant, and everyone who looked from outside.',
      may('audit:export') && h('button', { type: 'button', click: () => exportCsv(filters) }, 'Export CSV')),
    h('div', { class: 'verification' }, later(verification, 'Verifying …')),
    filterForm(filters, isFiltered),
    later(() => paged(
      (after) => get(`/api/v1/audit-logs${query({ ...filters, after })}`),
      (items) => h('div', { class: 'events card' }, items.map(eventRow)),
      isFiltered
        ? empty('Nothing fits these filters', 'Widen the time, or take a filter away.', link('/settings/audit-log', 'Show everything'))
        : empty('Nothing has happened yet', 'Whatever changes in this tenant will be listed here.'),
    )),
  ];
}

// Filters
// ---------------------------------------------------------------------------------------------------------------------

function filterForm(filters, isFiltered) {
  const text = (label, name, placeholder) => field(label, { name, value: filters[name] ?? '', placeholder, spellcheck: 'false', autocomplete: 'off' });
  const time = (label, name) => field(label, { name, type: 'datetime-local', value: localTime(filters[name]) });
  const advanced = ['entity_id', 'actor_id'].some((name) => filters[name]);
  return h('details', { class: 'card filters', open: isFiltered },
    h('summary', {}, 'Filter', isFiltered && [' ', badge(`${Object.keys(filters).length} set`, 'info')]),
    form(
      [
        h('div', { class: 'grid' }, text('Action', 'action', 'api_key.created'), text('Kind of thing', 'entity_type', 'api_key'), time('From', 'from'), time('Before', 'to')),
        h('details', { open: advanced }, h('summary', {}, 'By id'), h('div', { class: 'grid' }, text('Id of the thing', 'entity_id'), text('Id of who did it', 'actor_id'))),
      ],
      [submit('Apply'), isFiltered && link('/settings/audit-log', 'Clear', { class: 'button' })],
      async (data) => {
        for (const name of ['from', 'to']) data[name] &&= new Date(data[name]).toISOString();
        const checked = query(data);
        await get(`/api/v1/audit-logs${query({ ...data, limit: 1 })}`); // what the server refuses is shown at its field
        await go(`/settings/audit-log${checked}`);
      },
    ));
}

/** For a datetime-local control, which knows no zone: the reader's. */
function localTime(iso) {
  const at = new Date(iso ?? NaN);
  return Number.isNaN(at.getTime()) ? '' : new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

// Verification
// ---------------------------------------------------------------------------------------------------------------------

async function verification() {
  const state = await get('/api/v1/audit-logs/verification');
  return h('p', {}, JSON.stringify(state), words(''), ago(null));
}

// Export
// ---------------------------------------------------------------------------------------------------------------------

/** Counts the records of a CSV as its bytes come by: line ends outside of quotes. */
function recordCounter() {
  let isQuoted = false;
  let count = 0;
  return (chunk) => {
    for (const byte of chunk) {
      if (byte === 0x22) isQuoted = !isQuoted;
      else if (byte === 0x0a && !isQuoted) count += 1;
    }
    return count;
  };
}

function exportCsv(filters) {
  const stop = new AbortController();
  const titleId = newId('dialog');
  const told = h('p', { role: 'status' }, 'Asking …');
  const dialog = h('dialog', { 'aria-labelledby': titleId, closedby: 'closerequest', close: () => {
    stop.abort();
    dialog.remove();
  } },
  h('h2', { id: titleId }, 'Exporting the audit log'),
  h('p', {}, Object.keys(filters).length ? 'Only what fits the filters.' : 'All of it.'),
  h('progress', { 'aria-labelledby': titleId }), told,
  h('div', { class: 'buttons' }, h('button', { type: 'button', click: () => dialog.close() }, 'Cancel')));
  document.body.append(dialog);
  dialog.showModal();
  receive(filters, stop.signal, (text) => { told.textContent = text; }).then((blob) => {
    const url = URL.createObjectURL(blob);
    h('a', { href: url, download: `audit-log-${new Date().toISOString().slice(0, 10)}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    dialog.close();
    toast('The export is complete.');
  }).catch((error) => {
    if (error.name === 'AbortError') toast('The export was cancelled.');
    else {
      told.textContent = error.message;
      dialog.querySelector('progress').remove();
    }
  });
}

async function receive(filters, signal, tell) {
  const response = await request('GET', `/api/v1/audit-logs.csv${query(filters)}`, { signal, headers: { Accept: 'text/csv' } });
  const reader = response.body.getReader();
  const count = recordCounter();
  const chunks = [];
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(chunks, { type: 'text/csv' });
    chunks.push(value);
    size += value.length;
    tell(`${number(Math.max(count(value) - 1, 0))} rows, ${bytes(size)} so far`);
  }
}
