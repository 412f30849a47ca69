// Small helpers to make elements and to show numbers.

const svgNames = new Set(['svg', 'g', 'path', 'rect', 'circle', 'text', 'title', 'line', 'polyline']);

// h makes an element. Properties that are functions listen, others are attributes.
export function h(tag, props, ...children) {
  const el = svgNames.has(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === 'function') el.addEventListener(key, value);
    else el.setAttribute(key, value === true ? '' : value);
  }
  el.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return el;
}

// setText changes a text only when it differs: the page is updated every second.
export function setText(el, text) {
  if (el.textContent !== text) el.textContent = text;
}

export function setAttr(el, name, value) {
  if (value === null || value === undefined || value === false) {
    if (el.hasAttribute(name)) el.removeAttribute(name);
  } else if (el.getAttribute(name) !== String(value)) el.setAttribute(name, value);
}

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

export const count = (n) => whole.format(n ?? 0);

export function compact(n) {
  if (!n) return '0';
  if (n < 0.05) return '<0.1';
  if (n < 10) return n.toFixed(1).replace(/\.0$/, '');
  if (n < 10000) return whole.format(n);
  if (n < 1e6) return (n / 1e3).toFixed(n < 1e5 ? 1 : 0) + 'k';
  if (n < 1e9) return (n / 1e6).toFixed(n < 1e8 ? 1 : 0) + 'M';
  return (n / 1e9).toFixed(1) + 'G';
}

export const rate = (n) => compact(n) + '/s';

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i && n < 10 ? n.toFixed(1) : whole.format(n)) + ' ' + units[i];
}

export function millis(n) {
  if (!n) return '–';
  if (n < 1) return Math.max(1, Math.round(n * 1000)) + ' µs';
  if (n < 1000) return (n < 10 ? n.toFixed(1) : whole.format(n)) + ' ms';
  return (n / 1000).toFixed(1) + ' s';
}

export const percent = (n) => (n > 0 && n < 0.1 ? (n * 100).toFixed(1) : Math.round(n * 100)) + ' %';

export const hasTime = (t) => Boolean(t) && !t.startsWith('0001');

export function clock(t) {
  const d = new Date(t), today = new Date().toDateString() === d.toDateString();
  const time = d.toLocaleTimeString('en-GB');
  return today ? time : d.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' }) + ' ' + time;
}

// ago says how long ago a time was, seen from the server's clock.
export function ago(t, now) {
  const s = Math.max(0, Math.round((new Date(now) - new Date(t)) / 1000));
  if (s < 60) return s + ' s';
  if (s < 3600) return Math.floor(s / 60) + ' min ' + (s % 60 && s < 600 ? (s % 60) + ' s' : '');
  if (s < 86400) return Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min';
  return Math.floor(s / 86400) + ' d ' + Math.floor(s % 86400 / 3600) + ' h';
}

const shapes = { // told apart without colour as well
  ok: 'M8 3a5 5 0 1 0 .001 0z',
  warn: 'M8 2.5l6 11h-12z',
  bad: 'M3.5 3.5h9v9h-9z',
  off: 'M8 3a5 5 0 1 0 .001 0zM8 5a3 3 0 1 1-.001 0z',
  unknown: 'M8 6a2 2 0 1 0 .001 0z',
};
const words = { ok: 'well', warn: 'needs attention', bad: 'blocked', off: 'disabled', unknown: 'not known yet' };

// mark is the sign of a level, setLevel changes it.
export function mark(level, size = 12) {
  const svg = h('svg', { class: 'mark', viewBox: '0 0 16 16', width: size, height: size, role: 'img' }, h('title'), h('path'));
  setLevel(svg, level);
  return svg;
}

export function setLevel(svg, level) {
  if (svg.dataset.level === level) return;
  svg.dataset.level = level;
  svg.firstChild.textContent = words[level];
  svg.lastChild.setAttribute('d', shapes[level]);
}
