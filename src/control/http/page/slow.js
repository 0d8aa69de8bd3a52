// The slowest transactions as a waterfall: where each one's time went.

const SLOW_SHOWN = 12;

// A colour for each stretch of a transaction's way; what is not known here has the last one.
const STAGES = ["intake", "hop", "queue", "frame", "sync", "tail_read", "process", "commit", "produce"];
const stageClass = (stage) => "k" + (STAGES.includes(stage) ? STAGES.indexOf(stage) : STAGES.length);

function waterfall(place, legend, note) {
  for (const stage of STAGES) make(legend, "span", { class: "box " + stageClass(stage) }, stage.replace("_", " "));
  let drawn = "", agoes = [];

  function bar(track, flight, longest) {
    for (const span of list(flight.stages)) {
      if (!isNumber(span.start_us) || !isNumber(span.took_us) || !(span.took_us > 0)) continue;
      const piece = make(track, "i", { class: stageClass(span.stage) });
      piece.style.left = (100 * span.start_us) / longest + "%";
      piece.style.width = (100 * span.took_us) / longest + "%";
    }
    const spans = list(flight.stages).map((span) => String(span.stage).replace("_", " ") + " " + latency(span.took_us));
    attributes(track, { title: spans.join("\n"), "aria-label": spans.join(", ") });
  }

  return (told) => {
    const flights = list(told.slowest).filter((it) => it.total_us > 0).slice(0, SLOW_SHOWN);
    const missing = list(told.missing_cores);
    say(note, "of the last " + told.minutes + " minutes"
      + (missing.length ? "; no answer from core " + missing.join(", ") : ""));
    // Redrawn only where there are others, so that what somebody points at stays.
    const key = JSON.stringify(flights.map((it) => [it.shard, it.partition, it.offset, it.total_us]));
    if (key !== drawn) {
      drawn = key;
      place.replaceChildren();
      const longest = Math.max(...flights.map((it) => it.total_us));
      agoes = flights.map((flight) => {
        const row = make(place, "div", { class: "flight" });
        const where = make(row, "span", { class: "where" }, flight.shard + " ");
        const ago = make(where, "small");
        make(row, "b", {}, latency(flight.total_us));
        bar(make(row, "div", { class: "track", role: "img" }), flight, longest);
        return ago;
      });
      if (flights.length === 0) make(place, "small", {}, "none yet");
    }
    flights.forEach((it, at) => say(agoes[at],
      it.partition + "@" + it.offset + ", " + Math.round(it.seconds_ago) + " s ago"));
  };
}
