// Bytes, as text where they are.
import { count, h } from './dom.js';
import { json, pretty } from './sql.js';

const cut = 4096; // bytes that the server sends at most

// blob shows bytes; JSON gets colours, and lines if indent is set.
export function blob(t, indent = false) {
  const text = t.text || (t.size ? '' : '(empty)');
  const note = t.base64 ? ` (base64 of ${count(t.size)} bytes)` : t.size > cut ? ` … (${count(t.size)} bytes)` : '';
  const looks = /^\s*[{[]/.test(text) && !t.base64;
  return h('pre', { class: 'code' }, looks ? json(indent && !note ? pretty(text) : text) : text, note);
}
