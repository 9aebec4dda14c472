// Numbers, sizes, times and names as people read them. Refuses to make markup: text and <time> elements alone.

const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const NUMBER = new Intl.NumberFormat();
const COMPACT = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const PERCENT = new Intl.NumberFormat(undefined, { style: 'percent', maximumFractionDigits: 0 });
const RELATIVE = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const STEPS = [['day', 86400], ['hour', 3600], ['minute', 60]];

export const number = (value) => NUMBER.format(value);
export const compact = (value) => COMPACT.format(value);
export const percent = (part, whole) => PERCENT.format(whole ? part / whole : 0);

export function bytes(count) {
  const units = ['byte', 'kilobyte', 'megabyte', 'gigabyte'];
  let index = 0;
  while (count >= 1000 && index < units.length - 1) {
    count /= 1000;
    index += 1;
  }
  const style = { style: 'unit', unit: units[index], maximumFractionDigits: index ? 1 : 0 };
  return new Intl.NumberFormat(undefined, style).format(count);
}

export function utc(iso) {
  return `${new Date(iso).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

function timeElement(iso, text) {
  const element = document.createElement('time');
  element.dateTime = iso;
  element.title = utc(iso);
  element.textContent = text;
  return element;
}

/** In the reader's zone, with the exact UTC in the title. */
export function dateTime(iso) {
  return iso ? timeElement(iso, DATE_TIME.format(new Date(iso))) : '–';
}

/** A day that is a day in UTC, as `2026-11-25`. */
export const day = (text) => new Date(`${text}T00:00:00Z`).toLocaleDateString(undefined, { timeZone: 'UTC', dateStyle: 'medium' });

export function date(iso) {
  return iso ? timeElement(iso, DATE.format(new Date(iso))) : '–';
}

/** “3 hours ago”, within a month; a date beyond. */
export function ago(iso) {
  if (!iso) return 'never';
  const seconds = (new Date(iso) - Date.now()) / 1000;
  if (Math.abs(seconds) > 30 * 86400) return date(iso);
  const [unit, size] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? [null, 1];
  return timeElement(iso, unit ? RELATIVE.format(Math.round(seconds / size), unit) : 'just now');
}

/** `api_key.created` → “API key created”. */
export function words(code) {
  const text = String(code ?? '').replace(/[._-]+/g, ' ').replace(/\b(api|ai|ip|id|csv|url)\b/gi, (short) => short.toUpperCase());
  return text.charAt(0).toUpperCase() + text.slice(1);
}

// A browser names its forebears, too: the first of these that it names is what it is.
const BROWSERS = { Edg: 'Edge', OPR: 'Opera', Firefox: 'Firefox', Chrome: 'Chrome', Safari: 'Safari' };
const SYSTEMS = { Windows: 'Windows', Android: 'Android', iPhone: 'iPhone', iPad: 'iPad', 'Mac OS X': 'macOS', Linux: 'Linux' };

/** What a browser says of itself, as short as it can be told. */
export function device(agent) {
  if (!agent) return 'Unknown device';
  const [browser, system] = [BROWSERS, SYSTEMS].map((names) => names[Object.keys(names).find((name) => agent.includes(name))]);
  if (!browser) return agent.length > 60 ? `${agent.slice(0, 60)}…` : agent;
  return system ? `${browser} on ${system}` : browser;
}
