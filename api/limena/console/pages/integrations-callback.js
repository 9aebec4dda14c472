// Where a provider sends the browser back to. Code and state leave the address at once; the state names the provider.

import { go } from '../app.js';
import { post } from '../session.js';
import { h, heading, later, link, toast } from '../ui.js';

let returned = null; // kept over a log-in in between; used once

export default function callback() {
  const asked = new URLSearchParams(location.search);
  if (asked.has('state')) {
    returned = Object.fromEntries(['code', 'state', 'error', 'iss'].map((name) => [name, asked.get(name)]).filter(([, value]) => value));
    history.replaceState(null, '', location.pathname);
  }
  const provider = /^[a-z-]+(?=\.)/.exec(returned?.state ?? '')?.[0];
  if (!provider) return [heading('Nothing to connect', 'This page is where a provider sends you back to.'), h('p', {}, link('/settings/integrations', 'Integrations'))];
  const body = returned;
  return [heading('Connecting'), later(async () => {
    returned = null;
    await post(`/api/v1/integrations/${provider}/callback`, body);
    toast('Connected.');
    await go('/settings/integrations');
    return null;
  }, 'Connecting …'), h('p', {}, link('/settings/integrations', 'Back to the integrations'))];
}
