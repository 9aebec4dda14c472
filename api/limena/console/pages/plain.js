// What the pages before a log-in share: one card, and the secret in a mail's link.

import { json } from '../session.js';
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

/** The address that a link was sent to. Shown before the link is followed: it may be somebody else's, who sent it on. */
export async function addressOf(token) {
  try {
    return (await json('POST', '/api/v1/auth/link', { body: { token }, anonymous: true })).email;
  } catch {
    return null; // whatever it is, following the link tells
  }
}
