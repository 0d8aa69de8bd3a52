// Asks the node once a second and shows what it tells.

const EVERY_MS = 1000;
const PATIENCE_MS = 4000;

// What the node has told, the oldest first.
const past = [];
let answeredAt = null, uptime = null, goneBecause = null;

const tiles = [
  ["taken in", (it) => rate(it.recent?.rates?.submitted)],
  ["processed", (it) => rate(it.recent?.rates?.processed)],
  ["end to end p99", (it) => percentile(it, "end_to_end")],
  ["produce p99", (it) => percentile(it, "produce")],
  ["unprocessed", (it) => short(sum(list(it.shards), "lag"))],
  ["in flight", (it) => short(sum(list(it.cores), "in_flight"))],
  ["busiest core", (it) => percent(busiest(it))],
  ["failed, rejected", (it) => short((it.counters?.failed ?? 0) + (it.counters?.rejected ?? 0))],
].map(([name, of]) => {
  const tile = make(byId("tiles"), "div", { class: "tile" });
  const figure = make(tile, "b", { "data-figure": name }, "-");
  make(tile, "span", {}, name);
  return (status) => say(figure, of(status));
});

const sum = (of, key) => of.reduce((total, one) => total + (isNumber(one[key]) ? one[key] : 0), 0);
const recent = (status, stage) => {
  const found = status.recent?.latencies?.[stage];
  return found && found.count > 0 ? found : {};
};
const percentile = (status, stage) => latency(recent(status, stage).p99_us);
const shares = (status) => list(status.cores).map((core) => core.busy_share).filter(isNumber);
const busiest = (status) => (shares(status).length ? Math.max(...shares(status)) : undefined);

const showSlow = waterfall(byId("slow"), byId("slow-legend"), byId("slow-note"));
const showMap = worldMap(byId("map"), byId("map-note"));

const threeOf = (stage) => [
  { name: "p50", of: (sample) => sample[stage]?.p50_us },
  { name: "p99", of: (sample) => sample[stage]?.p99_us },
  { name: "p99.9", of: (sample) => sample[stage]?.p999_us },
];
const charts = [
  {
    title: "Transactions", note: "by second", kind: "zero", text: rate,
    series: [
      { name: "taken in", of: (sample) => sample.submitted },
      { name: "processed", of: (sample) => sample.processed },
    ],
  },
  { title: "End to end", note: "intake to processed, of the last ten seconds", kind: "log", text: latency,
    series: threeOf("end_to_end") },
  { title: "Produce", note: "intake to acknowledged, of the last ten seconds", kind: "log", text: latency,
    series: threeOf("produce") },
  {
    title: "Cores", note: "share of the last second", kind: "zero", most: 1, text: percent,
    series: [
      { name: "busiest", of: (sample) => sample.busiest },
      { name: "mean", of: (sample) => sample.mean },
    ],
  },
].map((options) => chart(byId("charts"), options));

const showShards = table(byId("shards"),
  ["shard", "rate", "lag", "p50", "p99", "p99.9", "processed", "duplicates", "dead letters"]);
const showCores = table(byId("cores"),
  ["core", "phase", "busy", "in flight", "lag", "taken in", "processed", "stalls", "longest cycle", "mesh"]);
const showStages = table(byId("stages"), ["stage", "count", "p50", "p99", "p99.9", "longest"]);

// As a transaction meets them; what is not known here comes last.
const ORDER = ["produce", "consume", "end_to_end", "intake", "route", "hop", "queue", "append", "commit", "sync",
  "tail_read", "process", "reply"];
const placeOf = (stage) => (ORDER.includes(stage) ? ORDER.indexOf(stage) : ORDER.length);

function remember(status) {
  // A node that was started again begins a new life: the curves keep the old one, with a gap.
  if (uptime !== null && status.uptime_seconds < uptime) past.push({ at: performance.now() / 1000 - 0.5 });
  uptime = status.uptime_seconds;
  const busy = shares(status);
  const now = performance.now() / 1000;
  past.push({
    at: now,
    submitted: status.recent?.rates?.submitted,
    processed: status.recent?.rates?.processed,
    end_to_end: recent(status, "end_to_end"),
    produce: recent(status, "produce"),
    busiest: busiest(status),
    mean: busy.length ? busy.reduce((a, b) => a + b) / busy.length : undefined,
  });
  while (past[0].at < now - REACH_SECONDS) past.shift();
}

function show(status) {
  const storage = status.storage ?? {};
  const place = storage.directory ?? list(storage.names).join(", ");
  const free = isNumber(storage.free_bytes) ? ", " + bytes(storage.free_bytes) + " free" : "";
  say(byId("about"), [status.version, location.host, "up " + clock(status.uptime_seconds), place + free].join(" · "));
  const reasons = byId("reasons");
  reasons.replaceChildren();
  for (const reason of list(status.reasons)) make(reasons, "li", {}, reason.kind + ": " + reason.detail);
  for (const tile of tiles) tile(status);
  showMap(list(status.shards), list(status.flows));
  for (const curve of charts) curve(past);
  showShards(list(status.shards).map((it) => [
    String(it.shard), rate(it.processed_per_second), count(it.lag), latency(it.p50_us), latency(it.p99_us),
    latency(it.p999_us), count(it.processed), count(it.duplicates), count(it.dead_lettered)]));
  showCores(list(status.cores).map((it) => [
    String(it.core), String(it.phase), percent(it.busy_share), count(it.in_flight), count(it.backlog),
    rate(it.rates?.submitted), rate(it.rates?.processed), count(it.counters?.stalls),
    latency(isNumber(it.cycle_max_seconds) ? it.cycle_max_seconds * 1e6 : null),
    count(it.mesh_depth) + " (most " + count(it.mesh_depth_high_water) + ")"]));
  const stages = Object.entries(status.recent?.latencies ?? {}).filter(([, it]) => it.count > 0);
  stages.sort(([a], [b]) => placeOf(a) - placeOf(b));
  showStages(stages.map(([name, it]) => [
    name.replaceAll("_", " "), count(it.count), latency(it.p50_us), latency(it.p99_us), latency(it.p999_us),
    latency(it.max_us)]));
  const reach = status.recent?.latencies_seconds;
  say(byId("stages-note"), isNumber(reach) ? "of the last " + Math.round(reach) + " s" : "");
}

function showState() {
  const state = byId("state");
  const isGone = goneBecause !== null;
  byId("main").classList.toggle("old", isGone && answeredAt !== null);
  if (isGone) {
    const since = answeredAt === null ? "" : " for " + Math.round((performance.now() - answeredAt) / 1000) + " s";
    state.className = "bad";
    say(state, "NO ANSWER" + since + " from " + location.host + ": " + goneBecause);
  }
}

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (!answer.ok) throw new Error(path + " answers " + answer.status);
  return answer.json();
}

// The slowest transactions are asked of the cores, so that they may fail where the status does not.
async function turnSlow() {
  try {
    showSlow(await ask("v1/slow"));
  } catch (error) {
    say(byId("slow-note"), "not to be had: " + error.message);
  }
}

async function turn() {
  const began = performance.now();
  try {
    const [status] = await Promise.all([ask("v1/status"), turnSlow()]);
    answeredAt = performance.now();
    goneBecause = null;
    remember(status);
    show(status);
    const state = byId("state");
    state.className = status.ready ? "live" : "bad";
    say(state, status.ready ? "ready" : "NOT READY");
  } catch (error) {
    goneBecause = error.message;
  }
  showState();
  setTimeout(turn, Math.max(100, EVERY_MS - (performance.now() - began)));
}

turn();
