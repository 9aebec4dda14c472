// Logging in, on whatever page one was going to: the address stays, and so one comes back to it.

import { show, whyEnded } from '../app.js';
import { enter, json } from '../session.js';
import { field, form, h, link, submit } from '../ui.js';
import { plainCard } from './plain.js';

export default function logIn() {
  const reason = whyEnded();
  return plainCard(
    'Log in',
    reason && h('p', { class: 'notice info', role: 'status' }, `${reason} Log in to go on where you were.`),
    form(
      [
        field('E-mail address', { name: 'email', type: 'email', required: true, autocomplete: 'username', autofocus: true }),
        field('Password', { name: 'password', type: 'password', required: true, autocomplete: 'current-password' }),
      ],
      submit('Log in'),
      async (body) => {
        enter(await json('POST', '/api/v1/auth/login', { body, anonymous: true }));
        await show(true);
      },
    ),
    h('p', { class: 'below' }, link('/password-reset', 'Forgot your password?'), link('/register', 'Create an account')),
  );
}
