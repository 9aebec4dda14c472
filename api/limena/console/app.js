// The console starts here: which page a path is, who may see it, and what a click on a link does.

import { Ended, isIn, resume, whenEnded, whenStarted } from './session.js';
import { closeShell, focusPage, markCurrent, openShell, startPolling } from './shell.js';
import { failure, fill, h, heading, loading } from './ui.js';

// path → [title, module, whether it is for those who are not logged in]
const PAGES = {
  '/': ['Overview', './pages/overview.js'],
  '/register': ['Create an account', './pages/register.js', true],
  '/verify': ['Confirm your address', './pages/verify.js', true],
  '/invitation': ['Accept an invitation', './pages/invitation.js', true],
  '/password-reset': ['Set a new password', './pages/password-reset.js', true],
  '/settings/tenant': ['Tenant', './pages/tenant.js'],
  '/settings/members': ['Members', './pages/members.js'],
  '/settings/api-keys': ['API keys', './pages/api-keys.js'],
  '/settings/integrations': ['Integrations', './pages/integrations.js'],
  '/settings/integrations/callback': ['Connecting', './pages/integrations-callback.js'],
  '/settings/audit-log': ['Audit log', './pages/audit-log.js'],
  '/settings/ai': ['AI', './pages/ai.js'],
  '/settings/security': ['Security', './pages/security.js'],
  '/admin/usage': ['Usage', './pages/usage.js'],
};

let place = null; // the <main> of the shell; null while there is none
let guard = null; // what is asked before the page is left
let afterGuard = null; // what waits until the page may be left
let turn = 0;

/** Until it is called with null: `warn()` instead of leaving the page, however that is tried. */
export function guardPage(warn) {
  guard = warn && { warn, url: location.href };
  if (!guard) {
    afterGuard?.();
    afterGuard = null;
  }
}

export function go(path) {
  if (guard) return guard.warn();
  history.pushState(null, '', path);
  return show(true);
}

/** Shows the page of the address. */
export async function show(hasMoved = false) {
  const mine = (turn += 1);
  const [title, module, isPublic] = PAGES[location.pathname] ?? ['Not found', null, true];
  document.title = `${title} · Limena`;
  try {
    if (isPublic) {
      place = null;
      const main = plain();
      await draw(main, module, mine);
    } else if (!isIn() && !(await resume())) {
      place = null;
      document.title = 'Log in · Limena';
      await draw(plain(), './pages/log-in.js', mine);
    } else {
      place ??= await openShell();
      if (mine !== turn) return;
      sessionEnded = '';
      markCurrent();
      place.replaceChildren(loading());
      await draw(place, module, mine);
    }
    if (mine === turn && hasMoved) focusPage();
  } catch (error) {
    if (error instanceof Ended || mine !== turn) return;
    console.info(error.message);
    (place ?? plain()).replaceChildren(h('h1', { tabindex: '-1' }, title), failure(error, () => show(hasMoved)));
  }
}

async function draw(main, module, mine) {
  const page = module ? await import(module) : { default: notFound };
  const nodes = await page.default();
  if (mine === turn) fill(main, nodes);
}

function notFound() {
  return [heading('There is no such page', 'The address may be mistyped.'), h('p', {}, h('a', { href: '/' }, 'Go to the overview'))];
}

/** The frame of pages that come before a log-in. */
function plain() {
  const main = h('main', { class: 'plain', id: 'main' }, loading());
  document.body.replaceChildren(main);
  return main;
}

document.addEventListener('click', (event) => {
  const anchor = event.target.closest?.('a[href]');
  if (!anchor || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.defaultPrevented) return;
  if (anchor.origin !== location.origin || anchor.target || anchor.download || !(anchor.pathname in PAGES)) return;
  event.preventDefault();
  go(anchor.pathname + anchor.search);
});

addEventListener('popstate', () => {
  if (guard) {
    history.pushState(null, '', guard.url);
    guard.warn();
  } else show(true);
});

addEventListener('beforeunload', (event) => {
  if (guard) event.preventDefault();
});

whenEnded((reason) => {
  // A key that was not stored yet stays, whatever becomes of the session.
  if (guard) afterGuard = () => leaveShell(reason);
  else leaveShell(reason);
});

function leaveShell(reason) {
  place = null;
  closeShell();
  for (const dialog of document.querySelectorAll('dialog')) dialog.remove();
  sessionEnded = reason;
  if (!PAGES[location.pathname]?.[2]) show();
}

// Anew, with nothing of who was here before. A page that came with a mail's link keeps its token.
whenStarted(() => {
  if (isIn() || !PAGES[location.pathname]?.[2]) location.reload();
});

/** Why the last session ended, for the log-in page. */
let sessionEnded = '';
export const whyEnded = () => sessionEnded;

startPolling(() => show());
show();
