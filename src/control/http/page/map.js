// The world, equirectangular, with the shards on it and what comes to them.

// What is shown of it, in degrees: nobody lives beyond.
const NORTH = 80, SOUTH = -58;
// Degrees of latitude are drawn longer than those of longitude, as they are where most people live.
const STRETCH = 1.2;
const CHAR_WIDTH = 7, LINE_HEIGHT = 13;

function worldMap(figure, note) {
  const svg = draw(figure, "svg", { role: "img", "aria-label": "map of the shards" });
  const land = draw(svg, "path", { class: "land", d: LAND });
  const over = draw(svg, "g");
  let width = 0, shards = [], flows = [];

  const x = (longitude) => ((longitude + 180) / 360) * width;
  const y = (latitude) => ((NORTH - latitude) / 360) * width * STRETCH;

  function redraw() {
    if (width === 0) return;
    const height = Math.round(y(SOUTH));
    attributes(svg, { width, height, viewBox: "0 0 " + width + " " + height });
    // The outline is in tenths of degrees, with the south up as in every drawing.
    const scale = width / 3600;
    attributes(land, {
      transform: "translate(" + x(0) + " " + y(0) + ") scale(" + scale + " " + scale * STRETCH + ")",
    });
    over.replaceChildren();
    const placed = shards.filter((shard) => isNumber(shard.latitude) && isNumber(shard.longitude));
    const busiest = Math.max(1, ...placed.map((shard) => shard.processed_per_second ?? 0));
    const spots = placed.map((shard) => spot(shard, busiest));
    const widest = Math.max(1, ...flows.map((flow) => flow.per_second));
    for (const flow of flows) arc(flow, spots.find((one) => one.shard.shard === flow.shard), widest);
    for (const one of spots) pulse(one);
    for (const one of spots) {
      draw(over, "circle", { class: one.rate > 0 ? "shard" : "shard idle", cx: one.x, cy: one.y, r: one.r });
    }
    const taken = spots.map((one) => [one.x - one.r, one.y - one.r, one.x + one.r, one.y + one.r]);
    for (const one of spots) label(one, taken);
    const without = shards.length - placed.length;
    say(note, [
      without > 0 ? without + " shards without a place" : "",
      "the larger, the more it processes",
      flows.length > 0 ? "lines: where transactions come from, to ten degrees" : "",
    ].filter(Boolean).join("; "));
  }

  // From where clients are to the shard that is nearest to them, the short way round the Earth.
  function arc(flow, to, widest) {
    if (!to) return;
    const away = to.shard.longitude - flow.longitude;
    // Over the edge of the map, one half of the way is drawn on each side.
    const turns = Math.abs(away) <= 180 ? [0] : [0, away > 0 ? 360 : -360];
    for (const turn of turns) {
      const from = turns.length === 1 ? 0 : turn;
      const until = turns.length === 1 ? 0 : turn - (away > 0 ? 360 : -360);
      const [x1, y1, x2, y2] = [x(flow.longitude + from), y(flow.latitude), x(to.shard.longitude + until), to.y];
      const lift = Math.hypot(x2 - x1, y2 - y1) * 0.18;
      draw(over, "path", {
        class: "flow", "stroke-width": 0.6 + 3 * Math.sqrt(flow.per_second / widest),
        d: "M" + x1 + " " + y1 + "Q" + (x1 + x2) / 2 + " " + ((y1 + y2) / 2 - lift) + " " + x2 + " " + y2,
      });
    }
    draw(over, "circle", { class: "client", cx: x(flow.longitude), cy: y(flow.latitude), r: 1.8 });
  }

  function spot(shard, busiest) {
    const processed = isNumber(shard.processed_per_second) ? shard.processed_per_second : 0;
    const largest = Math.max(5, Math.min(14, width / 60));
    return {
      shard, rate: processed, x: x(shard.longitude), y: y(shard.latitude),
      r: 3.5 + (largest - 3.5) * Math.sqrt(Math.max(0, processed) / busiest),
    };
  }

  // Rings run outwards where transactions are processed, in step with the second.
  function pulse(one) {
    if (!(one.rate > 0)) return;
    const ring = draw(over, "circle", {
      class: "pulse", cx: one.x, cy: one.y, r: one.r * 3, "stroke-width": Math.max(1, one.r / 4),
    });
    ring.style.animationDelay = -(performance.now() % 2000) + "ms";
  }

  // Beside its shard, where nothing else stands; where there is no such place, it is left out: the
  // table below has it.
  function label(one, taken) {
    const lines = [one.shard.shard];
    if (width > 560) {
      lines.push(rate(one.shard.processed_per_second));
      if (isNumber(one.shard.p99_us)) lines.push("p99 " + latency(one.shard.p99_us));
    }
    const texts = lines.map(String);
    const w = Math.max(...texts.map((text) => text.length)) * CHAR_WIDTH, h = texts.length * LINE_HEIGHT;
    const gap = one.r + 4;
    const places = [
      [one.x + gap, one.y - h / 2], [one.x - gap - w, one.y - h / 2],
      [one.x - w / 2, one.y + gap], [one.x - w / 2, one.y - gap - h],
      [one.x + gap, one.y + gap / 2], [one.x - gap - w, one.y + gap / 2],
    ];
    const height = y(SOUTH);
    const free = places.find(([left, top]) => {
      if (left < 0 || top < 0 || left + w > width || top + h > height) return false;
      return taken.every(([l, t, r, b]) => left > r || left + w < l || top > b || top + h < t);
    });
    if (!free) return;
    const [left, top] = free;
    taken.push([left, top, left + w, top + h]);
    const onTheLeft = left + w <= one.x;
    texts.forEach((text, at) => draw(over, "text", {
      class: at === 0 ? "name" : "figure", x: onTheLeft ? left + w : left, y: top + LINE_HEIGHT * (at + 1) - 3,
      "text-anchor": onTheLeft ? "end" : "start",
    }, text));
  }

  fit(figure, (wide) => {
    width = wide;
    redraw();
  });
  return (told, toldFlows) => {
    shards = told;
    flows = toldFlows.filter((flow) => [flow.latitude, flow.longitude, flow.per_second].every(isNumber));
    redraw();
  };
}
