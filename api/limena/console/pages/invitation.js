// Joining a tenant: as whoever is logged in here, with the password of an account, or as someone new.

import { enter, get, json, resume } from '../session.js';
import { field, form, h, link, said, submit } from '../ui.js';
import { addressOf, plainCard, takeToken } from './plain.js';

const TITLE = 'Accept an invitation';

export default async function invitation() {
  const token = takeToken();
  if (!token) return plainCard(TITLE, h('p', {}, 'Open the link in the mail that invited you. It works once, for seven days.'), h('p', { class: 'below' }, link('/', 'Log in')));
  const address = await addressOf(token);
  const invited = address ? h('p', {}, 'The invitation is for ', said(address, { class: 'strong' }), '.') : h('p', {}, 'The invitation is for the address that the mail was sent to.');
  const accept = async (data, anonymous) => {
    const body = { token, ...Object.fromEntries(Object.entries(data).filter(([name, value]) => value && name !== 'kind')) };
    enter(await json('POST', '/api/v1/auth/invitations/accept', { body, anonymous }));
    location.assign('/');
  };
  if (await resume()) {
    const { user } = await get('/api/v1/me');
    return plainCard(TITLE,
      form([invited, h('p', {}, 'You are logged in as ', said(user.email, { class: 'strong' }), '.')], submit('Accept'), () => accept({}, false)),
      h('p', { class: 'below' }, link('/', 'Not now')));
  }
  const name = field('Your name', { name: 'display_name', required: true, maxlength: '100', autocomplete: 'name' });
  const password = field('Password', { name: 'password', type: 'password', required: true, autocomplete: 'new-password' }, 'For someone new: 12 characters or more that are not easy to guess.');
  const choose = (isNew) => {
    name.hidden = !isNew;
    name.control.disabled = !isNew;
    password.control.autocomplete = isNew ? 'new-password' : 'current-password';
  };
  const kind = (value, text, isNew) => h('label', {}, h('input', { type: 'radio', name: 'kind', value, checked: isNew, change: () => choose(isNew) }), text);
  return plainCard(TITLE, form(
    [invited, h('fieldset', { class: 'choices' }, h('legend', { class: 'hidden' }, 'Do you have an account?'), kind('new', 'I am new here', true), kind('known', 'I have an account', false)), name, password],
    submit('Accept'),
    (data) => accept(data, true),
  ));
}
