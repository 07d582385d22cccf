// An answer as people expect it: by what it holds, not by which task gave it.
import { make, say } from "./words.js";

const MOST_BARS = 12;
const percent = (share) => `${(100 * share).toFixed(share > 0.0995 && share < 0.9995 ? 1 : 2)} %`;
export const figure = (value) => (typeof value !== "number" ? String(value) : Number.isInteger(value) ? value.toLocaleString() : Number(value.toPrecision(5)).toLocaleString(undefined, { maximumFractionDigits: 10 }));

export function render(answer, model) {
  if (Array.isArray(answer)) return make("div", {}, ...answer.map((one) => render(one, model)));
  if (answer === null || typeof answer !== "object") return make("p", { class: "headline" }, figure(answer));
  if ("chances" in answer) return ofChances(answer, model);
  if ("number" in answer) return ofNumber(answer, model);
  if (typeof answer.text === "string") return make("div", {}, make("p", { class: "streamed" }, answer.text), facts(answer, ["text"]));
  return facts(answer, []);
}

function ofChances(answer, model) {
  const tags = Array.isArray(answer.tags);
  const title = tags ? answer.tags.join(" · ") || say("no_tags") : String(answer.label);
  const sorted = Object.entries(answer.chances).sort((a, b) => b[1] - a[1]);
  const best = new Set(tags ? answer.tags : [title]);
  const bars = sorted.slice(0, MOST_BARS).flatMap(([name, share]) => [
    make("span", { class: "name", title: name }, name), bar(share, best.has(name)), make("span", { class: "share" }, percent(share)),
  ]);
  const rest = sorted.length > MOST_BARS ? make("p", { class: "note" }, say("others", { n: sorted.length - MOST_BARS })) : null;
  const sure = [say("confident", { share: percent(answer.confidence) }), calibrated(answer.confidence, model)].filter(Boolean).join(" · ");
  return make("div", {}, make("p", { class: "headline" }, title), make("p", { class: "sure" }, sure), make("div", { class: "bars", role: "img", "aria-label": sorted.slice(0, 3).map(([n, s]) => `${n} ${percent(s)}`).join(", ") }, ...bars), rest);
}

// What the report measured among test answers of about this confidence.
function calibrated(confidence, model) {
  const bins = model.report?.calibration?.bins || [];
  const bin = bins.find((one) => confidence >= one.low && confidence <= one.high);
  return bin && bin.count >= 10 && bin.accuracy !== null ? say("calibrated", { count: bin.count, share: percent(bin.accuracy) }) : "";
}

function bar(share, best) {
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("class", best ? "track best" : "track");
  svg.setAttribute("viewBox", "0 0 100 10");
  svg.setAttribute("preserveAspectRatio", "none");
  for (const [name, width] of [["back", 100], ["front", Math.max(0.4, 100 * share)]]) {
    const rect = document.createElementNS(NS, "rect");
    rect.setAttribute("class", name);
    rect.setAttribute("width", width);
    rect.setAttribute("height", 10);
    svg.append(rect);
  }
  return svg;
}

function ofNumber(answer, model) {
  const chosen = (model.report?.ladder || []).find((row) => row.chosen);
  const error = (chosen?.test || chosen?.validation || {}).mae?.value;
  const title = model.signature.target ? `${model.signature.target}: ${figure(answer.number)}` : figure(answer.number);
  return make("div", {}, make("p", { class: "headline" }, title), error ? make("p", { class: "sure" }, say("typical", { error: figure(error) })) : null, facts(answer, ["number"]));
}

function facts(answer, without) {
  const entries = Object.entries(answer).filter(([name]) => !without.includes(name));
  if (!entries.length) return null;
  return make("dl", { class: "facts" }, ...entries.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, typeof value === "object" && value !== null ? JSON.stringify(value) : figure(value))]));
}

export function latency(times) {
  if (!times.length) return document.createTextNode("");
  const sorted = [...times].sort((a, b) => a - b);
  const most = sorted.at(-1);
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 300 34");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  times.forEach((time, i) => {
    const rect = document.createElementNS(NS, "rect");
    const height = Math.max(2, (32 * time) / most);
    for (const [name, value] of [["x", 10 * i], ["y", 34 - height], ["width", 8], ["height", height]]) rect.setAttribute(name, value);
    svg.append(rect);
  });
  return make("div", {}, say("latency", { n: times.length, median: sorted[Math.floor(sorted.length / 2)].toFixed(0), slowest: most.toFixed(0) }), svg);
}

export function scores(model) {
  const report = model.report || {};
  if (!report.ladder) return make("p", { class: "note" }, say("no_report"));
  const zh = document.documentElement.lang.startsWith("zh");
  const rows = report.ladder.flatMap((row) => Object.keys(row.validation || {}).map((metric) =>
    make("tr", { class: row.chosen ? "chosen" : "" }, make("td", {}, row.name), make("td", {}, metric), make("td", { class: "num" }, score(row.validation[metric])), make("td", { class: "num" }, score((row.test || {})[metric])))));
  const head = make("tr", {}, ...["model", "metric", "validation", "test"].map((name) => make("th", { scope: "col" }, say(name))));
  return make("div", {}, make("p", {}, (zh ? report.verdict?.text_zh : report.verdict?.text_en) || ""),
    make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows))),
    report.data ? make("p", { class: "note" }, say("rows", { rows: figure(report.data.rows), splits: Object.entries(report.data.splits || {}).map(([n, c]) => `${n} ${figure(c)}`).join(", ") })) : null);
}

function score(found) {
  if (!found || found.value === null || found.value === undefined) return "–";
  return found.value.toFixed(4) + (found.low === null || found.low === undefined ? "" : ` [${found.low.toFixed(4)}, ${found.high.toFixed(4)}]`);
}
