// What happened in the tenant: filtered by the address, verified, exported.

import { go } from '../app.js';
import { ago, bytes, dateTime, number, words } from '../format.js';
import { get, query, request } from '../session.js';
import { may, whoami } from '../shell.js';
import { badge, busy, empty, field, fill, form, h, heading, later, link, newId, paged, said, submit, toast } from '../ui.js';
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
    later(sealState),
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

const VERIFICATION = '/api/v1/audit-logs/verification';
let lastVerified = null; // { tenant, at }: by this page, since it was opened

async function sealState() {
  const { sealed_until: until } = await get(`${VERIFICATION}?limit=1`);
  if (!until) return h('p', {}, badge('Not sealed yet', ''), ' Rows are sealed some minutes after they were written. From then on nobody can change one unnoticed.');
  const told = h('div', { role: 'status' });
  const button = h('button', { type: 'button', class: 'quiet', click: () => busy(button, () => verify(told)).catch((error) => fill(told, h('p', { class: 'alert' }, error.message))) }, 'Verify now');
  const last = lastVerified?.tenant === whoami().tenant.id ? ['last verified ', ago(lastVerified.at)] : 'not verified since you came';
  return [h('p', { class: 'row' }, h('span', {}, badge('Sealed', 'ok'), ' up to ', dateTime(until), ', ', last, '.'), button), told];
}

/** Has the server hold every seal to its rows, page by page. */
async function verify(told) {
  const findings = [];
  let rows = 0;
  let after = null;
  do {
    const page = await get(`${VERIFICATION}${query({ limit: 50, after })}`);
    findings.push(...page.findings);
    rows += page.checked_rows;
    after = page.next;
    if (after) fill(told, h('p', {}, `${number(rows)} rows verified so far …`));
  } while (after && told.isConnected);
  lastVerified = { tenant: whoami().tenant.id, at: new Date().toISOString() };
  fill(told, findings.length
    ? h('div', { class: 'notice bad' }, h('p', { class: 'strong' }, 'This log was changed after it was sealed'),
      h('ul', {}, findings.slice(0, 20).map((one) => h('li', {}, `${words(one.kind)}: `, one.row_id && h('code', {}, one.row_id), ' ', said(one.detail)))))
    : h('p', { class: 'notice ok' }, badge('Intact', 'ok'), ` All ${number(rows)} sealed rows are as they were written.`));
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
