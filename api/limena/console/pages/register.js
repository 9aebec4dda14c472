import { go } from '../app.js';
import { enter, json } from '../session.js';
import { field, form, h, link, submit } from '../ui.js';
import { plainCard } from './plain.js';

export default function register() {
  const place = h('div', {}, form(
    [
      field('Your name', { name: 'display_name', required: true, maxlength: '100', autocomplete: 'name', autofocus: true }),
      field('E-mail address', { name: 'email', type: 'email', required: true, autocomplete: 'username' }),
      field('Password', { name: 'password', type: 'password', required: true, autocomplete: 'new-password' }, '12 characters or more that are not easy to guess.'),
      field('Name of your tenant', { name: 'tenant_name', required: true, maxlength: '100', autocomplete: 'organization' }, 'The company or team whose data is kept apart from all others.'),
    ],
    submit('Create account'),
    async (body) => {
      const answer = await json('POST', '/api/v1/auth/register', { body, anonymous: true });
      if (answer.access_token) {
        enter(answer);
        await go('/');
      } else {
        place.replaceChildren(h('p', { role: 'status' }, 'Look into your mail: if everything is right, a link is on its way to ', h('strong', {}, body.email), '. It works once, for one day.'));
      }
    },
  ));
  return plainCard('Create an account', place, h('p', { class: 'below' }, link('/', 'Log in instead')));
}
