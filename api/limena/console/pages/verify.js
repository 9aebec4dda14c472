import { go } from '../app.js';
import { enter, json } from '../session.js';
import { form, h, link, submit } from '../ui.js';
import { plainCard, takeToken } from './plain.js';

export default function verify() {
  const token = takeToken();
  if (!token) return plainCard('Confirm your address', h('p', {}, 'Open the link in the mail that we sent you. It works once, for one day.'), h('p', { class: 'below' }, link('/register', 'Register again'), link('/', 'Log in')));
  // A button, for programs that read mail follow links.
  return plainCard('Confirm your address', form(
    h('p', {}, 'This makes your account and logs you in.'),
    submit('Confirm'),
    async () => {
      enter(await json('POST', '/api/v1/auth/verify', { body: { token }, anonymous: true }));
      await go('/');
    },
  ));
}
