// Elements, forms, dialogs and tables. Everything that is shown becomes a text node: nothing in the console parses HTML,
// and the page's CSP (Trusted Types without a policy) refuses whatever would.

import { Ended, Offline } from './session.js';

/** An element. Attributes: functions are listeners, booleans are set or left out. Children: nodes, text, lists, null. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  return fill(element, children);
}

/** Replaces what is in an element. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(4).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Marks that would change the order of what is read, and control characters, as what they are. */
export const visible = (text) => String(text ?? '').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (mark) => `[U+${mark.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}]`);

/** Text that somebody wrote, isolated from what stands around it. */
export const said = (text, attributes = {}) => h('bdi', { dir: 'auto', ...attributes }, visible(text));

export const badge = (text, kind = '') => h('span', { class: `badge ${kind}` }, text);

export const link = (href, text, attributes = {}) => h('a', { href, ...attributes }, text);

let numbered = 0;
export const newId = (word) => `${word}-${(numbered += 1)}`;

// States of a page
// ---------------------------------------------------------------------------------------------------------------------

export const loading = (what = 'Loading …') => h('p', { class: 'state', role: 'status' }, h('span', { class: 'spinner', 'aria-hidden': 'true' }), what);

export function empty(title, detail, action) {
  return h('div', { class: 'state empty' }, h('p', { class: 'strong' }, title), detail && h('p', {}, detail), action);
}

/** What went wrong, and a way to try again. */
export function failure(error, retry) {
  if (error instanceof Ended) return h('p', { class: 'state' });
  const isOffline = error instanceof Offline;
  const title = isOffline ? 'Limena cannot be reached' : error.status === 403 ? 'Not for your role' : 'This did not work';
  const detail = isOffline ? 'Check your connection. Nothing was lost.' : error.message;
  return h(
    'div',
    { class: 'state empty', role: 'alert' },
    h('p', { class: 'strong' }, title),
    h('p', {}, detail, error.permission ? [' It needs the permission ', h('code', {}, error.permission), '.'] : null),
    error.requestId && h('p', { class: 'small' }, 'Request ', h('code', {}, error.requestId)),
    retry && h('button', { type: 'button', click: retry }, 'Try again'),
  );
}

/** A place that shows what `make` resolves to: loading meanwhile, a failure with a button instead. */
export function later(make, what) {
  const place = h('div', { class: 'later' });
  place.load = async () => {
    if (!place.childElementCount) place.replaceChildren(loading(what));
    try {
      fill(place, await make());
    } catch (error) {
      if (!(error instanceof Ended)) console.info(error.message);
      place.replaceChildren(failure(error, place.load));
    }
  };
  place.load();
  return place;
}

const toasts = h('div', { class: 'toasts', role: 'status' });
export function toast(text) {
  if (!toasts.isConnected) document.body.append(toasts);
  const one = h('p', {}, text);
  toasts.append(one);
  setTimeout(() => one.remove(), 6000);
}

// Pages
// ---------------------------------------------------------------------------------------------------------------------

export function heading(title, detail, ...actions) {
  return h(
    'header',
    { class: 'page' },
    h('div', {}, h('h1', { tabindex: '-1' }, title), detail && h('p', { class: 'muted' }, detail)),
    actions.length ? h('div', { class: 'actions' }, actions) : null,
  );
}

export function card(title, ...children) {
  const id = newId('card');
  return h('section', { class: 'card', 'aria-labelledby': id }, h('h2', { id }, title), children);
}

// Tables
// ---------------------------------------------------------------------------------------------------------------------

/** `columns`: [label, (row) => node, class]. On a narrow screen each row is a block, so roles are named. */
export function table(caption, columns, rows) {
  return h(
    'table',
    { role: 'table' },
    h('caption', { class: 'hidden' }, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, columns.map(([label, , kind]) =>
      h('th', { role: 'columnheader', scope: 'col', class: kind }, kind === 'end' ? h('span', { class: 'hidden' }, label) : label)))),
    h('tbody', { role: 'rowgroup' }, rows.map((row) =>
      h('tr', { role: 'row' }, columns.map(([label, cell, kind]) => h('td', { role: 'cell', class: kind, 'data-label': label }, cell(row)))))),
  );
}

/** A list that grows by pages. `load(after)` answers {items, next}; `show(items)` makes one page's element. */
export async function paged(load, show, none) {
  const first = await load(null);
  if (!first.items.length) return none;
  const list = h('div', { class: 'pages' }, show(first.items));
  let { next } = first;
  const more = h('button', { type: 'button', click: () => busy(more, async () => {
    const page = await load(next);
    list.append(show(page.items));
    next = page.next;
    more.hidden = !next;
  }).catch((error) => toast(error.message)) }, 'Show more');
  more.hidden = !next;
  return [list, more];
}

// Forms
// ---------------------------------------------------------------------------------------------------------------------

/** A labelled control. `control`: an input's attributes, or an element. `element.control` is the control. */
export function field(label, control, hint) {
  const id = newId('field');
  const input = control instanceof Node ? control : h('input', control);
  input.id = id;
  const describedBy = [hint && `${id}-hint`, `${id}-error`].filter(Boolean).join(' ');
  input.setAttribute('aria-describedby', describedBy);
  const element = h(
    'div',
    { class: 'field' },
    h('label', { for: id }, label, input.required ? null : h('span', { class: 'optional' }, ' (optional)')),
    hint && h('p', { class: 'hint', id: `${id}-hint` }, hint),
    input,
    h('p', { class: 'error', id: `${id}-error` }),
  );
  element.control = input;
  return element;
}

export function select(name, options, value, attributes = {}) {
  return h('select', { name, required: true, ...attributes }, options.map(([key, text]) => h('option', { value: key, selected: key === value }, text)));
}

/** Holds a button while something runs, so that it happens once. */
export async function busy(button, work) {
  if (button.getAttribute('aria-disabled') === 'true') return;
  button.setAttribute('aria-disabled', 'true');
  try {
    return await work();
  } finally {
    button.removeAttribute('aria-disabled');
  }
}

/** Shows at each control what the server said of it, the rest in `alert`. */
export function showProblem(form, alert, error) {
  if (error instanceof Ended) return;
  const rest = [];
  const fields = Object.entries(error.fields ?? {});
  for (const [name, message] of fields) {
    const control = [...form.elements].find((one) => one.name === name && one.closest('.field'));
    const place = control?.closest('.field').querySelector('.error');
    if (place) {
      place.textContent = `This ${message}.`;
      control.setAttribute('aria-invalid', 'true');
    } else rest.push(`${name} ${message}`);
  }
  if (fields.length) form.querySelector('[aria-invalid]')?.focus();
  const wait = error.status === 429 && error.retryAfter ? ` Try again in ${error.retryAfter} seconds.` : '';
  alert.textContent = fields.length ? rest.join('. ') : error.message + wait;
  if (!(error.status || error instanceof Offline)) console.info(error.message);
}

/** A form whose button runs `work(data)`; problems are shown in it. */
export function form(children, buttons, work, slim = false) {
  const alert = h('p', { class: 'alert', role: 'alert' });
  const element = h('form', { class: slim && 'slim', submit: (event) => {
    event.preventDefault();
    const button = event.submitter ?? element.querySelector('[type=submit]');
    alert.textContent = '';
    for (const place of element.querySelectorAll('.field .error')) place.textContent = '';
    for (const control of element.querySelectorAll('[aria-invalid]')) control.removeAttribute('aria-invalid');
    busy(button, async () => work(Object.fromEntries(new FormData(element)), element)).catch((error) => showProblem(element, alert, error));
  } }, children, alert, h('div', { class: 'buttons' }, buttons));
  return element;
}

export const submit = (text, kind = 'primary') => h('button', { type: 'submit', class: kind }, text);

// Dialogs
// ---------------------------------------------------------------------------------------------------------------------

/** A modal dialog with a form. `work(data)` runs on its button; the dialog closes when that has worked. Resolves to
 * what `work` returned; undefined when it was cancelled. */
export function ask({ title, body = [], fields = [], button, danger = false, work }) {
  return new Promise((resolve) => {
    let result;
    const titleId = newId('dialog');
    const dialog = h('dialog', { 'aria-labelledby': titleId, closedby: 'closerequest', close: () => {
      dialog.remove();
      resolve(result);
    } });
    dialog.append(form(
      [h('h2', { id: titleId }, title), body, fields],
      [h('button', { type: 'button', click: () => dialog.close() }, 'Cancel'), submit(button, danger ? 'danger' : 'primary')],
      async (data, element) => {
        result = (await work(data, element)) ?? true;
        dialog.close();
      },
    ));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Asks for a reason, and says what will happen. */
export function askReason({ title, body, button, danger, fields = [], work }) {
  const reason = h('textarea', { name: 'reason', required: true, rows: '3', maxlength: '500' });
  return ask({ title, body, button, danger, fields: [...fields, field('Reason', reason, 'It stands in the audit log, where the tenant reads it.')], work });
}
