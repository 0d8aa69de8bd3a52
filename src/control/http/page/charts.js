// Curves over the last minutes: what the page has seen since it was opened.

// The axis begins with a minute and grows with what was seen.
const REACH_SECONDS = 300, REACH_LEAST_SECONDS = 60;
const GAP_SECONDS = 4;
const CHART_HEIGHT = 200, LEFT = 58, RIGHT = 12, TOP = 8, BOTTOM = 22;

// As few as tell something: powers of ten, or steps between them where the axis is short.
function logTicks(low, high) {
  for (const steps of [[1], [1, 2, 5]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      ticks.push(...steps.map((step) => step * 10 ** power));
    }
    const seen = ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
    if (seen.length > 1) return seen;
  }
  return evenTicks(low, high);
}

function evenTicks(low, high) {
  const rough = (high - low) / 4 || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  const ticks = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) {
    ticks.push(Number((at * step).toPrecision(12)));
  }
  return ticks;
}

function yAxis(values, kind, most) {
  let low = 0, high = Math.max(...values, most ?? 0);
  const from = CHART_HEIGHT - BOTTOM;
  if (kind === "log") {
    low = 10 ** (Math.floor(Math.log10(Math.min(...values)) * 2) / 2);
    high = 10 ** (Math.ceil(Math.log10(high) * 2) / 2);
    if (low === high) high = low * 10;
    const place = (v) => from + ((TOP - from) * Math.log(v / low)) / Math.log(high / low);
    return { place, ticks: logTicks(low, high) };
  }
  if (high <= 0) high = 1;
  if (most === undefined) high *= 1.08;
  const place = (v) => from + ((TOP - from) * (v - low)) / (high - low);
  return { place, ticks: evenTicks(low, high) };
}

// options: {title, note, kind: "log" or "zero", most, text, series: [{name, of}]}; `of` gives a sample's
// figure, or none. Returns what draws the samples that there are.
function chart(parent, options) {
  const figure = make(parent, "figure");
  const caption = make(figure, "figcaption", {}, options.title);
  if (options.note) make(caption, "small", {}, " " + options.note);
  const svg = draw(figure, "svg", { height: CHART_HEIGHT, role: "img", "aria-label": options.title });
  const legend = make(figure, "div", { class: "legend" });
  options.series.forEach((one, at) => make(legend, "span", { class: "k" + at }, one.name));
  const tip = make(figure, "div", { class: "tip" });
  let width = 0, samples = [], pointer = null;

  const last = () => samples[samples.length - 1].at;
  const reach = () => Math.min(REACH_SECONDS, Math.max(REACH_LEAST_SECONDS, last() - samples[0].at));
  const x = (at) => LEFT + (width - LEFT - RIGHT) * (1 - (last() - at) / reach());
  const usable = (value) => isNumber(value) && (options.kind !== "log" || value > 0);

  function redraw() {
    if (width === 0 || samples.length === 0) return;
    svg.replaceChildren();
    attributes(svg, { width, viewBox: "0 0 " + width + " " + CHART_HEIGHT });
    const values = samples.flatMap((sample) => options.series.map((one) => one.of(sample))).filter(usable);
    const y = yAxis(values.length ? values : [1], options.kind, options.most);
    for (const tick of y.ticks) {
      draw(svg, "line", { class: "grid-line", x1: LEFT, x2: width - RIGHT, y1: y.place(tick), y2: y.place(tick) });
      draw(svg, "text", { x: LEFT - 6, y: y.place(tick) + 4, "text-anchor": "end" }, options.text(tick));
    }
    const step = reach() > 120 ? 60 : 15;
    for (let ago = 0; ago <= reach(); ago += step) {
      const at = x(last() - ago);
      draw(svg, "line", { class: "grid-line", x1: at, x2: at, y1: TOP, y2: CHART_HEIGHT - BOTTOM });
      const text = ago === 0 ? "now" : step === 60 ? "-" + ago / 60 + " min" : "-" + ago + " s";
      draw(svg, "text", { x: at, y: CHART_HEIGHT - 6, "text-anchor": ago === 0 ? "end" : "middle" }, text);
    }
    options.series.forEach((one, at) => {
      // Where a sample has no figure, or none was had for a while, the curve has a gap.
      let path = "", pen = "M", before = 0;
      for (const sample of samples) {
        const value = one.of(sample);
        if (sample.at - before > GAP_SECONDS) pen = "M";
        before = sample.at;
        if (usable(value)) {
          path += pen + x(sample.at).toFixed(1) + " " + y.place(value).toFixed(1);
          pen = "L";
        } else pen = "M";
      }
      draw(svg, "path", { class: "series k" + at, d: path, "data-name": one.name });
    });
    show();
  }

  // Shows, beside the pointer, what was then.
  function show() {
    svg.querySelector(".cursor")?.remove();
    tip.style.display = pointer === null ? "none" : "block";
    if (pointer === null) return;
    const away = (sample) => Math.abs(x(sample.at) - pointer);
    const sample = samples.reduce((a, b) => (away(b) < away(a) ? b : a));
    const ago = Math.round(last() - sample.at);
    const lines = options.series.map((one) => one.name + ": " + options.text(one.of(sample)));
    say(tip, [ago === 0 ? "now" : ago + " s ago", ...lines].join("\n"));
    const at = x(sample.at);
    const line = draw(svg, "line", { class: "cursor", x1: at, x2: at, y1: TOP, y2: CHART_HEIGHT - BOTTOM });
    line.style.visibility = "visible";
    tip.style.left = Math.max(4, Math.min(at + 20, figure.clientWidth - tip.offsetWidth - 8)) + "px";
  }

  svg.addEventListener("pointermove", (event) => {
    if (samples.length === 0) return;
    pointer = event.clientX - svg.getBoundingClientRect().left;
    show();
  });
  svg.addEventListener("pointerleave", () => {
    pointer = null;
    show();
  });
  fit(figure, (wide) => {
    width = wide;
    redraw();
  });
  return (told) => {
    samples = told;
    redraw();
  };
}
