// What an answer hangs on: bars for columns, words in colour, a map over a picture, stretches of a series.
import { figure } from "./answers.js";
import { make, say } from "./words.js";

const NS = "http://www.w3.org/2000/svg";
const MOST = 12;
const LEVELS = 5;
const percent = (value) => `${value > 0 ? "+" : ""}${(100 * value).toFixed(Math.abs(value) < 0.0995 ? 2 : 1)} %`;
const signed = (value) => `${value > 0 ? "+" : ""}${figure(value)}`;
const strongest = (parts) => Math.max(1e-12, ...parts.map((part) => Math.abs(part.effect)));
const level = (effect, most) => `${effect < 0 ? "against" : "for"}${Math.round((LEVELS * Math.abs(effect)) / most)}`;

export function explained(found, row) {
  if (found.method === "reasons") return make("p", { class: "note" }, say("reasons_in_answer"));
  const inWords = found.label === undefined ? signed : percent;
  const columns = found.columns.length > 1 ? [bars(found.columns.map((part) => ({ ...part, name: named(part) })), inWords)] : [];
  const parts = Object.entries(found.parts).flatMap(([column, list]) => [found.columns.length > 1 ? make("h3", {}, column) : null, ofParts(list, row[column], inWords)]);
  const head = found.label === undefined ? say("why_number", { value: figure(found.value) }) : say("why_label", { label: found.label, share: `${(100 * found.value).toFixed(1)} %` });
  return make("div", {}, make("p", {}, head), legend(), ...columns, ...parts, make("p", { class: "note" }, say("why_note")));
}

const named = (part) => (part.cell === undefined ? part.column : `${part.column} = ${typeof part.cell === "number" ? figure(part.cell) : String(part.cell).slice(0, 24)}`);
const legend = () => make("p", { class: "legend" }, make("mark", { class: "for3" }, say("speaks_for")), " ", make("mark", { class: "against3" }, say("speaks_against")));

function ofParts(parts, cell, inWords) {
  if (parts[0].box) return map(parts, cell, inWords);
  if (parts[0].text !== undefined) return words(parts, String(cell ?? ""), inWords);
  return bars(parts.map((part) => ({ ...part, name: part.tag ?? say("steps", { from: part.from + 1, to: part.to, n: part.to - part.from }) })), inWords, parts[0].tag !== undefined);
}

function words(parts, text, inWords) {
  const most = strongest(parts);
  const out = make("p", { class: "words" });
  let place = 0;
  const points = [...text]; // the service counts characters, not halves of them
  for (const part of parts) {
    out.append(points.slice(place, part.start).join(""), make("mark", { class: level(part.effect, most), title: inWords(part.effect), tabindex: 0 }, points.slice(part.start, part.end).join("")));
    place = part.end;
  }
  out.append(points.slice(place).join(""));
  return out;
}

function svg(tag, attributes) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function bars(parts, inWords, sort = false) {
  const shown = sort === false && parts[0]?.from !== undefined ? parts : [...parts].sort((a, b) => Math.abs(b.effect) - Math.abs(a.effect)).slice(0, MOST);
  const most = strongest(shown);
  const rows = shown.flatMap((part) => {
    const width = (50 * Math.abs(part.effect)) / most;
    const bar = svg("svg", { class: "track", viewBox: "0 0 100 10", preserveAspectRatio: "none" });
    bar.append(svg("rect", { class: "back", width: 100, height: 10 }), svg("rect", { class: part.effect < 0 ? "against" : "for", x: part.effect < 0 ? 50 - width : 50, width: Math.max(0.3, width), height: 10 }));
    return [make("span", { class: "name", title: part.name }, part.name), bar, make("span", { class: "share" }, inWords(part.effect))];
  });
  return make("div", { class: "bars", role: "img", "aria-label": shown.slice(0, 3).map((part) => `${part.name} ${inWords(part.effect)}`).join(", ") }, ...rows);
}

function map(parts, cell, inWords) {
  const most = strongest(parts);
  const picture = make("img", { src: `data:;base64,${cell.base64}`, alt: "" });
  const over = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", role: "img", "aria-label": say("map") });
  for (const part of parts) {
    const [left, top, right, bottom] = part.box;
    const patch = svg("rect", { class: part.effect < 0 ? "against" : "for", x: left, y: top, width: right - left, height: bottom - top, "fill-opacity": (0.75 * Math.abs(part.effect)) / most });
    const title = svg("title", {});
    title.textContent = inWords(part.effect);
    patch.append(title);
    over.append(patch);
  }
  return make("div", { class: "map" }, picture, over);
}
