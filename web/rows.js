// A list whose rows stay the same elements while their content changes, so that a press, the focus and a selection survive.

import { el } from './dom.js';

/**
 * Shows `entries` in `list`: one row per key, in their order. It creates new rows, updates existing ones in place, removes those without an
 * entry, and moves only rows whose order changed.
 *
 * @param entries `{key, …}`  @param make (entry) → element  @param change (element, entry)
 */
export function showRows(list, entries, { make, change }) {
  const known = rowsOf.get(list) ?? new Map();
  const rows = new Map();
  for (const entry of entries) {
    if (rows.has(entry.key)) continue;
    const row = known.get(entry.key) ?? make(entry);
    known.delete(entry.key);
    rows.set(entry.key, row);
    change(row, entry);
  }
  for (const row of known.values()) row.remove();
  const kept = new Set(rows.values());
  let next = list.firstChild;
  for (const row of rows.values()) {
    while (next && !kept.has(next)) {
      const stray = next;
      next = next.nextSibling;
      stray.remove();
    }
    if (row === next) next = next.nextSibling;
    else list.insertBefore(row, next);
  }
  while (next) {
    const stray = next;
    next = next.nextSibling;
    stray.remove();
  }
  rowsOf.set(list, rows);
}

const rowsOf = new WeakMap();

/** Sets a text only if it differs, so that screen readers do not repeat it and selections stay. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows an element of this class at the end of `parent` while there is a text for it. */
export function tail(parent, className, text) {
  const known = parent.querySelector(`:scope > .${className}`);
  if (text === '') known?.remove();
  else if (known) setText(known, text);
  else parent.append(el('span', { class: className }, text));
}
