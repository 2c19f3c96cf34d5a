// Sizes, shares and times of the machine as people read them.
import { number, time } from '../lib/format.js';
import { t } from '../lib/i18n.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];
export function size(bytes) {
  if (bytes === null || bytes === undefined) return '–';
  let value = bytes;
  let i = 0;
  while (value >= 1000 && i < UNITS.length - 1) { value /= 1000; i += 1; }
  return `${number(value, 3)} ${UNITS[i]}`;
}
export const share = (part, whole) => (part === null || part === undefined || !whole ? null : part / whole);
export const percent = (value) => (value === null || value === undefined ? '–' : `${number(value * 100, 2)} %`);
export const when = (ns) => (ns ? time(ns / 1e6, { date: true }) : '–');
export const whole = (n) => Number(n).toLocaleString('en').replaceAll(',', ' ');
export const ROLES = { viewer: t('viewer'), operator: t('operator'), engineer: t('engineer'), administrator: t('administrator') };
export const ROLE_ABOUT = {
  viewer: t('sees everything, changes nothing'), operator: t('acknowledges and shelves alarms'),
  engineer: t('edits flows, suppresses alarms'), administrator: t('accounts, tokens, certificates'),
};
// What a person is known by: "user:anna" is anna.
export const name = (actor) => actor.slice(actor.indexOf(':') + 1) || actor;
