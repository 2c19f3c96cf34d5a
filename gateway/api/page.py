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
 .n { text-align:right; font-variant-numeric:tabular-nums; }
 td:empty::before { content:"\\a0"; }
 .bad { color:var(--bad); } .warn { color:var(--warn); } .good { color:var(--good); }
 button { font:inherit; background:#21262d; color:inherit; border:1px solid var(--line);
          border-radius:6px; padding:6px 14px; cursor:pointer; min-height:36px; }
 #state { margin-left:auto; } .scroll { overflow-x:auto; }
 #login { padding:12px 20px; } #login input { font:inherit; min-height:32px; }
</style></head><body>
<header><h1>Genba</h1><span id="summary"></span><span id="state" role="status"></span></header>
<form id="login" hidden><label>Name <input name="name" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Log in</button> <span id="refused" class="bad" role="alert"></span></form>
<main>
<h2>Open alarms</h2><div class="scroll"><table id="alarms"></table></div>
<h2>Tags</h2><div class="scroll"><table id="tags"></table></div>
<h2>Wires</h2><div class="scroll"><table id="wires"></table></div>
<h2>Nodes</h2><div class="scroll"><table id="nodes"></table></div>
<h2>Messages</h2><div class="scroll"><table id="lines"></table></div>
</main>
<script>
// What a page asks by itself keeps no session alive.
const get = async path => { const r = await fetch(path, {headers:{"Genba-Background":"1"}});
  document.getElementById("login").hidden = r.status !== 401;
  if (!r.ok) throw new Error(r.status === 401 ? "Log in first." : await r.text());
  return r.json(); };
document.getElementById("login").onsubmit = async event => { event.preventDefault();
  const form = new FormData(event.target);
  const r = await fetch("/api/login", { method:"POST", headers:{"Content-Type":"application/json"},
    body: JSON.stringify({name:form.get("name"), password:form.get("password")}) });
  document.getElementById("refused").textContent = r.ok ? "" : await r.text();
  if (r.ok) { event.target.reset(); tick(); } };
const kept = [];  // What there was in the last seconds, to take rates over.
const time = ns => ns ? new Date(ns / 1e6).toLocaleTimeString() : "";
const number = v => v === null ? "–" : Number(v.toPrecision(6)).toString();
// A column's name with a > before it is one of numbers. Only what has changed is touched, so
// that a button is not taken away from under a finger and a selection stays.
function fill(id, heads, rows) {
  const table = document.getElementById(id);
  if (!table.tHead) for (const text of heads) {
    const th = document.createElement("th"); th.textContent = text.replace(/^>/, "");
    if (text[0] === ">") th.className = "n";
    (table.tHead?.rows[0] ?? table.createTHead().insertRow()).append(th); }
  const body = table.tBodies[0] ?? table.createTBody();
  const shown = rows.length ? rows : [["None."]];
  while (body.rows.length > shown.length) body.deleteRow(-1);
  shown.forEach((cells, i) => {
    const row = body.rows[i] ?? body.insertRow();
    while (row.cells.length > cells.length) row.deleteCell(-1);
    cells.forEach((cell, j) => {
      const td = row.cells[j] ?? row.insertCell();
      if (cell?.key) { if (td.dataset.key !== cell.key) {
        td.dataset.key = cell.key; td.className = ""; td.replaceChildren(cell.make()); } return; }
      const text = String(cell?.text ?? cell);
      const css = [cell?.css ?? "", heads[j][0] === ">" ? "n" : ""].join(" ").trim();
      if (td.dataset.key) delete td.dataset.key;
      if (td.textContent !== text) td.textContent = text;
      if (td.className !== css) td.className = css; }); });
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
const priority = { urgent:"bad", high:"bad", medium:"warn", low:"" };
const level = { error:"bad", warning:"warn", info:"" };
const place = w => w.from.split(".")[0];
async function tick() {
  try {
    const [status, tags, alarms] = await Promise.all(
      [get("/api/status"), get("/api/tags"), get("/api/alarms")]);
    kept.push({ now:status.now, rows:Object.fromEntries(tags.map(t => [t.tag, t.rows])) });
    if (kept.length > 6) kept.shift();
    const first = kept[0], seconds = (status.now - first.now) / 1e9;
    const rate = t => seconds ? (t.rows - (first.rows[t.tag] ?? t.rows)) / seconds : 0;
    const late = Object.fromEntries(status.nodes.map(n => [n.flow + " " + n.node, n.counts.late]));
    fill("alarms", ["Since", "Priority", "State", "Reason", ""], alarms.map(a =>
      [time(a.raised_ts), { text:a.priority, css:priority[a.priority] },
      a.state + (a.overlay === "NONE" ? "" : " " + a.overlay), a.reason,
      ["UNACK", "RTNUN", "LATUN"].includes(a.state)
        ? { key:a.alarm + " " + a.occurrence, make:() => ackButton(a) } : ""]));
    fill("tags", ["Tag", ">Value", "Unit", "Quality", ">Rows/s", "Time"], tags.map(t => [t.tag,
      number(t.value), t.unit === "1" ? "" : t.unit.replace(/[{}]/g, ""),
      { text:t.quality, css:css(t.quality) }, rate(t).toFixed(1), time(t.ts)]));
    fill("wires", ["Flow", "From", "To", ">Rows", ">Late", ">Dropped", ">Queued"],
      status.wires.map(w => [w.flow, w.from, w.to, w.rows, late[w.flow + " " + place(w)] ?? 0,
        { text:w.dropped, css:w.dropped ? "bad" : "" }, w.queued]));
    fill("nodes", ["Flow", "Node", "Type", "State", "Status", "Counts"], status.nodes.map(n =>
      [n.flow, n.node, n.type, { text:n.state, css:
        n.state === "running" || n.state === "connected" ? "good" : "bad" }, n.text,
       Object.entries(n.counts).map(([k, v]) => k + " " + v).join(", ")]));
    fill("lines", ["Time", "Where", "What"], status.lines.slice(-20).reverse().map(l =>
      [time(l[0]), l[2], { text:l[3], css:level[l[1]] ?? "" }]));
    document.getElementById("summary").textContent =
      `${status.tags} tags, ${alarms.length} open alarms, up ${Math.round(status.uptime_s)} s`;
    document.getElementById("state").textContent = "Live";
    document.getElementById("state").className = "good";
  } catch (error) {
    document.getElementById("state").textContent = error.message === "Log in first."
      ? error.message : "No answer from the gateway; trying again.";
    document.getElementById("state").className = "bad";
  }
}
tick(); setInterval(tick, 1000);
</script></body></html>
"""
