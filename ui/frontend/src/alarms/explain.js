// An explanation while it is made: what the gateway says of it over the live line, and words for
// the facts behind it. Names and units come from devices, so they are only ever shown as text.
import { reactive } from 'vue';
import { live } from '../lib/live.js';
import { duration, number, unit } from '../lib/format.js';
import { language, t } from '../lib/i18n.js';
import { said } from '../lib/said.js';

export const SHAPE = {
  spike: t('a short peak'), step: t('a jump that stays'), drift: t('a slow way off'),
  oscillation: t('a swing that comes again'), stuck: t('stands still'), noise: t('a wider scatter'),
  dropout: t('no samples'), saturation: t('at the end of its range'), unclear: t('unclear'),
};
export const DOUBT = {
  short_baseline: t('little to compare with'), no_baseline: t('nothing to compare with'),
  gap: t('a hole in the data'), bad_quality: t('samples of bad quality'), clock: t('the clock was set'),
  alone: t('no other signal confirms it'), maintenance: t('somebody works at the machine'),
  restart: t('the gateway had just started'), unlike: t('no case like this is known'),
};
export const CHANGE = {
  deploy: t('flow deployed'), setpoint: t('setpoint written'), maintenance: t('maintenance'),
  restart: t('gateway started'), settings: t('settings changed'),
};
export const VERDICT = { right: t('was right'), wrong: t('was wrong'), other: t('it was something else') };
export const WAY = { up: '↑', down: '↓', none: '' };

export const amount = (value, code) => (value === null || value === undefined ? '–' : `${number(value, 4)} ${unit(code)}`.trim());
export const trend = (tag, ns, fallback = 0) => `/trends?${new URLSearchParams({ tags: tag, at: String(Math.round((ns || fallback) / 1e6)) })}`;
export const lead = (seconds) => {
  if (seconds === null || seconds === undefined) return '';
  const length = duration(Math.abs(seconds));
  if (Math.abs(seconds) < 1) return t('at the same time');
  return seconds < 0 ? t('{time} earlier', { time: length }) : t('{time} later', { time: length });
};

// Follows one explanation; `state.found` is null until the gateway has answered.
export function follow(alarm, occurrence) {
  const state = reactive({ found: null, said: '' });
  const end = live.subscribe({ explain: [alarm, occurrence], language: language() }, (found) => {
    if (found?.error) state.said = said(found.error);
    else state.found = found;
  });
  return { state, end };
}

// Its first sentence, for a place with room for one.
export const first = (found) => {
  const sentence = found?.text?.sentences?.[0];
  return sentence ? sentence.pieces.map((piece) => piece.text).join('') : '';
};
