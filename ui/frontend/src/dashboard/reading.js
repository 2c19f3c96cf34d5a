// The readings of a widget: value, unit, how far it can be trusted, and past which limit it is.
import { onBeforeUnmount, shallowRef, watch } from 'vue';
import { number, unit } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { factsOf, loadTags } from '../trend/tags.js';
import { gatewayNow, values, verdict } from '../trend/values.js';

const LEVELS = [['hihi', (v, l) => v >= l, 'bad', '▲▲'], ['lolo', (v, l) => v <= l, 'bad', '▼▼'], ['hi', (v, l) => v >= l, 'warn', '▲'], ['lo', (v, l) => v <= l, 'warn', '▼']];

// Past which limit a value is: {name, tone, sign, text}, or null.
export function past(value, limits) {
  if (value === null || value === undefined || !limits) return null;
  for (const [name, isPast, tone, sign] of LEVELS) {
    const limit = limits[name];
    if (limit !== null && limit !== undefined && isPast(value, limit)) {
      return { name, tone, sign, text: name.startsWith('h') ? t('above {n}', { n: number(limit, 5) }) : t('below {n}', { n: number(limit, 5) }) };
    }
  }
  return null;
}

// The next round number upwards, so that a scale that nobody has set does not move all the time.
function round(v) {
  const size = 10 ** Math.floor(Math.log10(v));
  return size * ([1, 1.5, 2, 3, 5, 7.5].find((n) => n * size >= v) || 10);
}

// The scale of a widget: what was set, else the range of the tag, else around the value.
export function scaleOf(widget, tag, value) {
  const facts = factsOf(tag);
  const given = Object.values(widget.limits || {}).filter((v) => v !== null && v !== undefined);
  const around = [...given, value ?? 0].filter((v) => Number.isFinite(v));
  let low = widget.low ?? facts.low ?? Math.min(0, ...around);
  let high = widget.high ?? facts.high ?? round(Math.max(...around, 0) * 1.15 || 1);
  if (high <= low) high = low + 1;
  return { low, high, share: (v) => Math.min(Math.max((v - low) / (high - low), 0), 1) };
}

// Reactive Map tag -> {tag, value, unit, ts, grade, text}; new at most once a frame, and each
// second, so that ages go on when nothing comes any more.
export function useReadings(tagsOf) {
  const readings = shallowRef(new Map());
  const samples = new Map();
  let end = () => {};
  let frame = 0;
  function look() {
    frame = 0;
    const now = gatewayNow();
    readings.value = new Map([...new Set(tagsOf())].map((tag) => {
      const sample = samples.get(tag);
      return [tag, { tag, value: sample?.value ?? null, ts: sample?.ts || 0, unit: unit(factsOf(tag).unit), ...verdict(tag, sample, now) }];
    }));
  }
  const plan = () => { if (!frame && !document.hidden) frame = requestAnimationFrame(look); };
  const stop = watch(() => tagsOf().join('\n'), () => {
    end();
    samples.clear();
    end = values.watch([...new Set(tagsOf())], (tag, sample) => { samples.set(tag, sample); plan(); });
    look();
  }, { immediate: true });
  const second = setInterval(plan, 1000);
  loadTags().then(plan, () => {});
  onBeforeUnmount(() => { end(); stop(); clearInterval(second); cancelAnimationFrame(frame); });
  return readings;
}
