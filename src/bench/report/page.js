"use strict";
// Draws the report that stands in this page. Texts go in as text nodes only, never as markup.
(() => {
  const report = JSON.parse(document.getElementById("data").textContent);
  const runs = report.runs;
  const main = document.getElementById("main");
  const SVG = document.getElementById("blank").namespaceURI;
  const SPANS = [
    ["produce", "Produce", "intended send time to acknowledgement"],
    ["consume", "Consume", "visible or acknowledged to consumed"],
    ["end_to_end", "End to end", "intended send time to consumed"],
    ["publish_delay", "Publish delay", "how late the sender itself was"],
  ];
  const ACKS = ["none", "leader", "all"];
  const PERCENTILES = ["p50", "p99", "p999", "p9999", "max"];
  const WIDTH = 560, HEIGHT = 300, LEFT = 64, RIGHT = 28, TOP = 10, BOTTOM = 40;
  // A logarithmic axis has no 0: a latency of 0 is drawn here.
  const LEAST_US = 0.01;

  // ---- elements and words

  function make(parent, name, attributes = {}, text = "") {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== "") node.textContent = text;
    parent.append(node);
    return node;
  }

  function draw(parent, name, attributes = {}, text = "") {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== "") node.textContent = text;
    parent.append(node);
    return node;
  }

  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
  const digits = (value) => (isNumber(value) ? String(Number(value.toPrecision(3))) : "-");

  function short(value) {
    if (!isNumber(value)) return "-";
    const units = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
    const unit = units.find(([size]) => Math.abs(value) >= size);
    return unit ? digits(value / unit[0]) + " " + unit[1] : digits(value);
  }

  function latency(us) {
    if (!isNumber(us)) return "-";
    if (us >= 1e6) return digits(us / 1e6) + " s";
    if (us >= 1e3) return digits(us / 1e3) + " ms";
    return us > 0 && us < 1 ? digits(us * 1e3) + " ns" : digits(us) + " µs";
  }

  function bytes(value) {
    if (!isNumber(value)) return "-";
    return short(value) + (Math.abs(value) < 1e3 ? " B" : "B");
  }

  function percent(share) {
    return isNumber(share) ? digits(share * 100) + " %" : "-";
  }

  const shown = (value) => (value === null || value === undefined || value === "" ? "-" : String(value));

  function table(parent, head, rows, kind = "") {
    const place = make(parent, "div", { class: "scroll" });
    const node = make(place, "table", kind ? { class: kind } : {});
    if (head.length) {
      const row = make(make(node, "thead"), "tr");
      for (const text of head) make(row, "th", {}, text);
    }
    const body = make(node, "tbody");
    for (const cells of rows) {
      const row = make(body, "tr", cells.bad ? { class: "bad" } : {});
      for (const text of cells.texts ?? cells) make(row, "td", {}, text);
    }
  }

  function section(title, note = "") {
    make(main, "h2", {}, title);
    if (note) make(main, "p", { class: "note" }, note);
  }

  // Latencies of a run that only went as fast as it was answered say nothing.
  const latencies = (run, key) => (run.settings.rate === null ? undefined : run.latency[key]);

  // ---- which run is which

  const settingNames = [...new Set(runs.flatMap((run) => Object.keys(run.settings)))];
  const differing = settingNames.filter(
    (name) => new Set(runs.map((run) => JSON.stringify(run.settings[name]))).size > 1,
  );
  const targets = new Set(runs.map((run) => run.target.name));

  function label(run) {
    const parts = differing.map((name) => name + " " + shown(run.settings[name]));
    if (targets.size > 1) parts.unshift(run.target.name);
    const text = parts.join(", ");
    const alike = runs.filter((other) => sameLabel(other, run));
    if (alike.length === 1 && text) return text;
    const number = "run " + (alike.indexOf(run) + 1);
    return text ? text + ", " + number : number;
  }

  function sameLabel(one, other) {
    const same = (name) => JSON.stringify(one.settings[name]) === JSON.stringify(other.settings[name]);
    return one.target.name === other.target.name && differing.every(same);
  }

  const colour = (at) => "var(--c" + (at % 6) + ")";
  const colourOf = (run) => (run.partial ? "var(--bad)" : colour(runs.indexOf(run)));

  // ---- one picture

  // As few as tell something: powers of ten, or steps between them where the axis is short.
  function logTicks(low, high) {
    for (const steps of [[1], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) {
      const ticks = [];
      for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
        ticks.push(...steps.map((step) => step * 10 ** power));
      }
      const seen = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
      if (seen.length > 2) return seen;
    }
    return evenTicks(low, high);
  }

  function evenTicks(low, high) {
    const rough = (high - low) / 5 || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
    const ticks = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) {
      ticks.push(Number((at * step).toPrecision(12)));
    }
    return ticks;
  }

  function axis(values, kind, from, to) {
    let low = Math.min(...values), high = Math.max(...values);
    if (kind === "log") {
      low = 10 ** (Math.floor(Math.log10(low) * 4) / 4);
      high = 10 ** (Math.ceil(Math.log10(high) * 4) / 4);
      if (low === high) high = low * 10;
      const place = (v) => from + ((to - from) * Math.log(v / low)) / Math.log(high / low);
      return { place, ticks: logTicks(low, high), low, high };
    }
    if (kind === "zero") { low = Math.min(0, low); high *= 1.05; }
    if (low === high) high = low + 1;
    const place = (v) => from + ((to - from) * (v - low)) / (high - low);
    return { place, ticks: evenTicks(low, high), low, high };
  }

  // series: [{name, colour, points: [[x, y], ...], dots}]. What has no point is left out.
  function chart(parent, options) {
    const series = options.series.filter((one) => one.points.length > 0);
    if (series.length === 0) return;
    const figure = make(parent, "figure");
    const caption = make(figure, "figcaption", {}, options.title);
    if (options.note) make(caption, "small", {}, " – " + options.note);
    const svg = draw(figure, "svg", {
      viewBox: "0 0 " + WIDTH + " " + HEIGHT, role: "img", "aria-label": options.title,
    });
    const points = series.flatMap((one) => one.points);
    const also = isNumber(options.asked) ? [options.asked] : [];
    const x = axis(points.map((p) => p[0]), options.x, LEFT, WIDTH - RIGHT);
    const y = axis(points.map((p) => p[1]).concat(also), options.y, HEIGHT - BOTTOM, TOP);
    if (isNumber(options.warmEnd) && x.low < options.warmEnd) {
      const end = Math.min(x.place(options.warmEnd), WIDTH - RIGHT);
      draw(svg, "rect", {
        class: "warm", x: LEFT, y: TOP, width: end - LEFT, height: HEIGHT - BOTTOM - TOP,
      });
      draw(svg, "text", { x: LEFT + 4, y: TOP + 12 }, "warm-up");
    }
    frame(svg, x, y, options);
    if (also.length) {
      const at = y.place(options.asked);
      draw(svg, "line", { class: "asked", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at });
    }
    for (const one of series) {
      const path = one.points.map((p) => x.place(p[0]).toFixed(1) + " " + y.place(p[1]).toFixed(1));
      draw(svg, "path", {
        class: "series", d: "M" + path.join("L"), style: "stroke:" + one.colour, "data-name": one.name,
      });
      if (!options.dots && one.points.length > 1) continue;
      for (const p of one.points) {
        draw(svg, "circle", {
          class: "dot", cx: x.place(p[0]), cy: y.place(p[1]), r: 4, style: "fill:" + one.colour,
        });
      }
    }
    const legend = make(figure, "div", { class: "legend" });
    for (const one of series) make(legend, "span", { style: "--of:" + one.colour }, one.name);
    if (also.length) make(legend, "span", { style: "--of:var(--soft)" }, "asked for");
    follow(figure, svg, x, series, options);
  }

  function frame(svg, x, y, options) {
    for (const tick of y.ticks) {
      const at = y.place(tick);
      draw(svg, "line", { class: "grid-line", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at });
      draw(svg, "text", { x: LEFT - 6, y: at + 4, "text-anchor": "end" }, options.yText(tick));
    }
    const names = options.xTicks ?? x.ticks.map((tick) => [tick, options.xText(tick)]);
    for (const [tick, name] of names) {
      if (tick < x.low * 0.999 || tick > x.high * 1.001) continue;
      const at = x.place(tick);
      draw(svg, "line", { class: "grid-line", x1: at, x2: at, y1: TOP, y2: HEIGHT - BOTTOM });
      draw(svg, "text", { x: at, y: HEIGHT - BOTTOM + 15, "text-anchor": "middle" }, name);
    }
    const middle = (LEFT + WIDTH - RIGHT) / 2;
    draw(svg, "text", { x: middle, y: HEIGHT - 6, "text-anchor": "middle" }, options.xName);
  }

  // Shows, beside the pointer, what each line has nearest to it.
  function follow(figure, svg, x, series, options) {
    const tip = make(figure, "div", { class: "tip" });
    const cursor = draw(svg, "line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * WIDTH;
      const away = (p) => Math.abs(x.place(p[0]) - at);
      const nearest = series.map((one) => one.points.reduce((a, b) => (away(b) < away(a) ? b : a)));
      const first = nearest.reduce((a, b) => (away(b) < away(a) ? b : a));
      const lines = series.map((one, i) => one.name + ": " + options.yText(nearest[i][1]));
      tip.textContent = [options.xTip(first[0])].concat(lines).join("\n");
      cursor.setAttribute("x1", x.place(first[0]));
      cursor.setAttribute("x2", x.place(first[0]));
      cursor.style.visibility = "visible";
      tip.style.display = "block";
      const left = event.clientX - figure.getBoundingClientRect().left;
      const wide = figure.clientWidth - tip.offsetWidth - 8;
      tip.style.left = Math.max(4, Math.min(left + 14, wide)) + "px";
      tip.style.top = "40px";
    });
    svg.addEventListener("pointerleave", () => {
      tip.style.display = "none";
      cursor.style.visibility = "hidden";
    });
  }

  // ---- the parts of the page

  function head() {
    const title = "corelane bench " + report.bench;
    document.title = title;
    document.getElementById("title").textContent = title;
    const when = new Date(report.started_ms).toISOString().replace("T", " ").replace(/\.\d+Z/, " UTC");
    const about = "corelane " + report.corelane + " – " + when + " – " + shown(report.machine.cpu);
    document.getElementById("about").textContent = about;
    for (const run of runs) {
      const where = runs.length > 1 ? label(run) + ": " : "";
      if (run.partial) make(main, "p", { class: "bad" }, where + "partial result: " + run.partial);
      if (run.settings.rate !== null && !run.load.kept_pace) {
        const text = "the rate was not kept: these latencies are those of a growing queue";
        make(main, "p", { class: "bad" }, where + text);
      }
    }
  }

  function figures() {
    section("Figures");
    const load = ["run", "asked for", "sent/s", "acked/s", "bytes/s", "received/s", "failed",
      "saturation", "share of it", "CPUs", "memory", "written per byte"];
    table(main, load, runs.map((run) => ({
      bad: Boolean(run.partial),
      texts: [label(run), run.settings.rate === null ? "as fast as taken" : short(run.settings.rate),
        short(run.load.sent_per_s), short(run.load.acked_per_s), bytes(run.load.bytes_per_s),
        short(run.load.received_per_s), short(run.load.failed), short(run.load.saturation_per_s),
        percent(run.load.share_of_saturation), digits(run.usage.cpus),
        bytes(run.usage.resident_bytes), shown(run.usage.written_per_byte?.toPrecision(3))],
    })));
    const rows = [];
    for (const run of runs) {
      for (const [key, name] of SPANS) {
        const of = latencies(run, key);
        if (!of || of.count === 0) continue;
        const texts = PERCENTILES.map((name) => latency(of[name + "_us"]));
        rows.push({ bad: Boolean(run.partial), texts: [label(run), name, short(of.count),
          latency(of.mean_us), ...texts] });
      }
    }
    if (rows.length === 0) return;
    make(main, "p");
    table(main, ["run", "latency", "samples", "mean", "p50", "p99", "p99.9", "p99.99", "max"], rows);
    make(main, "p", { class: "note" }, "- : fewer than ten samples lie beyond that percentile");
  }

  function curves() {
    const grid = document.createElement("div");
    grid.className = "grid";
    const ticks = [[1, "0 %"], [10, "90 %"]];
    for (let nines = 2; nines <= 9; nines += 1) {
      ticks.push([10 ** nines, "99" + (nines > 2 ? "." + "9".repeat(nines - 2) : "") + " %"]);
    }
    for (const [key, name, note] of SPANS) {
      const series = runs.filter((run) => latencies(run, key)?.count > 0).map((run) => {
        const count = run.latency[key].count;
        // The longest lies beyond all shares; it is drawn where one sample of all of them is left.
        const points = run.latency[key].curve.map(([share, us]) => [
          Math.min(1 / Math.max(1 - share, 1 / count), count), Math.max(us, LEAST_US),
        ]);
        return { name: label(run), colour: colourOf(run), points };
      });
      chart(grid, {
        title: name, note, series, x: "log", y: "log", xTicks: ticks, yText: latency,
        xName: "percentile", xTip: (ratio) => digits2(100 - 100 / ratio) + " %",
      });
    }
    if (grid.children.length === 0) return;
    section("Latency by percentile", "both axes logarithmic; on one clock, from the intended send time");
    main.append(grid);
  }

  const digits2 = (value) => String(Number(value.toFixed(6)));

  function time() {
    const withSeries = runs.filter((run) => run.series.length > 0);
    if (withSeries.length === 0) return;
    section("Over time");
    const place = document.createElement("div");
    place.className = "grid";
    if (withSeries.length > 1) {
      const choose = make(main, "select", { "aria-label": "run" });
      withSeries.forEach((run, at) => make(choose, "option", { value: at }, label(run)));
      choose.addEventListener("change", () => timeOf(withSeries[Number(choose.value)], place));
      make(main, "p");
    }
    main.append(place);
    timeOf(withSeries[0], place);
  }

  function timeOf(run, place) {
    place.replaceChildren();
    const seconds = { x: "even", xText: digits, xName: "seconds", warmEnd: 0,
      xTip: (at) => digits2(at) + " s" };
    const bad = run.partial ? "partial" : "";
    const rate = (name, key, at) => ({
      name, colour: colour(at), points: run.series.map((point) => [point.at_s, point[key]]),
    });
    chart(place, {
      ...seconds, title: "Rates", note: bad || "records a second", y: "zero", yText: short,
      asked: run.settings.rate,
      series: [rate("acknowledged", "acked_per_s", 0), rate("consumed", "received_per_s", 1)],
    });
    for (const [key, name] of run.settings.rate === null ? [] : SPANS) {
      const line = (figure, at) => {
        const known = run.series.filter((point) => isNumber(point.latency[key]?.[figure + "_us"]));
        const value = (point) => Math.max(point.latency[key][figure + "_us"], LEAST_US);
        return { name: figure, colour: colour(at), points: known.map((p) => [p.at_s, value(p)]) };
      };
      chart(place, {
        ...seconds, title: name, note: bad, y: "log", yText: latency,
        series: [line("p50", 0), line("p99", 1), line("max", 3)],
      });
    }
  }

  // Figures over one setting, for each that takes several values while the others stay.
  function sweep() {
    const follows = differing.some((name) => name !== "rate") ? ["rate"] : [];
    const axes = differing.filter((name) => !follows.includes(name));
    for (const name of axes) {
      const groups = new Map();
      for (const run of runs) {
        const rest = settingNames.filter((other) => other !== name && !follows.includes(other));
        const key = JSON.stringify([run.target.name, ...rest.map((other) => run.settings[other])]);
        groups.set(key, (groups.get(key) ?? []).concat(run));
      }
      const values = (group) => new Set(group.map((run) => run.settings[name])).size;
      const lines = [...groups.values()].filter((group) => values(group) > 1);
      if (lines.length > 0) sweepOver(name, lines, axes);
    }
  }

  function sweepOver(name, groups, axes) {
    const all = [...new Set(groups.flat().map((run) => run.settings[name]))];
    const even = all.every((value) => isNumber(value) && value > 0);
    if (even) all.sort((a, b) => a - b);
    if (name === "acks") all.sort((a, b) => ACKS.indexOf(a) - ACKS.indexOf(b));
    const place = (run) => (even ? run.settings[name] : all.indexOf(run.settings[name]) + 1);
    const ticks = all.map((value, at) => [even ? value : at + 1, even ? short(value) : shown(value)]);
    section("Over " + name.replaceAll("_", " "));
    const grid = make(main, "div", { class: "grid" });
    const told = (group) => {
      const others = axes.filter((other) => other !== name);
      const parts = others.map((other) => other + " " + shown(group[0].settings[other]));
      return [group[0].target.name, ...parts].join(", ");
    };
    const line = (group, text, at, figure) => {
      const known = group.filter((run) => isNumber(figure(run)));
      const points = known.map((run) => [place(run), figure(run)]).sort((a, b) => a[0] - b[0]);
      const bad = group.some((run) => run.partial);
      return { name: text, colour: bad ? "var(--bad)" : colour(at), points };
    };
    const common = { x: even ? "log" : "even", xTicks: ticks, xName: name.replaceAll("_", " "),
      xTip: (at) => (even ? short(at) : shown(all[at - 1])), dots: true };
    const rate = (run) => (run.settings.rate === null ? run.load.acked_per_s : run.load.saturation_per_s);
    chart(grid, {
      ...common, title: "Saturation", note: "records acknowledged a second", y: "log", yText: short,
      series: groups.map((group, at) => line(group, told(group), at, rate)),
    });
    for (const [key, span] of SPANS) {
      for (const figure of ["p50", "p99"]) {
        const value = (run) => {
          const us = latencies(run, key)?.[figure + "_us"];
          return isNumber(us) ? Math.max(us, LEAST_US) : null;
        };
        chart(grid, {
          ...common, title: span + " " + figure, y: "log", yText: latency,
          series: groups.map((group, at) => line(group, told(group), at, value)),
        });
      }
    }
  }

  function floor() {
    const floor = report.floor;
    if (floor) {
      section("Floor", "what this host does without corelane, measured in the same run");
      const timing = (name, of) => [name, short(of.count), latency(of.p50_us),
        of.count < 1000 ? "-" : latency(of.p99_us), latency(of.p999_us), latency(of.max_us)];
      const rows = [timing("write 4 KiB and fdatasync", floor.write_sync),
        timing("write 4 KiB with O_DSYNC", floor.dsync),
        timing("loopback TCP, there and back", floor.loopback)];
      if (floor.hop) rows.push(timing("core to core and back", floor.hop));
      table(main, ["", "samples", "p50", "p99", "p99.9", "max"], rows);
      const cached = floor.access === "cached" ? " (through the page cache: no O_DIRECT here)" : "";
      make(main, "p", {}, "Sequential writes " + bytes(floor.write_bytes_per_s) + "/s" + cached +
        ", loopback " + bytes(floor.loopback_bytes_per_s) + "/s.");
      table(main, ["CPU", "time lost", "longest gap", "wait p99.99"], floor.jitter.map((of) => [
        String(of.cpu), percent(of.lost), latency(of.max_us), latency(of.wait_p9999_us)]));
    }
    const names = [...new Set(runs.flatMap((run) => Object.keys(run.ratio_to_floor)))];
    if (names.length === 0) return;
    section("Ratios to the floor");
    table(main, ["", ...runs.map(label)], names.map((name) => [
      name.replaceAll("_", " "), ...runs.map((run) => short(run.ratio_to_floor[name]))]));
  }

  function described() {
    section("Machine");
    const machine = Object.entries(report.machine).map(([name, value]) => [
      name.replaceAll("_", " "), name === "memory_bytes" ? bytes(value) : shown(value)]);
    table(main, [], machine, "words");
    section("Settings");
    const rows = settingNames.map((name) => [name.replaceAll("_", " "),
      ...new Set(runs.map((run) => shown(run.settings[name])))]);
    table(main, [], rows.map(([name, ...values]) => [name, values.join("; ")]), "words");
    const seen = new Map(runs.map((run) => [JSON.stringify(run.target), run.target]));
    for (const target of seen.values()) {
      section("Target " + target.name);
      table(main, [], [["durability", shown(target.durability)],
        ["versions", shown(target.versions.join(", "))], ...target.settings], "words");
    }
  }

  head();
  figures();
  sweep();
  curves();
  time();
  floor();
  described();
})();
