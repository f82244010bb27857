// What is out of order, in words: at the head of the page, and on the muster list.

import { moment, t } from './texts.js';

/** Each with what it is, what that means, and for a silent terminal when it said its last word. */
export function faults({ readers, service_lost: service, server_away: server, store_away: store }, now) {
  const since = (at) => moment(at, now);
  const all = [];
  if (service) all.push({ what: t('fault-service', { time: since(service) }), means: t('fault-service-means') });
  for (const { door, fault, since: at } of readers) {
    if (fault === 'silent') {
      const what = at ? t('fault-silent', { door, time: since(at) }) : t('fault-silent-ever', { door });
      all.push({ what, means: t('fault-silent-means'), at });
    } else if (fault === 'no_service') {
      all.push({ what: t('fault-no-service', { door, time: since(at) }), means: t('fault-silent-means') });
    } else if (fault) {
      all.push({ what: t(fault === 'broken' ? 'fault-broken' : 'fault-unplugged', { door, time: since(at) }), means: '' });
    }
  }
  if (server) all.push({ what: t('fault-server', { time: since(server) }), means: t('fault-server-means') });
  if (store) all.push({ what: t('fault-store', { time: since(store) }), means: t('lost-means') });
  return all;
}
