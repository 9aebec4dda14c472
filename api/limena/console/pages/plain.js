// What the pages before a log-in share: one card, and the secret in a mail's link.

import { h } from '../ui.js';

export function plainCard(title, ...children) {
  return h('div', { class: 'plain-card' },
    h('p', { class: 'brand' }, h('img', { src: '/console/icon.svg', alt: '', width: '32', height: '32' }), 'Limena'),
    h('div', { class: 'card' }, h('h1', { tabindex: '-1' }, title), children));
}

/** The token in the address's fragment, which no server and no Referer sees. Taken out of address and history at once. */
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('token');
  if (location.hash) history.replaceState(null, '', location.pathname);
  return token;
}
