// Dots that move along the edges, drawn on one canvas: their cost hardly depends
// on how many edges there are, and there are never more than a few hundred.

const steps = 24, most = 420, apart = 36;
const still = matchMedia('(prefers-reduced-motion: reduce)');

export function dots(canvas) {
  let lines = [], frame = 0, ratio = 1, colour = '', started = performance.now();
  const g = canvas.getContext('2d');

  const draw = (now) => {
    frame = requestAnimationFrame(draw);
    const moving = lines.filter((l) => l.speed > 0), total = moving.reduce((n, l) => n + l.length, 0);
    const gap = Math.max(apart, total / most), t = (now - started) / 1000;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, canvas.width, canvas.height);
    g.fillStyle = colour;
    g.beginPath();
    for (const l of moving) {
      for (let at = (t * l.speed + l.phase) % gap; at < l.length; at += gap) {
        const i = at / l.length * steps | 0, rest = at / l.length * steps - i;
        const x = l.points[2 * i] + (l.points[2 * i + 2] - l.points[2 * i]) * rest, y = l.points[2 * i + 1] + (l.points[2 * i + 3] - l.points[2 * i + 1]) * rest;
        g.moveTo(x + 2, y);
        g.arc(x, y, 2, 0, 7);
      }
    }
    g.fill();
  };
  const run = () => {
    const moves = !still.matches && lines.some((l) => l.speed > 0);
    canvas.dataset.moving = still.matches ? 0 : lines.filter((l) => l.speed > 0).length;
    if (moves === Boolean(frame)) return;
    if (moves) { frame = requestAnimationFrame(draw); return; }
    cancelAnimationFrame(frame);
    frame = 0;
    g.setTransform(1, 0, 0, 1, 0, 0);
    g.clearRect(0, 0, canvas.width, canvas.height);
  };
  const paint = () => { colour = getComputedStyle(document.documentElement).getPropertyValue('--accent').trim(); };
  still.addEventListener('change', run);
  addEventListener('themechange', paint);
  paint();
  return {
    // set gives the edges anew, as control points.
    set(curves, width, height) {
      ratio = Math.min(2, devicePixelRatio || 1);
      canvas.width = Math.ceil(width * ratio);
      canvas.height = Math.ceil(height * ratio);
      lines = curves.map((c, i) => ({ ...sampled(c), speed: 0, phase: i * 11 % apart }));
      return lines;
    },
    run,
    close() { cancelAnimationFrame(frame); frame = 0; still.removeEventListener('change', run); removeEventListener('themechange', paint); },
  };
}

// speedOf is how fast dots move, in pixels per second, for a rate.
export const speedOf = (rate) => (rate > 0 ? 26 + 30 * Math.log10(1 + rate) : 0);

// sampled returns points at equal distances along a curve.
function sampled([x1, y1, x2, y2, x3, y3, x4, y4]) {
  const fine = 64, xs = [], ys = [], along = [0];
  for (let i = 0; i <= fine; i++) {
    const t = i / fine, u = 1 - t;
    xs.push(u * u * u * x1 + 3 * u * u * t * x2 + 3 * u * t * t * x3 + t * t * t * x4);
    ys.push(u * u * u * y1 + 3 * u * u * t * y2 + 3 * u * t * t * y3 + t * t * t * y4);
    if (i) along.push(along[i - 1] + Math.hypot(xs[i] - xs[i - 1], ys[i] - ys[i - 1]));
  }
  const length = Math.max(1, along[fine]), points = new Float32Array(2 * steps + 4);
  for (let k = 0, i = 0; k <= steps + 1; k++) {
    const want = Math.min(1, k / steps) * length;
    while (i < fine - 1 && along[i + 1] < want) i++;
    const part = along[i + 1] > along[i] ? Math.min(1, (want - along[i]) / (along[i + 1] - along[i])) : 0;
    points[2 * k] = xs[i] + (xs[i + 1] - xs[i]) * part;
    points[2 * k + 1] = ys[i] + (ys[i + 1] - ys[i]) * part;
  }
  return { length, points };
}
