import { go } from '../app.js';
import { enter, json } from '../session.js';
import { field, form, h, link, submit, toast } from '../ui.js';
import { plainCard, takeToken } from './plain.js';

export default function invitation() {
  const token = takeToken();
  if (!token) return plainCard('Accept an invitation', h('p', {}, 'Open the link in the mail that invited you. It works once, for seven days.'), h('p', { class: 'below' }, link('/', 'Log in')));
  return plainCard('Accept an invitation', form(
    [
      h('p', {}, 'New here? Choose a name and a password. If you have an account already, leave both empty.'),
      field('Your name', { name: 'display_name', maxlength: '100', autocomplete: 'name', autofocus: true }),
      field('Password', { name: 'password', type: 'password', autocomplete: 'new-password' }, '12 characters or more that are not easy to guess.'),
    ],
    submit('Accept'),
    async (data) => {
      const body = { token, ...Object.fromEntries(Object.entries(data).filter(([, value]) => value)) };
      const answer = await json('POST', '/api/v1/auth/invitations/accept', { body, anonymous: true });
      if (answer?.access_token) enter(answer);
      else toast('You are in. Log in to go there.');
      await go('/');
    },
  ));
}
