import { json } from '../session.js';
import { field, form, h, link, submit } from '../ui.js';
import { plainCard, takeToken } from './plain.js';

export default function passwordReset() {
  const token = takeToken();
  const place = h('div', {}, token ? choose(token, () => place) : request(() => place));
  return plainCard(token ? 'Set a new password' : 'Forgot your password?', place, h('p', { class: 'below' }, link('/', 'Log in')));
}

function request(place) {
  return form(
    field('E-mail address', { name: 'email', type: 'email', required: true, autocomplete: 'username', autofocus: true }, 'We send a link with which you can set a new password.'),
    submit('Send the link'),
    async (body) => {
      await json('POST', '/api/v1/auth/password/forgot', { body, anonymous: true });
      place().replaceChildren(h('p', { role: 'status' }, 'If ', h('strong', {}, body.email), ' has an account, a link is on its way. It works once, for one hour.'));
    },
  );
}

function choose(token, place) {
  return form(
    field('New password', { name: 'new_password', type: 'password', required: true, autocomplete: 'new-password', autofocus: true }, '12 characters or more that are not easy to guess. You will be logged out everywhere.'),
    submit('Set password'),
    async (body) => {
      await json('POST', '/api/v1/auth/password/reset', { body: { token, ...body }, anonymous: true });
      place().replaceChildren(h('p', { role: 'status' }, 'Your password is set. Log in with it.'));
    },
  );
}
