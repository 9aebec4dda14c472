import { go } from '../app.js';
import { enter, json } from '../session.js';
import { field, form, h, link, said, submit } from '../ui.js';
import { addressOf, plainCard, takeToken } from './plain.js';

export default async function verify() {
  const token = takeToken();
  if (!token) return plainCard('Confirm your address', h('p', {}, 'Open the link in the mail that we sent you. It works once, for one day.'), h('p', { class: 'below' }, link('/register', 'Register again'), link('/', 'Log in')));
  const address = await addressOf(token);
  // In another browser than the one that registered, whoever follows the link chooses the password.
  const password = field('Password', { name: 'password', type: 'password', required: true, disabled: true, autocomplete: 'new-password' }, 'This is another browser than the one in which you registered: choose the password here. 12 characters or more.');
  password.hidden = true;
  // A button, for programs that read mail follow links.
  return plainCard('Confirm your address', form(
    [h('p', {}, ...(address ? ['This makes the account of ', said(address, { class: 'strong' }), ' and logs you in.'] : ['This makes your account and logs you in.'])), password],
    submit('Confirm'),
    async (data) => {
      try {
        enter(await json('POST', '/api/v1/auth/verify', { body: { token, ...data }, anonymous: true }));
      } catch (error) {
        if (!error.fields?.password || !password.hidden) throw error;
        password.hidden = false;
        password.control.disabled = false;
        password.control.focus();
        return;
      }
      await go('/');
    },
  ));
}
