// Bars, one a day. What they show stands in a table or in their titles as well.

import { compact, day, number } from '../format.js';
import { h, newId } from '../ui.js';

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 600;
const HEIGHT = 120;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The last 31 days in UTC with what `values` has for each. */
export function lastDays(values) {
  return Array.from({ length: 31 }, (_, index) => {
    const key = new Date(Date.now() - (30 - index) * 86_400_000).toISOString().slice(0, 10);
    return [day(key), values[key] ?? 0];
  });
}

/** `bars`: [name, number], oldest first. */
export function barChart(title, bars) {
  const most = Math.max(1, ...bars.map(([, value]) => value));
  const step = WIDTH / bars.length;
  const id = newId('chart');
  const names = bars.map(([name]) => name);
  return h('figure', { class: 'figure-chart' },
    h('figcaption', { class: 'row small muted', id }, h('span', {}, title), h('span', {}, `highest ${compact(most)}`)),
    svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'chart', role: 'img', 'aria-labelledby': id },
      svg('line', { x1: 0, x2: WIDTH, y1: HEIGHT - 0.5, y2: HEIGHT - 0.5 }),
      ...bars.map(([name, value], index) => {
        const height = value ? Math.max(2, (value / most) * (HEIGHT - 4)) : 0;
        return svg('rect', { x: index * step + step * 0.12, width: step * 0.76, y: HEIGHT - height, height, rx: 2 }, svg('title', {}, `${name}: ${number(value)}`));
      })),
    h('p', { class: 'row small muted', 'aria-hidden': 'true' }, h('span', {}, names[0] ?? ''), h('span', {}, names.length > 1 ? names.at(-1) : '')));
}
