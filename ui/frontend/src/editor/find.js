// Finding a node by the words that people bring along: from Node-RED, from statistics, from the PLC.
import { t } from '../lib/i18n.js';

const ALSO = {
  'email.sink': t('e-mail smtp notify notification'),
  'slack.sink': t('chat message notify notification'),
  'http.sink': t('request rest post webhook'),
  'http.poll': t('request rest get'),
  'http.webhook': t('http in rest post'),
  'websocket.source': t('socket stream'),
  'mqtt.source': t('mqtt in subscribe topic broker'),
  'mqtt.sink': t('mqtt out publish topic broker'),
  'opcua.source': t('opc plc read subscribe variable'),
  'opcua.sink': t('opc plc write'),
  'modbus.source': t('plc rtu tcp register read'),
  'modbus.sink': t('plc rtu tcp register write'),
  'serial.source': t('com port rs-232 rs-485 scale scanner'),
  'file.csv_source': t('read file excel table'),
  'file.jsonl_sink': t('write file'),
  'sqlite.sink': t('database historian store history'),
  'console.sink': t('debug print'),
  'log.sink': t('debug print'),
  'schedule.cron': t('timer clock interval inject'),
  'simulate.source': t('test generator random inject'),
  'llm.generate': t('ai chat'),
  'compute.expression': t('function calculate formula script change'),
  'compute.scale': t('range linear raw'),
  'compute.json': t('parse'),
  'event.map': t('change template function'),
  'event.route': t('switch'),
  'event.collect': t('batch join'),
  'filter.deadband': t('rbe report by exception'),
  'filter.rate': t('delay throttle'),
  'filter.range': t('switch limit clamp outlier'),
  'window.tumbling': t('batch interval minute hour'),
  'window.hopping': t('batch interval minute hour'),
  'window.sliding': t('rolling moving minute hour'),
  'feature.statistics': t('average max min sum smooth standard deviation aggregate'),
  'feature.spectrum': t('fft vibration frequency'),
  'detect.sigma': t('anomaly outlier z-score standard deviation minute window'),
  'detect.robust_z': t('anomaly outlier z-score mad'),
  'detect.ewma': t('anomaly drift control chart moving average'),
  'detect.cusum': t('anomaly drift shift control chart'),
  'detect.seasonal': t('anomaly outlier daily pattern'),
  'detect.flatline': t('anomaly stuck frozen'),
  'detect.rate_of_change': t('anomaly slope derivative gradient'),
  'alarm.limit': t('threshold high low switch'),
  'alarm.score': t('anomaly threshold sigma'),
  'alarm.rate': t('threshold slope gradient'),
  'alarm.stale': t('watchdog timeout trigger'),
  'alarm.communication': t('watchdog disconnected offline'),
};

const plain = (text) => text.toLowerCase().replace(/(\p{L})-(?=\p{L})/gu, '$1');
// A number says how the node will be set, not which one it is: "3 sigma", "5 minute window".
export function wordsOf(query) {
  const all = plain(query).split(/\s+/).filter(Boolean);
  const words = all.filter((word) => !/^\d/.test(word));
  return words.length ? words : all;
}
export const textOf = (type, card) => plain(`${type} ${card.label} ${t(card.label)} ${card.about} ${t(card.about)} ${ALSO[type] || ''}`);

// Those with all of the words; where none has, those with some of them.
export function fitting(rows, words, textOfRow) {
  const found = rows.map((row) => [row, words.filter((word) => textOfRow(row).includes(word)).length]);
  const best = Math.max(0, ...found.map(([, n]) => n));
  return found.filter(([, n]) => n === (best || words.length)).map(([row]) => row);
}
