// The list of tiles: only those in sight are in the page, whether ten are here or ten thousand.

import { collator, moment, span, t } from './texts.js';
import { plain } from './model.js';

const FRESH = 6000;
const TRIES = 3;
const AGAIN = 3000;

/** An element with its class, its text and its children. */
export function element(name, kind, text, ...children) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text !== undefined && text !== null) made.textContent = text;
  made.append(...children);
  return made;
}

/** Changes a text only when it is another one: most of a frame is saved by what is left alone. */
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

/** Up to two letters that stand for a name. */
export function initials(name) {
  const letter = (word) => [...new Intl.Segmenter().segment(word)][0]?.segment ?? '';
  const words = name.trim().split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const [first = '?', last = ''] = words.length > 1 ? [words[0], words.at(-1)] : words;
  // Letters of scripts that join would join.
  return `${letter(first)}\u200c${letter(last)}`.toLocaleUpperCase();
}

/** A colour that stays with a name. */
export function hue(name) {
  let hash = 0;
  for (const char of name) hash = (hash * 31 + char.codePointAt(0)) % 360;
  return hash;
}

/** The picture of somebody: the initials, until there is one. */
export function face(person) {
  const made = element('span', 'face', initials(person.name));
  made.setAttribute('aria-hidden', 'true');
  made.style.setProperty('--hue', hue(person.name));
  if (person.portrait) paint(made, person, TRIES);
  return made;
}

/** A picture that cannot be had now may be had later, where its place is still on the page. */
function paint(made, { portrait, name }, tries) {
  const picture = new Image();
  picture.alt = name || t('unnamed');
  picture.draggable = false;
  picture.addEventListener('load', () => {
    made.replaceChildren(picture);
    made.removeAttribute('aria-hidden');
  });
  picture.addEventListener('error', () => {
    if (tries > 1) setTimeout(() => made.isConnected && paint(made, { portrait, name }, tries - 1), AGAIN);
  });
  picture.src = `/portraits/${portrait}`;
}

/** A line that may be cut where it does not fit: all of it is shown to whoever points at it. */
function whole(kind, text) {
  const made = element('span', kind, undefined, element('bdi', '', text));
  made.title = text;
  return made;
}

/** What somebody, or a seat, is called within this page. */
const keyOf = (item) => item.key ?? `seat-${item.seat}`;

/** What is written of the fields of somebody. */
export const details = (person) => Object.values(person.fields).join(' · ');

/** In words what is to be known of how somebody came onto the list: nothing, where a card says so and still does. */
export const marks = (person) => [person.doubt && t('doubt-mark'), person.by_hand && t('by-hand-mark')].filter(Boolean).join(' · ');

export class Tiles {
  #model;
  #list;
  #shown = [];
  #elements = new Map();
  #heads = new Map();
  #fresh = new Map();
  #groups = [];
  #columns = 1;
  #focus = null;
  #followed = null;
  #due = false;
  #words = [];
  #metrics = null;
  query = '';
  door = null;
  sort = 'name';
  group = '';
  missing = false;

  constructor(model, list) {
    this.#model = model;
    this.#list = list;
    const redraw = () => this.draw();
    addEventListener('scroll', redraw, { passive: true });
    new ResizeObserver(() => {
      this.#metrics = null;
      redraw();
    }).observe(list.parentElement);
    list.addEventListener('keydown', (event) => this.#key(event));
    list.addEventListener('focusin', (event) => this.#focused(event.target.closest('li')?.item));
  }

  get count() { return this.#shown.length; }

  /** Reads everything anew: after the state, and after another choice of what is shown, and how. */
  rebuild() {
    const held = this.#holds(this.#focus) ? { one: this.#focus, at: this.#shown.indexOf(this.#focus) } : null;
    this.#words = plain(this.query).split(/\s+/).filter(Boolean);
    const all = this.missing ? this.#model.expected ?? [] : [...this.#model.people.values()];
    this.#shown = all.filter((item) => this.#wanted(item)).sort(this.#order);
    this.#metrics = null;
    for (const made of [...this.#elements.values(), ...this.#heads.values()]) made.remove();
    this.#elements.clear();
    this.#heads.clear();
    if (held) this.#hold(this.#shown.find((one) => keyOf(one) === keyOf(held.one)), held.at);
    this.draw();
  }

  /** Somebody came, went, or changed. */
  take({ came, went, changed, stayed }) {
    for (const item of [went, came]) {
      const seat = this.missing && item?.expected !== undefined ? this.#model.expected[item.expected] : null;
      if (seat) this.#settle(seat);
    }
    if (!this.missing) {
      if (went) this.#remove(went);
      if (came && this.#wanted(came)) {
        this.#insert(came);
        if (!stayed) this.#freshen(came);
        if (came.key === this.#followed?.key) {
          const { left } = this.#followed;
          this.#followed = null;
          if (left === document.activeElement) this.#hold(came);
        }
      }
      if (went && !came && !stayed) this.#followed = null;
      if (changed) this.#elements.get(changed)?.refresh();
    }
    if (came || went || changed) this.draw();
  }

  /** Draws with the next frame. */
  draw() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  /** Brings what depends on the time up to date. */
  tick() { for (const made of this.#elements.values()) made.tick(); }

  #wanted(item) {
    if (this.missing && !item.away) return false;
    if (!this.missing && this.door !== null && item.door !== this.door) return false;
    if (this.#words.length === 0) return true;
    item.hay ??= plain([item.name, item.door ?? '', ...Object.values(item.fields)].join('\n'));
    return this.#words.every((word) => item.hay.includes(word));
  }

  #groupOf(item) {
    if (this.group === '') return '';
    return (this.group === 'door' ? item.door : item.fields[this.group.slice(6)]) ?? t('group-without');
  }

  #order = (one, other) => {
    if (this.group !== '') {
      const [own, others] = [this.#groupOf(one), this.#groupOf(other)];
      // What only case, accents or zeros tell apart is two groups.
      if (own !== others) return collator.compare(own, others) || (own < others ? -1 : 1);
    }
    const by = this.missing || this.sort === 'name' ? collator.compare(one.name, other.name)
      : this.sort === 'newest' ? other.since - one.since : one.since - other.since;
    return by || (one.key ?? one.seat) - (other.key ?? other.seat);
  };

  #place(item) {
    let [low, high] = [0, this.#shown.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#order(this.#shown[middle], item) < 0) low = middle + 1; else high = middle;
    }
    return low;
  }

  #insert(item) { this.#shown.splice(this.#place(item), 0, item); }

  #remove(item, at = this.#place(item)) {
    if (this.#shown[at] !== item) return;
    const held = this.#holds(item);
    this.#shown.splice(at, 1);
    if (!held) return;
    this.#hold(undefined, at);
    // Who only goes to another place keeps the focus, unless it was taken elsewhere meanwhile.
    this.#followed = { key: item.key, left: document.activeElement };
  }

  #holds(item) { return item !== null && Boolean(this.#elements.get(item)?.contains(document.activeElement)); }

  /** The focus goes to this one, or to who is at this place now: whoever works with the keyboard stays in the list. */
  #hold(item, at = 0) {
    const next = item ?? this.#shown[Math.min(at, this.#shown.length - 1)];
    this.#focused(next);
    (next ? this.#tile(next) : this.#list).focus({ preventScroll: true });
  }

  #settle(seat) {
    const at = this.#place(seat);
    const there = this.#shown[at] === seat;
    const wanted = this.#wanted(seat);
    if (there && !wanted) this.#remove(seat, at);
    if (!there && wanted) this.#shown.splice(at, 0, seat);
  }

  #freshen(item) {
    if (this.#fresh.size > 200) return;
    clearTimeout(this.#fresh.get(item));
    this.#fresh.set(item, setTimeout(() => {
      this.#fresh.delete(item);
      this.#elements.get(item)?.classList.remove('fresh');
    }, FRESH));
  }

  /** Where each group begins, in rows of tiles. */
  #layout(columns) {
    const groups = [];
    let name = null;
    this.#shown.forEach((item, at) => {
      const own = this.#groupOf(item);
      if (own !== name) groups.push({ name: name = own, from: at, count: 0 });
      groups.at(-1).count += 1;
    });
    for (const group of groups) group.rows = Math.ceil(group.count / columns);
    return groups;
  }

  /** Lengths in pixels, as the style sheet has them. */
  #measure() {
    const styles = getComputedStyle(this.#list);
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const read = (name) => parseFloat(styles.getPropertyValue(name)) * rem;
    const [height, least, gap, headHeight] = ['--tile-height', '--tile-width', '--gap', '--head'].map(read);
    const width = this.#list.clientWidth;
    const columns = Math.max(1, Math.floor((width + gap) / (least + gap)));
    const forward = document.documentElement.dir === 'rtl' ? -1 : 1;
    return { gap, headHeight, columns, forward, step: height + gap, tileWidth: (width - gap * (columns - 1)) / columns };
  }

  #draw() {
    const { gap, headHeight, columns, forward, step, tileWidth } = this.#metrics ??= this.#measure();
    this.#columns = columns;
    const top = this.#list.getBoundingClientRect().top;
    const [from, to] = [-top - 2 * step, -top + innerHeight + 2 * step];
    this.#groups = this.#layout(columns);
    const kept = new Set();
    const heads = new Set();
    let y = 0;
    const draw = (item, at, x, y) => {
      kept.add(item);
      const made = this.#tile(item);
      const place = `translate(${forward * x}px, ${y}px)`;
      if (made.place !== place) made.style.transform = made.place = place;
      if (made.broad !== tileWidth) made.style.width = `${made.broad = tileWidth}px`;
      if (made.at !== at) made.setAttribute('aria-posinset', (made.at = at) + 1);
      if (made.of !== this.#shown.length) made.setAttribute('aria-setsize', made.of = this.#shown.length);
    };
    for (const group of this.#groups) {
      if (this.group !== '') {
        if (y + headHeight >= from && y <= to) {
          heads.add(group.name);
          this.#head(group).style.transform = `translate(0, ${y}px)`;
        }
        y += headHeight;
      }
      const first = Math.max(0, Math.floor((from - y) / step));
      const last = Math.min(group.rows - 1, Math.floor((to - y) / step));
      const end = Math.min(group.count, (last + 1) * columns);
      for (let at = first * columns; at < end; at += 1) {
        draw(this.#shown[group.from + at], group.from + at, (at % columns) * (tileWidth + gap), y + Math.floor(at / columns) * step);
      }
      const focus = this.#focus && !kept.has(this.#focus) && this.#elements.get(this.#focus)?.contains(document.activeElement)
        ? this.#shown.indexOf(this.#focus, group.from) - group.from : -1;
      if (focus >= 0 && focus < group.count) {
        draw(this.#focus, group.from + focus, (focus % columns) * (tileWidth + gap), y + Math.floor(focus / columns) * step);
      }
      y += group.rows * step;
    }
    this.#list.style.height = `${Math.max(0, y - gap)}px`;
    for (const [item, made] of this.#elements) if (!kept.has(item)) { made.remove(); this.#elements.delete(item); }
    for (const [name, made] of this.#heads) if (!heads.has(name)) { made.remove(); this.#heads.delete(name); }
    if (!kept.has(this.#focus)) {
      const first = kept.values().next().value;
      if (first) this.#elements.get(first).tabIndex = 0;
    }
  }

  #head(group) {
    let made = this.#heads.get(group.name);
    if (!made) {
      const title = element('h3', '', undefined, element('bdi', '', group.name), ' ', element('span', 'number'));
      made = element('li', 'head', undefined, title);
      this.#heads.set(group.name, made);
      this.#list.append(made);
    }
    say(made.querySelector('.number'), t('number', { n: group.count }));
    return made;
  }

  #tile(item) {
    let made = this.#elements.get(item);
    if (made) return made;
    made = element('li', 'tile', undefined, face(item));
    made.item = item;
    made.portrait = item.portrait;
    made.tabIndex = item === this.#focus ? 0 : -1;
    made.dataset.key = keyOf(item);
    const who = element('div', 'who', undefined, whole('name', item.name || t('unnamed')));
    const more = details(item);
    if (more) who.append(whole('more', more));
    made.append(who);
    if (item.seat !== undefined) {
      made.classList.add('missing');
      made.append(element('span', 'mark', t('missing-mark')));
      made.refresh = made.tick = () => {};
    } else {
      const since = element('time');
      since.dateTime = new Date(item.since).toISOString();
      who.append(whole('where', item.door));
      const ago = element('span', 'ago');
      const mark = element('span', 'mark');
      made.append(element('div', 'state', undefined, ago, element('span', 'since', undefined, t('since'), ' ', since), mark));
      made.tick = () => {
        const now = this.#model.now();
        say(ago, span(now - item.since));
        // After midnight with the day.
        say(since, moment(item.since, now));
      };
      made.refresh = () => {
        made.classList.toggle('doubt', Boolean(item.doubt));
        made.classList.toggle('by-hand', Boolean(item.by_hand));
        mark.textContent = marks(item);
        if (made.portrait !== item.portrait) made.querySelector('.face').replaceWith(face(item));
        made.portrait = item.portrait;
      };
      made.tick();
      made.refresh();
      made.classList.toggle('fresh', this.#fresh.has(item));
    }
    this.#elements.set(item, made);
    this.#list.append(made);
    return made;
  }

  #focused(item) {
    if (!item) return;
    const old = this.#elements.get(this.#focus);
    if (old) old.tabIndex = -1;
    this.#focus = item;
    for (const made of this.#elements.values()) made.tabIndex = made.item === item ? 0 : -1;
  }

  #key(event) {
    const at = this.#shown.indexOf(this.#focus);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const forward = document.documentElement.dir === 'rtl' ? -1 : 1;
    const last = this.#shown.length - 1;
    const to = {
      ArrowRight: at + forward, ArrowLeft: at - forward, ArrowDown: at + this.#columns, ArrowUp: at - this.#columns,
      Home: 0, End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const item = this.#shown[Math.min(last, Math.max(0, to))];
    this.#focused(item);
    // It may be far out of sight: what is in sight follows.
    const row = this.#rowTop(item);
    const view = row + this.#list.getBoundingClientRect().top;
    if (view < 120 || view > innerHeight - 160) scrollTo({ top: scrollY + view - innerHeight / 2 });
    this.#draw();
    this.#elements.get(item)?.focus({ preventScroll: true });
  }

  #rowTop(item) {
    const { step, headHeight } = this.#metrics ??= this.#measure();
    const at = this.#shown.indexOf(item);
    let y = 0;
    for (const group of this.#groups) {
      if (this.group !== '') y += headHeight;
      if (at < group.from + group.count) return y + Math.floor((at - group.from) / this.#columns) * step;
      y += group.rows * step;
    }
    return y;
  }
}

