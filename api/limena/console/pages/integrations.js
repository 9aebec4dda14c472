// Third parties that the tenant has connected. What is pasted here is encrypted, and never comes back.

import { dateTime } from '../format.js';
import { json, get, post } from '../session.js';
import { may } from '../shell.js';
import { ask, badge, card, empty, field, h, heading, later, said, toast } from '../ui.js';

const STATES = { connected: ['Connected', 'ok'], failed: ['Refused by the provider', 'bad'], unreadable: ['Does not open', 'bad'] };
const ADVICE = {
  failed: 'The provider no longer accepts what is stored. Connect it anew.',
  unreadable: 'What is stored does not open with this server’s keys. Tell whoever runs it, or connect it anew.',
};

export default function integrations() {
  const place = later(async () => {
    const page = await get('/api/v1/integrations');
    const byProvider = Object.fromEntries(page.items.map((one) => [one.provider, one]));
    const shown = page.providers.filter((one) => one.is_available || byProvider[one.provider]);
    if (!shown.length) return empty('Nothing can be connected', 'Whoever runs this server has set up no provider.');
    return h('div', { class: 'grid cards' }, shown.map((one) => providerCard(one, byProvider[one.provider], () => place.load())));
  });
  return [heading('Integrations', 'Third parties on whose behalf your programs act. Their credentials are encrypted for this tenant alone, and nobody can read them back.'), place];
}

function providerCard(provider, found, changed) {
  const [state, kind] = found ? STATES[found.state] ?? [found.state, 'warn'] : ['Not connected', ''];
  const connect = () => (provider.kind === 'oauth' ? authorize(provider) : paste(provider, found, changed));
  return card([provider.title, badge(state, kind)],
    found ? h('dl', {},
      found.label && [h('dt', {}, 'Label'), h('dd', {}, said(found.label))],
      found.base_url && [h('dt', {}, 'Address'), h('dd', {}, said(found.base_url))],
      found.scopes && [h('dt', {}, 'Scopes'), h('dd', {}, said(found.scopes))],
      h('dt', {}, 'Since'), h('dd', {}, dateTime(found.connected_at)),
      found.failed_at && [h('dt', {}, 'Failed'), h('dd', {}, dateTime(found.failed_at))])
      : h('p', { class: 'muted' }, provider.kind === 'oauth' ? 'You log in there and say what may be used.' : 'With an API key of theirs.'),
    found && ADVICE[found.state] && h('p', { class: 'notice bad' }, ADVICE[found.state]),
    may('integrations:write') && h('div', { class: 'buttons' },
      h('button', { type: 'button', class: found ? 'quiet' : 'primary', 'aria-label': `${found ? 'Reconnect' : 'Connect'} ${provider.title}`, click: connect }, found ? 'Reconnect' : 'Connect'),
      found && h('button', { type: 'button', class: 'danger quiet', 'aria-label': `Disconnect ${provider.title}`, click: () => disconnect(provider, changed) }, 'Disconnect')));
}

async function paste(provider, found, changed) {
  const done = await ask({
    title: `Connect ${provider.title}`,
    fields: [
      field('API key', { name: 'secret', type: 'password', required: true, autocomplete: 'off' }, 'It is encrypted at once. Nobody, you neither, can see it here again.'),
      provider.takes_base_url && field('Address', { name: 'base_url', type: 'url', required: true, value: found?.base_url ?? '' }, 'A public https address.'),
      field('Label', { name: 'label', maxlength: '100', value: found?.label ?? '', autocomplete: 'off' }, 'What people call it.'),
    ],
    button: 'Connect',
    work: (data) => json('PUT', `/api/v1/integrations/${provider.provider}`, { body: Object.fromEntries(Object.entries(data).filter(([, value]) => value)) }),
  });
  if (done) {
    toast(`${provider.title} is connected.`);
    changed();
  }
}

async function authorize(provider) {
  await ask({
    title: `Connect ${provider.title}`,
    body: h('p', {}, 'You go to ', provider.title, ' now, log in there, and come back.'),
    button: 'Go there',
    work: async () => {
      const { authorization_url: url } = await post(`/api/v1/integrations/${provider.provider}/authorize`);
      if (!/^https?:$/.test(new URL(url).protocol)) throw new Error('The provider’s address is none.');
      location.assign(url);
    },
  });
}

async function disconnect(provider, changed) {
  const done = await ask({
    title: `Disconnect ${provider.title}?`,
    body: h('p', {}, 'Programs that use it fail from now on. The credentials are revoked at the provider, where it offers that, and deleted here.'),
    button: 'Disconnect',
    danger: true,
    work: () => json('DELETE', `/api/v1/integrations/${provider.provider}`),
  });
  if (done) {
    toast(`${provider.title} is disconnected.`);
    changed();
  }
}
