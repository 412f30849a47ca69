// Time series, drawn by uPlot.
import { h, setAttr, setText } from './dom.js';
import { store } from './store.js';

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
const two = (n) => String(n).padStart(2, '0');
const clock = (t) => { const d = new Date(t * 1000); return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`; };
const tall = 148;

// binary are steps of an axis of bytes.
export const binary = Array.from({ length: 42 }, (_, i) => 2 ** i);

// chart draws series over the store's times. Each series has a label, the name of
// a colour, and get, which returns its list; show formats a value; the axis ends
// at least at least.
export function chart(title, series, show, least, incrs) {
  const tip = h('div', { class: 'tip', hidden: true });
  const box = h('div', { class: 'plot', role: 'img' });
  const latest = series.map(() => h('b'));
  const now = h('span', { class: 'now' }, series.map((s, i) => h('span', {}, key(s), s.label + ' ', latest[i])));
  const root = h('figure', { class: 'chart', 'data-chart': title }, h('figcaption', {}, title, now), h('div', { class: 'frame' }, box, tip));
  let plot = null;

  const data = () => [store.times, ...series.map((s) => fit(s.get() ?? [], store.times.length))];
  const make = () => {
    plot?.destroy();
    const axis = { stroke: color('muted'), font: '11px ' + color('sans'), grid: { stroke: color('line'), width: 1 }, ticks: { show: false } };
    plot = new uPlot({
      width: Math.max(box.clientWidth, 120), height: tall, padding: [8, 6, 0, 0], legend: { show: false },
      cursor: { y: false, points: { size: 6 }, sync: { key: 'console' }, drag: { x: false } },
      scales: { x: { time: true, range: (u, min, max) => [Math.min(min, max - 60), max] }, y: { range: (u, min, max) => [0, Math.max(least, (max || 0) * 1.12)] } },
      axes: [
        { ...axis, space: 90, size: 26, values: (u, list) => list.map(clock) },
        { ...axis, size: 58, space: 32, incrs, values: (u, list) => list.map((v) => show(v)) },
      ],
      series: [{}, ...series.map((s, i) => ({
        label: s.label, stroke: color(s.color), width: 1.6, points: { show: false },
        fill: i === 0 ? color(s.color) + '1f' : undefined,
      }))],
      hooks: { setCursor: [point] },
    }, data(), box);
  };
  const value = (list, i) => (list?.[i] === null || list?.[i] === undefined ? '–' : show(list[i]));
  // point shows the values under the cursor.
  const point = (u) => {
    const i = u.cursor.idx;
    tip.hidden = i === null || i === undefined || u.cursor.left < 0;
    if (tip.hidden) return;
    tip.replaceChildren(h('span', { class: 'muted' }, clock(u.data[0][i])), ...series.map((s, n) => h('span', {}, key(s), s.label + ' ', h('b', {}, value(u.data[n + 1], i)))));
    const left = u.cursor.left + u.bbox.left / devicePixelRatio, room = box.clientWidth - tip.offsetWidth;
    tip.style.left = Math.min(room, left + 12 > room ? Math.max(0, left - tip.offsetWidth - 12) : left + 12) + 'px';
  };
  const tell = (all) => {
    series.forEach((s, n) => setText(latest[n], value(all[n + 1], store.times.length - 1)));
    setAttr(box, 'aria-label', `${title}: ${series.map((s, n) => `${s.label} ${value(all[n + 1], store.times.length - 1)}`).join(', ')}`);
  };
  const resize = new ResizeObserver(() => {
    if (box.clientWidth && !plot) make();
    else if (plot && box.clientWidth) plot.setSize({ width: box.clientWidth, height: tall });
  });
  resize.observe(box);
  addEventListener('themechange', make);
  return {
    root,
    update() {
      const all = data();
      tell(all);
      plot?.setData(all);
    },
    close() { resize.disconnect(); removeEventListener('themechange', make); plot?.destroy(); },
  };
}

const key = (s) => h('i', { class: 'key', 'data-color': s.color });

// fit makes a list as long as the times, at their end.
function fit(list, length) {
  if (list.length === length) return list;
  if (list.length > length) return list.slice(list.length - length);
  return [...Array(length - list.length).fill(null), ...list];
}
