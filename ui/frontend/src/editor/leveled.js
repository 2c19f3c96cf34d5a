// What can be done with subflows, links, streams and breakpoints, by key, button or menu.
import { nextTick } from 'vue';
import { get, remove } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { levelAt, placeOf, subflowOf, viewAt } from './levels.js';

export function makeLeveled(store, canvas) {
  const flow = canvas.flow;
  const seen = new Map(); // level -> where its canvas was looked at

  // Shows the flow itself ('') or the inside of a subflow, live as in one of its instances.
  function openLevel(level, path) {
    const one = viewAt(store, level);
    if (!one) return;
    const known = store.tabs.value.find((tab) => tab.level === level);
    let at = level ? path ?? known?.path ?? '' : '';
    if (level && levelAt(store, at) !== level) at = one.paths[0] || '';
    if (level && (!known || known.path !== at)) {
      const tabs = store.tabs.value.filter((tab) => tab.level !== level);
      store.tabs.value = known ? store.tabs.value.map((tab) => (tab === known ? { level, path: at } : tab)) : [...tabs, { level, path: at }];
    }
    if (store.level.value === level && store.path.value === at) return;
    if (store.level.value === level) { store.turn(level, at); return; } // Only who is looked into.
    canvas.sendPending();
    seen.set(store.level.value, { ...flow.viewport.value });
    flow.removeSelectedElements();
    store.quick.is = false;
    store.turn(level, at);
    canvas.reset();
    const place = seen.get(level);
    nextTick(() => {
      if (place) flow.setViewport(place);
      else fitWhenMeasured();
    });
    store.select([]);
  }
  // A box that has just come has no size for a frame or two.
  function fitWhenMeasured(frames = 30) {
    const isReady = flow.getNodes.value.every((node) => node.dimensions.width > 0);
    if (isReady || !frames) flow.fitView({ padding: 0.12, maxZoom: innerWidth < 2560 ? 1 : 1.6 });
    else requestAnimationFrame(() => fitWhenMeasured(frames - 1));
  }
  function closeLevel(level) {
    if (store.level.value === level) openLevel('', '');
    seen.delete(level);
    store.tabs.value = store.tabs.value.filter((tab) => tab.level !== level);
  }
  function openInstance(id) {
    const name = subflowOf(store.view.nodes[id]?.type);
    if (!name) return store.say(t('{node} is no subflow.', { node: id }));
    // Inside a subflow that is used nowhere nothing runs, so there is no one to look into.
    return openLevel(name, store.level.value && !store.path.value ? undefined : [store.path.value, id].filter(Boolean).join('/'));
  }
  function openSelected() {
    const [id] = store.selected.value.nodes;
    if (id) openInstance(id);
  }
  function turnTab(by) {
    const all = ['', ...store.tabs.value.map((tab) => tab.level)];
    const next = all[(all.indexOf(store.level.value) + by + all.length) % all.length];
    openLevel(next);
  }
  function newSubflow() {
    const before = new Set(Object.keys(store.whole.subflows));
    store.op({ op: 'subflow', id: 'subflow' });
    const end = setInterval(() => {
      const name = Object.keys(store.whole.subflows).find((one) => !before.has(one));
      if (name) { clearInterval(end); openLevel(name); }
    }, 60);
    setTimeout(() => clearInterval(end), 3000);
  }
  function gather() {
    const ids = store.selected.value.nodes.filter((id) => !store.view.nodes[id].type.startsWith('port.'));
    if (ids.length) store.open('gather', { ids });
    else store.say(t('Select the nodes that are to be a subflow.'));
  }
  function bypass() {
    const ids = store.selected.value.nodes;
    if (ids.length) store.op({ op: 'disable', ids, on: ids.every((id) => store.view.nodes[id].disabled === 'bypass') ? false : 'bypass' });
  }

  // ---------------------------------------------------------------- breakpoints
  async function lookAtCatches() {
    if (!store.may.has('catch.read') || !store.status.revision) return;
    try { store.catches.value = await get(`/api/flows/${encodeURIComponent(store.flow)}/catch`, { background: true }); } catch { store.catches.value = []; }
  }
  async function uncatch(id) {
    try { await remove(`/api/flows/${encodeURIComponent(store.flow)}/catch/${encodeURIComponent(id)}`); } catch (error) { store.say(error.message, 'bad'); }
    await lookAtCatches();
  }

  // ---------------------------------------------------------------- streams between flows
  async function lookAtStreams() {
    const all = [store.whole.nodes, ...Object.values(store.whole.subflows).map((one) => one.nodes)];
    if (!all.some((nodes) => Object.values(nodes).some((row) => row.type.startsWith('flow.')))) return;
    try { store.streams.value = await store.ask('streams'); } catch { /* What is known of them stays. */ }
  }
  // The other ends of the stream of a node: [[flow, node]].
  function streamEnds(id) {
    const row = store.view.nodes[id];
    const both = store.streams.value[row?.fields.stream];
    return (row?.type === 'flow.sink' ? both?.to : both?.from) || [];
  }
  function jumpToFlow(other, node) {
    if (other === store.flow) canvas.revealPath(node);
    else window.location.assign(`/flows/${encodeURIComponent(other)}#${encodeURIComponent(node)}`);
  }
  // What the address names behind # is shown at once.
  function revealHash() {
    const id = decodeURIComponent(window.location.hash.slice(1));
    if (id && placeOf(store, id)) setTimeout(() => canvas.revealPath(id), 350);
  }

  return { openLevel, closeLevel, openInstance, openSubflow: openSelected, turnTab, back: () => turnTab(-1), next: () => turnTab(1), newSubflow, gather, bypass, lookAtCatches, uncatch, lookAtStreams, streamEnds, jumpToFlow, revealHash };
}
