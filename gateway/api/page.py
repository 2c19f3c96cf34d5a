"""The page that shows what the terminal shows, until the real screens exist."""

from __future__ import annotations

from typing import Final

PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Genba</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
 :root { color-scheme: dark; --bad:#ff6b6b; --warn:#ffc857; --good:#7bd88f; --line:#30363d; }
 body { font: 15px/1.45 system-ui, sans-serif; margin: 0; background:#0d1117; color:#e6edf3; }
 header { display:flex; gap:24px; align-items:baseline; padding:12px 20px; background:#161b22;
          border-bottom:1px solid var(--line); position:sticky; top:0; }
 h1 { font-size:20px; margin:0; } h2 { font-size:16px; margin:24px 0 8px; }
 main { padding:0 20px 40px; max-width:1500px; }
 table { border-collapse:collapse; width:100%; }
 th,td { text-align:left; padding:4px 10px; border-bottom:1px solid var(--line); }
 th { color:#9da7b3; font-weight:600; }
 td.n { text-align:right; font-variant-numeric:tabular-nums; }
 .bad { color:var(--bad); } .warn { color:var(--warn); } .good { color:var(--good); }
 button { font:inherit; background:#21262d; color:inherit; border:1px solid var(--line);
          border-radius:6px; padding:6px 14px; cursor:pointer; min-height:36px; }
 #state { margin-left:auto; } .scroll { overflow-x:auto; }
</style></head><body>
<header><h1>Genba</h1><span id="summary"></span><span id="state" role="status"></span></header>
<main>
<h2>Open alarms</h2><div class="scroll"><table id="alarms"></table></div>
<h2>Tags</h2><div class="scroll"><table id="tags"></table></div>
<h2>Wires</h2><div class="scroll"><table id="wires"></table></div>
<h2>Nodes</h2><div class="scroll"><table id="nodes"></table></div>
</main>
<script>
const get = async path => { const r = await fetch(path); if (!r.ok) throw new Error(await r.text());
  return r.json(); };
let last = null;
const time = ns => ns ? new Date(ns / 1e6).toLocaleTimeString() : "";
const number = v => v === null ? "–" : Number(v.toPrecision(6)).toString();
function fill(id, heads, rows) {
  const table = document.getElementById(id); table.replaceChildren();
  const head = table.insertRow();
  for (const text of heads) { const th = document.createElement("th"); th.textContent = text;
    head.append(th); }
  for (const cells of rows) { const row = table.insertRow();
    for (const cell of cells) { const td = row.insertCell();
      if (cell instanceof Node) td.append(cell);
      else if (typeof cell === "object") { td.textContent = cell.text; td.className = cell.css; }
      else { td.textContent = cell; if (typeof cell === "number") td.className = "n"; } } }
  if (!rows.length) { const td = table.insertRow().insertCell(); td.textContent = "None."; }
}
function ackButton(alarm) {
  const b = document.createElement("button"); b.textContent = "Acknowledge";
  b.onclick = async () => { b.disabled = true;
    await fetch("/api/alarms/action", { method:"POST", headers:{"Content-Type":"application/json"},
      body: JSON.stringify({action:"ack", alarm:alarm.alarm, occurrence:alarm.occurrence}) });
    tick(); };
  return b;
}
const css = q => q.startsWith("Good") ? "good" : q.startsWith("Unc") ? "warn" : "bad";
async function tick() {
  try {
    const [status, tags, alarms] = await Promise.all(
      [get("/api/status"), get("/api/tags"), get("/api/alarms")]);
    const rate = {};
    if (last) for (const t of tags) rate[t.tag] =
      (t.rows - (last.rows[t.tag] ?? 0)) / ((status.now - last.now) / 1e9);
    last = { now: status.now, rows: Object.fromEntries(tags.map(t => [t.tag, t.rows])) };
    fill("alarms", ["Since", "Priority", "State", "Reason", ""], alarms.map(a => [time(a.ts),
      { text:a.priority, css:a.priority === "low" ? "" : "bad" },
      a.state + (a.overlay === "NONE" ? "" : " " + a.overlay), a.text,
      a.state === "UNACK" || a.state === "RTNUN" ? ackButton(a) : ""]));
    fill("tags", ["Tag", "Value", "Unit", "Quality", "Rows/s", "Time"], tags.map(t => [t.tag,
      { text:number(t.value), css:"n" }, t.unit, { text:t.quality, css:css(t.quality) },
      { text:(rate[t.tag] ?? 0).toFixed(1), css:"n" }, time(t.ts)]));
    fill("wires", ["Flow", "From", "To", "Rows", "Dropped", "Queued"], status.wires.map(w =>
      [w.flow, w.from, w.to, w.rows, w.dropped, w.queued]));
    fill("nodes", ["Flow", "Node", "Type", "State", "Status", "Counts"], status.nodes.map(n =>
      [n.flow, n.node, n.type, { text:n.state, css:
        n.state === "running" || n.state === "connected" ? "good" : "bad" }, n.text,
       Object.entries(n.counts).map(([k, v]) => k + " " + v).join(", ")]));
    document.getElementById("summary").textContent =
      `${status.tags} tags, ${alarms.length} open alarms, up ${Math.round(status.uptime_s)} s`;
    document.getElementById("state").textContent = "Live";
    document.getElementById("state").className = "good";
  } catch (error) {
    document.getElementById("state").textContent = "No answer from the gateway; trying again.";
    document.getElementById("state").className = "bad";
  }
}
tick(); setInterval(tick, 1000);
</script></body></html>
"""
