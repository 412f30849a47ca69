// Time series, drawn by uPlot.
import { h } from './dom.js';
import { store } from './store.js';

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const two = (n) => String(n).padStart(2, '0');
const clock = (t) => { const d = new Date(t * 1000); return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`; };

// chart draws series over the store's times. Each series has a label, the name of
// a CSS colour, and get, which returns its list; show formats a value.
export function chart(title, series, show) {
  const box = h('div', { class: 'plot' });
  const now = h('span', { class: 'now' });
  const root = h('figure', { class: 'chart' }, h('figcaption', {}, title, now), box);
  let plot = null;

  const data = () => [store.times, ...series.map((s) => fit(s.get() ?? [], store.times.length))];
  const make = () => {
    plot?.destroy();
    const axis = { stroke: color('--muted'), font: '11px ' + color('--sans'), grid: { stroke: color('--line'), width: 1 }, ticks: { show: false } };
    plot = new uPlot({
      width: Math.max(box.clientWidth, 120), height: 132, padding: [8, 4, 0, 0], legend: { show: false },
      cursor: { y: false, points: { size: 6 }, sync: { key: 'console' } },
      scales: { x: { time: true, range: (u, min, max) => [Math.min(min, max - 60), max] }, y: { range: (u, min, max) => [0, (max || 1) * 1.15] } },
      axes: [
        { ...axis, space: 90, size: 26, values: (u, list) => list.map(clock) },
        { ...axis, size: 58, space: 32, values: (u, list) => list.map((v) => show(v)) },
      ],
      series: [{}, ...series.map((s, i) => ({
        label: s.label, stroke: color(s.color), width: 1.5, points: { show: false },
        fill: i === 0 ? color(s.color) + '1c' : undefined,
      }))],
      hooks: { setCursor: [legend] },
    }, data(), box);
    legend(plot);
  };
  const legend = (u) => {
    const i = u.cursor.idx ?? store.times.length - 1;
    const parts = series.map((s, n) => {
      const v = u.data[n + 1]?.[i];
      return h('span', {}, h('i', { class: 'key', 'data-color': s.color.slice(2) }), `${s.label} ${v === null || v === undefined ? '–' : show(v)}`);
    });
    if (u.cursor.idx !== null && u.cursor.idx !== undefined) parts.unshift(h('span', {}, clock(u.data[0][i])));
    now.replaceChildren(...parts);
  };
  const resize = new ResizeObserver(() => {
    if (box.clientWidth && !plot) make();
    else if (plot && box.clientWidth) plot.setSize({ width: box.clientWidth, height: 132 });
  });
  resize.observe(box);
  addEventListener('themechange', make);
  return {
    root,
    update() { if (plot) { plot.setData(data()); legend(plot); } },
    close() { resize.disconnect(); removeEventListener('themechange', make); plot?.destroy(); },
  };
}

// fit makes a list as long as the times, at their end.
function fit(list, length) {
  if (list.length === length) return list;
  if (list.length > length) return list.slice(list.length - length);
  return [...Array(length - list.length).fill(null), ...list];
}
