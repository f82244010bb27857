// The words of the page: English and German, and a further language from a file of the operator.

import { load } from './stream.js';

const OWN = ['en', 'de'];
const KEPT = 'rollcall.language';
let english = {};
let texts = {};
let plural = new Intl.PluralRules('en');
export let lang = 'en';
/** The language as this browser's region writes it: 29/11 or 11/29. */
let regional = 'en';
export let collator = new Intl.Collator('en', { sensitivity: 'base', numeric: true });
const clocks = {};

/** The text of a key, with values for its places. `count` chooses between one and other. */
export function t(key, values = {}) {
  const form = values.count === undefined ? key : `${key}.${plural.select(values.count) === 'one' ? 'one' : 'other'}`;
  const text = texts[form] ?? english[form] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === 'number' ? number(values[name]) : values[name] ?? ''));
}

/** Why somebody was not let in, in words for that person. */
export function refusal(code) {
  const keys = [`refused.${code}`, `refused.${code.split('.')[0]}`, 'refused-otherwise'];
  const known = (all) => keys.map((key) => all[key]).find(Boolean);
  return known(texts) ?? known(english);
}

export const number = (n) => new Intl.NumberFormat(regional).format(n);

/** How far the clock here is ahead of UTC at this moment, in minutes. */
const ahead = (at) => -new Date(at).getTimezoneOffset();

/** In an hour that the clock shows twice, which of the two it is: "+02:00". */
function offset(at) {
  const own = ahead(at);
  const day = 24 * 60 * 60000;
  const twice = [at - day, at + day].map(ahead).some((other) => other !== own && ahead(at + (own - other) * 60000) === other);
  if (!twice) return '';
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  return ` ${own < 0 ? '-' : '+'}${two(Math.abs(own) / 60)}:${two(Math.abs(own) % 60)}`;
}

const format = (name, options) => (at) => (clocks[name] ??= new Intl.DateTimeFormat(regional, options)).format(at) + offset(at);
// 24 hours in every language, as the tables of the command line have them.
const hours = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
export const clock = format('clock', hours);
export const dateAndClock = format('date', { weekday: 'short', day: 'numeric', month: 'short', ...hours });
export const wholeDate = format('whole', { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric', ...hours });

/** "14:03", with the day when it was another one. */
export function moment(at, now) {
  return new Date(at).toDateString() === new Date(now).toDateString() ? clock(at) : dateAndClock(at);
}

/** "12 min". */
export function span(ms) {
  const minutes = Math.max(0, Math.floor(ms / 60000));
  if (minutes < 1) return t('span-now');
  if (minutes < 60) return t('span-min', { n: minutes });
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return t('span-hours', { h: hours, m: minutes % 60 });
  return t('span-days', { d: Math.floor(hours / 24), h: hours % 24 });
}

/** Puts the words into the page. */
function translate() {
  document.documentElement.lang = lang;
  const direction = (() => {
    const locale = new Intl.Locale(lang);
    return (locale.getTextInfo?.() ?? locale.textInfo)?.direction ?? 'ltr';
  })();
  document.documentElement.dir = direction;
  for (const place of document.querySelectorAll('[data-t]')) place.textContent = t(place.dataset.t);
  for (const place of document.querySelectorAll('[data-t-label]')) place.setAttribute('aria-label', t(place.dataset.tLabel));
  for (const place of document.querySelectorAll('[data-t-place]')) place.placeholder = t(place.dataset.tPlace);
}

function speak(file) {
  texts = file.texts;
  lang = file.lang;
  regional = navigator.languages.find((one) => one.split('-')[0] === lang.split('-')[0]) ?? lang;
  plural = new Intl.PluralRules(lang);
  collator = new Intl.Collator(lang, { sensitivity: 'base', numeric: true });
  for (const name of Object.keys(clocks)) delete clocks[name];
  translate();
}

/** Begins with the language of the browser, or the one that was chosen before. `changed` is called after each choice. */
export async function begin(extra, select, changed) {
  const known = await Promise.all(OWN.map((one) => load(`/texts/${one}.json`)));
  english = known[0].texts;
  const all = extra ? [extra, ...known.filter((one) => one.lang !== extra.lang)] : known;
  for (const { lang: value, name } of all) select.add(new Option(name, value));
  const wanted = [remembered(KEPT), ...navigator.languages.flatMap((one) => [one, one.split('-')[0]])];
  const of = (one) => all.find((file) => file.lang === one);
  speak(of(wanted.find(of)) ?? all[0]);
  select.value = lang;
  select.addEventListener('change', () => {
    remember(KEPT, select.value);
    speak(of(select.value));
    changed();
  });
}

/** What this browser keeps of its user's choices; it may keep nothing. */
export function remembered(key) {
  try { return localStorage.getItem(key); } catch { return null; }
}

export function remember(key, value) {
  try { localStorage.setItem(key, value); } catch { /* It is chosen again next time. */ }
}
