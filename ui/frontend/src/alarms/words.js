// Alarms in words, shapes and order. A state is never told by colour alone.
import { t } from '../lib/i18n.js';
import { said } from '../lib/said.js';

export const PRIORITIES = ['urgent', 'high', 'medium', 'low'];
export const SIGN = { urgent: '▲', high: '◆', medium: '■', low: '●' };
export const PRIORITY = { urgent: t('urgent'), high: t('high'), medium: t('medium'), low: t('low') };
export const rank = (row) => PRIORITIES.indexOf(row.priority);

const STATE = {
  NORM: t('Normal'), UNACK: t('Not acknowledged'), ACKED: t('Acknowledged'),
  RTNUN: t('Over, not acknowledged'), LATUN: t('Over, latched, not acknowledged'),
  LATACK: t('Over, latched: to be reset'),
};
const OVERLAY = { SHLVD: t('Shelved'), DSUPR: t('Suppressed by design'), OOSRV: t('Out of service') };
export const state = (row) => STATE[row.state] || row.state;
export const overlay = (row) => OVERLAY[row.overlay] || '';

// What is wrong, after the code that the plant's documents use.
const CONDITION = {
  HIHI: t('far too high'), HI: t('too high'), LO: t('too low'), LOLO: t('far too low'),
  DEV: t('away from its setpoint'), RATE: t('changes too fast'), SCORE: t('unusual'),
  STALE: t('has fallen silent'), COMM: t('device is away'), BAD: t('sensor says it is broken'),
  HEALTH: t('the gateway itself'),
};
export const condition = (row) => CONDITION[row.condition] || '';

const CHANGE = {
  raised: t('raised'), returned: t('over'), cleared: t('over'), acked: t('acknowledged'), reset: t('reset'),
  shelved: t('shelved'), unshelved: t('shown again'), suppressed: t('suppressed'), unsuppressed: t('no longer suppressed'),
  removed_from_service: t('out of service'), returned_to_service: t('in service again'),
  realarmed: t('announced again'), removed: t('removed from the flow'),
};
export const change = (row) => CHANGE[row.change] || row.change;

export const isUnacknowledged = (row) => row.state === 'UNACK' || row.state === 'RTNUN' || row.state === 'LATUN';
export const isOpen = (row) => !row.hidden && row.state !== 'NORM';
export const isLoud = (row) => isOpen(row) && isUnacknowledged(row) && rank(row) < 2;
export const key = (row) => `${row.alarm}#${row.occurrence}`;

// The most urgent first, then the newest; among what is alike the id decides, so nothing flickers.
export function byUrgency(a, b) {
  return rank(a) - rank(b) || b.raised_ts - a.raised_ts || (a.alarm < b.alarm ? -1 : 1);
}

// "user:anna" is anna; a node is told as what it is.
export function actor(text) {
  const [kind, name] = [text.slice(0, text.indexOf(':')), text.slice(text.indexOf(':') + 1)];
  return kind === 'node' ? t('the gateway ({node})', { node: name }) : kind === 'user' ? name : text;
}

// A tag in parts that a line may end after.
export const parts = (tag) => tag.split(/(?<=[/_#])/);

// A sentence of the gateway in the reader's language, with units as people write them; it says
// them by their codes (UCUM).
export const sentence = (text) => said(text).replace(/(\d) Cel\b/g, '$1 °C');
