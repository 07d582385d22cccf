// The page: choose a model, fill in a row, see the answer, copy the call. It speaks to its own service and to nobody else.
import { latency, render, scores } from "./answers.js";
import { Wrong, field } from "./inputs.js";
import { explained } from "./reasons.js";
import { current, make, say, speak } from "./words.js";

const $ = (id) => document.getElementById(id);
const KEPT = 30; // calls whose time is shown
const MANY = 6; // short fields, from which they stand in two columns
const SHORT = ["number", "category", "date"];
const state = { key: sessionStorage.getItem("key") || "", models: [], model: null, schemas: {}, fields: [], times: [], answer: null, tab: "call", row: null, asking: null };

const headers = () => ({ "Accept-Language": current(), ...(state.key ? { Authorization: `Bearer ${state.key}` } : {}) });

class Refused extends Error {
  constructor(status, error, retry) { super(error.message); Object.assign(this, { status, error, retry }); }
}

async function ask(path, body, signal) {
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers: { ...headers(), ...(body ? { "Content-Type": "application/json" } : {}) }, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { message: say("offline") });
  }
  if (response.ok) return response;
  const found = await response.json().catch(() => ({}));
  throw new Refused(response.status, found.error || { message: String(response.status) }, response.headers.get("Retry-After"));
}

async function start() {
  try {
    state.models = (await (await ask("/v1/models")).json()).data;
    const paths = (await (await ask("/openapi.json")).json()).paths;
    for (const model of state.models) state.schemas[model.id] = schemaOf(paths, model.id);
  } catch (error) {
    if (error.status === 401) {
      if (state.key) trouble(say("wrong_key"));
      $("locked").hidden = false;
      $("key").focus();
      return;
    }
    trouble(error.message);
    return;
  }
  trouble("");
  $("locked").hidden = true;
  for (const id of ["ask", "said", "more"]) $(id).hidden = false;
  $("state").textContent = say("models", { n: state.models.length });
  $("model").replaceChildren(...state.models.map((model) => make("option", { value: model.id }, model.id)));
  const wanted = decodeURIComponent(location.hash.slice(1));
  if (state.models.some((model) => model.id === wanted)) $("model").value = wanted;
  await choose();
}

const schemaOf = (paths, name) => paths[`/v1/predict/${encodeURIComponent(name)}`]?.post.requestBody.content["application/json"].schema.oneOf[0].properties.row.properties || {};

async function choose() {
  const name = $("model").value;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  state.model = await (await ask(`/v1/models/${encodeURIComponent(name)}`)).json();
  state.answer = state.row = state.why = null;
  state.times = [];
  draw();
}

function draw() {
  const { model } = state;
  const inputs = Object.entries(model.signature.inputs);
  $("about").textContent = say("reads", { task: model.task, version: model.version, n: inputs.length });
  const given = state.fields.length && state.fields.map((one) => { try { return [one.name, one.read()]; } catch { return [one.name, null]; } });
  state.fields = inputs.map(([name, kind]) => field(name, kind, state.schemas[model.id]?.[name]));
  $("fields").replaceChildren(...state.fields.map((one) => one.element));
  $("fields").classList.toggle("many", inputs.length > MANY && inputs.every(([, kind]) => SHORT.includes(kind)));
  if (given && given.map(([name]) => name).join() === state.fields.map((one) => one.name).join()) state.fields.forEach((one, i) => one.fill(given[i][1]));
  const examples = model.examples || [];
  $("examples").replaceChildren(...examples.map((example, i) => make("button", { type: "button", onclick: () => fill(example.input) }, say("example", { n: i + 1 }))));
  show();
}

function fill(row) {
  state.fields.forEach((one) => { one.blame(""); one.fill(row[one.name]); });
  state.row = row;
  panel();
}

function show() {
  $("answer").replaceChildren(state.answer === null ? make("p", { class: "note" }, say("nothing_yet")) : render(state.answer, state.model));
  $("latency").replaceChildren(latency(state.times));
  $("why").hidden = state.answer === null || !state.model.can.includes("explain");
  $("reasons").replaceChildren(...(state.why ? [explained(state.why, state.row)] : []));
  panel();
}

async function why() {
  $("why").disabled = true;
  trouble("");
  const { row, model } = state;
  try {
    const found = await (await ask(`/v1/explain/${encodeURIComponent(model.id)}`, { row })).json();
    if (row !== state.row || model !== state.model) return;
    state.why = found.explanation;
    show();
    $("why").hidden = true;
  } catch (error) {
    refused(error);
  } finally {
    $("why").disabled = false;
  }
}

function read() {
  const row = {};
  let good = true;
  for (const one of state.fields) {
    one.blame("");
    try {
      row[one.name] = one.read();
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      one.blame(error.message);
      good = false;
    }
  }
  return good ? row : null;
}

async function send() {
  const row = read();
  if (!row || state.asking) return;
  state.row = row;
  state.why = null;
  trouble("");
  state.asking = new AbortController();
  $("send").disabled = true;
  const begun = performance.now();
  try {
    if (state.model.can.includes("generate")) {
      await listen(row);
      state.times = [...state.times, performance.now() - begun].slice(-KEPT);
      $("latency").replaceChildren(latency(state.times));
      panel();
      return;
    }
    const response = await ask(`/v1/predict/${encodeURIComponent(state.model.id)}`, { row }, state.asking.signal);
    state.answer = (await response.json()).answer;
    state.times = [...state.times, performance.now() - begun].slice(-KEPT);
    show();
    if ($("said").getBoundingClientRect().top > innerHeight - 120) $("said").scrollIntoView({ block: "start" });
  } catch (error) {
    if (error.name !== "AbortError") refused(error);
  } finally {
    state.asking = null;
    $("send").disabled = false;
    $("stop").hidden = true;
  }
}

const chats = () => Object.values(state.model.signature.inputs).includes("messages");
const spoken = (row) => {
  const [text] = Object.values(row);
  return { model: state.model.id, stream: true, ...(chats() ? { messages: [{ role: "user", content: text }] } : { prompt: text }) };
};

// Text as it comes, by server-sent events.
async function listen(row) {
  $("stop").hidden = false;
  const said = make("p", { class: "streamed going" });
  $("answer").replaceChildren(said);
  try {
    const response = await ask(chats() ? "/v1/chat/completions" : "/v1/completions", spoken(row), state.asking.signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let held = "", part = await reader.read(); !part.done; part = await reader.read()) {
      const events = (held + part.value).split("\n\n");
      held = events.pop();
      for (const event of events) {
        if (event === "data: [DONE]") return;
        const found = JSON.parse(event.slice(6));
        if (found.error) throw new Refused(0, found.error);
        const choice = found.choices[0];
        said.append(choice?.delta?.content ?? choice?.text ?? "");
      }
    }
  } finally {
    said.classList.remove("going");
    state.answer = { text: said.textContent };
  }
}

function refused(error) {
  if (!(error instanceof Refused)) throw error;
  const details = error.error.details || [];
  for (const detail of details) state.fields.find((one) => one.name === detail.column)?.blame(detail.what);
  if (details.length) return;
  const words = error.status === 429 || error.status === 503 ? say("busy", { seconds: error.retry || 1 }) : error.message;
  trouble(error.error.code ? `${words} (${error.error.code} · ${error.error.request_id})` : words);
}

function trouble(what) {
  $("trouble").textContent = what;
  $("trouble").hidden = !what;
}

function panel() {
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", String(tab.dataset.tab === state.tab));
    tab.tabIndex = tab.dataset.tab === state.tab ? 0 : -1;
  }
  const made = { call: () => calls(), scores: () => scores(state.model), card: () => make("pre", {}, state.model.card.replace(/^---[\s\S]*?---\n/, "")) }[state.tab]();
  $("panel").replaceChildren(made);
}

function calls() {
  const row = state.row || Object.fromEntries(state.fields.map((one) => [one.name, "…"]));
  const speaks = state.model.can.includes("generate");
  const short = JSON.stringify(speaks ? { ...spoken(row), stream: undefined } : { row }, (_, value) => (typeof value === "string" && value.length > 300 ? `${value.slice(0, 40)}…` : value));
  const url = location.origin + (speaks ? (chats() ? "/v1/chat/completions" : "/v1/completions") : `/v1/predict/${encodeURIComponent(state.model.id)}`);
  const key = state.key ? ["  -H 'Authorization: Bearer '\"$LUBAN_KEY\" \\\n", `, "Authorization": "Bearer " + os.environ["LUBAN_KEY"]`, "import json, os, urllib.request"] : ["", "", "import json, urllib.request"];
  const curl = `curl ${url} \\\n${key[0]}  -H 'Content-Type: application/json' \\\n  -d '${short.replace(/'/g, "'\\''")}'`;
  const python = `${key[2]}\n\nbody = json.dumps(json.loads(${quoted(short)})).encode()\nrequest = urllib.request.Request("${url}", body, {"Content-Type": "application/json"${key[1]}})\nprint(json.load(urllib.request.urlopen(request))["${speaks ? "choices" : "answer"}"])`;
  return make("div", {}, ...snippet("curl", curl), ...snippet("Python", python));
}

const quoted = (text) => `r'''${text.replace(/'/g, "\\u0027")}'''`;

function snippet(title, text) {
  const button = make("button", { type: "button", onclick: async () => { await navigator.clipboard.writeText(text); button.textContent = say("copied"); } }, say("copy"));
  return [make("div", { class: "line spread" }, make("h3", {}, title), button), make("pre", {}, text)];
}

const THEMES = ["auto", "light", "dark"];
function theme(name) {
  localStorage.setItem("theme", name);
  document.documentElement.dataset.theme = name;
  $("theme").textContent = say(`theme_${name}`);
}

$("language").addEventListener("click", () => { speak(current() === "zh" ? "en" : "zh"); theme(document.documentElement.dataset.theme); if (state.model) { draw(); $("state").textContent = say("models", { n: state.models.length }); } });
$("theme").addEventListener("click", () => theme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % 3]));
$("locked").addEventListener("submit", (event) => { event.preventDefault(); state.key = $("key").value.trim(); sessionStorage.setItem("key", state.key); start(); });
$("model").addEventListener("change", () => choose().catch((error) => trouble(error.message)));
$("form").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("form").addEventListener("reset", (event) => { event.preventDefault(); state.fields.forEach((one) => { one.blame(""); one.fill(null); }); state.row = null; panel(); });
$("why").addEventListener("click", why);
$("stop").addEventListener("click", () => state.asking?.abort());
document.addEventListener("keydown", (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && state.model) { event.preventDefault(); send(); } });
document.querySelector("[role=tablist]").addEventListener("click", (event) => { if (event.target.dataset.tab) { state.tab = event.target.dataset.tab; panel(); } });
document.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const next = tabs[(tabs.findIndex((tab) => tab.dataset.tab === state.tab) + step + tabs.length) % tabs.length];
  state.tab = next.dataset.tab;
  panel();
  next.focus();
});
speak(current());
theme(localStorage.getItem("theme") || "auto");
start();
