"use strict";
// Elements, and words for figures. Texts go in as text nodes only, never as markup; what a node tells
// is looked at before it becomes a coordinate.

const SVG = "http://www.w3.org/2000/svg";

function attributes(node, values) {
  for (const [key, value] of Object.entries(values)) node.setAttribute(key, value);
  return node;
}

function make(parent, name, values = {}, text = "") {
  const node = attributes(document.createElement(name), values);
  if (text !== "") node.textContent = text;
  parent.append(node);
  return node;
}

function draw(parent, name, values = {}, text = "") {
  const node = attributes(document.createElementNS(SVG, name), values);
  if (text !== "") node.textContent = text;
  parent.append(node);
  return node;
}

const byId = (id) => document.getElementById(id);
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const list = (value) => (Array.isArray(value) ? value : []);
const digits = (value) => (isNumber(value) ? String(Number(value.toPrecision(3))) : "-");

// A text is only changed where it differs, so that what somebody has marked stays so.
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function short(value) {
  if (!isNumber(value)) return "-";
  const units = [[1e9, "G"], [1e6, "M"], [1e3, "k"]];
  // What would be rounded up to the next unit belongs to it.
  const unit = units.find(([size]) => Math.abs(value) >= size * 0.9995);
  return unit ? digits(value / unit[0]) + " " + unit[1] : digits(value);
}

const rate = (value) => (isNumber(value) ? short(value) + "/s" : "-");
const count = (value) => (isNumber(value) ? value.toLocaleString("en") : "-");
const percent = (share) => (isNumber(share) ? Math.round(share * 100) + " %" : "-");

function latency(us) {
  if (!isNumber(us)) return "-";
  if (us >= 999500) return digits(us / 1e6) + " s";
  if (us >= 999.5) return digits(us / 1e3) + " ms";
  return us > 0 && us < 1 ? digits(us * 1e3) + " ns" : digits(us) + " µs";
}

function bytes(value) {
  if (!isNumber(value)) return "-";
  return short(value) + (Math.abs(value) < 999.5 ? " B" : "B");
}

function clock(seconds) {
  if (!isNumber(seconds)) return "-";
  const whole = Math.floor(seconds);
  const two = (value) => String(value).padStart(2, "0");
  const time = two(Math.floor(whole / 3600) % 24) + ":" + two(Math.floor(whole / 60) % 60) + ":" + two(whole % 60);
  const days = Math.floor(whole / 86400);
  return days > 0 ? days + " d " + time : time;
}

// A table whose rows are filled anew each second.
function table(parent, head) {
  const node = make(parent, "table");
  const row = make(make(node, "thead"), "tr");
  for (const text of head) make(row, "th", {}, text);
  const body = make(node, "tbody");
  return (rows) => {
    while (body.rows.length > rows.length) body.lastChild.remove();
    while (body.rows.length < rows.length) {
      const added = make(body, "tr");
      for (const _ of head) make(added, "td");
    }
    rows.forEach((texts, at) => texts.forEach((text, cell) => say(body.rows[at].cells[cell], text)));
  };
}

// Calls back with the width of a place whenever that changes.
function fit(place, changed) {
  new ResizeObserver((entries) => {
    const width = Math.floor(entries[entries.length - 1].contentRect.width);
    if (width > 0) changed(width);
  }).observe(place);
}
