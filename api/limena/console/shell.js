// What surrounds a page: navigation, banner, who one is. Keeps `me`, and asks for it anew every half minute.

import { Offline, get, leave, switchTenant } from './session.js';
import { badge, fill, h, link, said, toast, visible } from './ui.js';
import { dateTime } from './format.js';

const POLL = 30_000;
const SETTINGS = [
  ['/settings/tenant', 'Tenant', 'tenant:read'],
  ['/settings/members', 'Members', 'members:read'],
  ['/settings/api-keys', 'API keys', 'api_keys:read'],
  ['/settings/integrations', 'Integrations', 'integrations:read'],
  ['/settings/audit-log', 'Audit log', 'audit:read'],
  ['/settings/ai', 'AI', 'ai:read'],
  ['/settings/security', 'Security', null],
];

const PLACES = Object.fromEntries(SETTINGS.map(([path, text]) => [path, `Settings: ${text}`]));

let me = null;
let tenants = [];
let polledAt = 0;

export const whoami = () => me;
export const myTenants = () => tenants;
export const may = (permission) => me?.permissions.includes(permission) ?? false;

const banner = h('div', { class: 'banner', 'aria-live': 'polite' });
const offline = h('div', { class: 'offline', role: 'status', hidden: true }, 'Limena cannot be reached. Trying again …');
const content = h('main', { id: 'main' });
const navigation = h('nav', { id: 'navigation', popover: 'auto', 'aria-label': 'Console' });

/** Puts the frame around the page, and loads who is logged in. */
export async function openShell() {
  [me, tenants] = await Promise.all([get('/api/v1/me'), get('/api/v1/auth/tenants?limit=200').then((page) => page.items)]);
  polledAt = Date.now();
  drawNavigation();
  drawBanner();
  document.body.replaceChildren(
    h('a', { class: 'skip', href: '#main', click: (event) => { event.preventDefault(); focusPage(); } }, 'Skip to content'),
    h('div', { class: 'shell' },
      h('header', { class: 'top' },
        brand(),
        h('button', { type: 'button', class: 'menu', popovertarget: 'navigation' }, 'Menu'),
      ),
      navigation,
      h('div', { class: 'page-column' }, offline, banner, content),
    ),
  );
  return content;
}

const brand = () => link('/', [h('img', { src: '/console/icon.svg', alt: '', width: '24', height: '24' }), 'Limena'], { class: 'brand' });

/** What a screen reader says first, and where the keyboard goes on. */
export function focusPage() {
  document.querySelector('main [autofocus], main h1')?.focus();
}

function drawNavigation() {
  const item = ([path, text]) => h('li', {}, link(path, text));
  const shown = SETTINGS.filter(([, , permission]) => !permission || may(permission));
  fill(navigation,
    brand(),
    h('div', { class: 'tenant' }, tenantChoice(), me.role && badge(me.role, `role-${me.role}`)),
    h('ul', {}, item(['/', 'Overview'])),
    h('p', { class: 'group', id: 'nav-settings' }, 'Settings'),
    h('ul', { 'aria-labelledby': 'nav-settings' }, shown.map(item)),
    me.is_platform_admin ? [
      h('p', { class: 'group', id: 'nav-platform' }, 'Platform'),
      h('ul', { 'aria-labelledby': 'nav-platform' }, item(['/admin/usage', 'Usage'])),
    ] : null,
    h('div', { class: 'person' },
      h('p', {}, said(me.user.display_name, { class: 'strong' }), h('br'), said(me.user.email, { class: 'small muted' })),
      h('button', { type: 'button', class: 'quiet', click: () => leave().catch((error) => toast(error.message)) }, 'Log out'),
    ),
  );
  markCurrent();
}

function tenantChoice() {
  if (tenants.length < 2) return said(me.tenant?.name ?? 'No tenant', { class: 'strong' });
  const choice = h('select', { 'aria-label': 'Tenant', change: () => {
    choice.disabled = true;
    switchTenant(choice.value).catch((error) => {
      toast(error.message);
      choice.disabled = false;
      choice.value = me.tenant?.id ?? '';
    });
  } }, me.tenant ? null : h('option', { value: '' }, 'Choose a tenant'), tenants.map((one) => h('option', { value: one.id, selected: one.id === me.tenant?.id }, visible(one.name))));
  return choice;
}

export function markCurrent() {
  for (const one of navigation.querySelectorAll('a')) {
    if (one.pathname === location.pathname) one.setAttribute('aria-current', 'page');
    else one.removeAttribute('aria-current');
  }
  if (navigation.matches(':popover-open')) navigation.hidePopover();
}

function drawBanner() {
  fill(banner, me.notices.map((notice) =>
    h('section', { class: `notice ${['critical', 'error', 'danger'].includes(notice.severity) ? 'bad' : notice.severity === 'warning' ? 'warn' : 'info'}`, 'aria-label': notice.title },
      h('p', { class: 'strong' }, said(notice.title)),
      h('p', {}, said(notice.detail), notice.until && [' Until ', dateTime(notice.until), '.']),
      notice.action && h('p', {}, notice.action in PLACES ? link(notice.action, PLACES[notice.action]) : said(notice.action)),
    )));
}

/** Asks who one is now; calls `changed()` when that alters what a page may show. */
export async function poll(changed, isForced = false) {
  if (!me || document.hidden || (!isForced && Date.now() - polledAt < POLL - 1000)) return;
  polledAt = Date.now();
  try {
    const now = await get('/api/v1/me');
    offline.hidden = true;
    const before = me;
    me = now;
    if (JSON.stringify(before.notices) !== JSON.stringify(now.notices)) drawBanner();
    const standing = ({ role, permissions, tenant }) => JSON.stringify([role, permissions, tenant]);
    if (standing(before) !== standing(now)) {
      drawNavigation();
      changed();
    }
  } catch (error) {
    offline.hidden = !(error instanceof Offline || error.status >= 500);
  }
}

export function startPolling(changed) {
  setInterval(() => poll(changed), POLL);
  document.addEventListener('visibilitychange', () => poll(changed));
  addEventListener('online', () => poll(changed, true));
  addEventListener('offline', () => { offline.hidden = false; });
}

/** After something that changes who one is, or what the banner says. */
export const renew = () => poll(() => {}, true);

export function closeShell() {
  me = null;
  tenants = [];
}
