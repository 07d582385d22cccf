// A form from a signature: one field a column, by its kind. A field has `element`, `read()` (throws Wrong), `fill(value)`.
import { make, say } from "./words.js";

export class Wrong extends Error {}

const MANY = 200; // categories, above which they are typed and not chosen
let number = 0;

export function field(name, kind, schema) {
  const make_one = { number: ofNumber, category: ofCategory, tags: ofTags, items: ofItems, series: ofSeries, image: ofMedia, audio: ofMedia, date: ofDate, text: ofText }[kind] || ofText;
  const id = `field${number++}`;
  const made = make_one(id, schema || {}, kind);
  const hint = make("p", { class: "hint", id: `${id}h`, hidden: true });
  const element = make("div", { class: "field" }, make("label", { for: id }, name, " ", make("small", {}, kind)), made.element, hint);
  const control = element.querySelector(`#${id}`);
  control.setAttribute("aria-describedby", hint.id);
  return {
    name, element, read: made.read, fill: made.fill,
    blame(what) {
      hint.textContent = what || "";
      hint.hidden = !what;
      element.classList.toggle("wrong", Boolean(what));
      control.toggleAttribute("aria-invalid", Boolean(what));
      if (what) control.focus();
    },
  };
}

const plain = (control, read) => ({ element: control, read: () => read(control.value), fill: (value) => { control.value = value ?? ""; } });

function ofText(id) {
  return plain(make("textarea", { id, rows: 3, spellcheck: false }), (value) => value);
}

function ofDate(id) {
  return plain(make("input", { id, autocomplete: "off" }), (value) => value.trim() || null);
}

function ofNumber(id) {
  return plain(make("input", { id, inputmode: "decimal", autocomplete: "off" }), (value) => {
    if (!value.trim()) return null;
    const found = Number(value.trim().replace(/,/g, ""));
    if (!Number.isFinite(found)) throw new Wrong(say("not_number"));
    return found;
  });
}

function ofCategory(id, schema) {
  const known = schema["x-known"] || [];
  if (!known.length || known.length > MANY) return plain(make("input", { id, autocomplete: "off" }), (value) => value.trim() || null);
  const select = make("select", { id }, make("option", { value: "" }, say("missing")), ...known.map((name) => make("option", { value: name }, name)));
  const made = plain(select, (value) => value || null);
  made.fill = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    if (![...select.options].some((option) => option.value === text)) select.append(make("option", { value: text }, text));
    select.value = text;
  };
  return made;
}

function ofList(id, empty) {
  const control = make("textarea", { id, rows: 3, placeholder: say("one_a_line"), spellcheck: false });
  return {
    element: control,
    read: () => { const found = control.value.split("\n").map((line) => line.trim()).filter(Boolean); return found.length ? found : empty; },
    fill: (value) => { control.value = Array.isArray(value) ? value.join("\n") : value ?? ""; },
  };
}
const ofTags = (id) => ofList(id, null);
const ofItems = (id) => ofList(id, []);

function ofSeries(id) {
  const control = make("textarea", { id, rows: 4, placeholder: say("numbers"), spellcheck: false });
  return {
    element: control,
    read: () => {
      try {
        const text = control.value.trim();
        const found = JSON.parse(text.startsWith("[") ? text : `[${text.split(/[\s,;]+/).filter(Boolean).join(",")}]`);
        if (Array.isArray(found) && found.length) return found;
      } catch { /* said below */ }
      throw new Wrong(say("not_json"));
    },
    fill: (value) => { control.value = value === null || value === undefined ? "" : JSON.stringify(value); },
  };
}

// Pictures and sounds: dropped, pasted, chosen or recorded; shown before they are sent.
function ofMedia(id, schema, kind) {
  let base64 = null;
  const control = make("input", { id, type: "file", accept: `${kind}/*` });
  const shown = make("div");
  const area = make("div", { class: "drop" }, shown, make("p", { class: "note" }, say("drop")), control);
  const take = async (blob) => {
    base64 = await encoded(kind === "audio" ? await asWave(blob) : blob);
    show(URL.createObjectURL(blob));
  };
  const show = (url) => {
    const view = kind === "audio" ? make("audio", { src: url, controls: true }) : make("img", { src: url, alt: "" });
    view.addEventListener("load", () => area.classList.toggle("small", view.naturalWidth < 64));
    shown.replaceChildren(view);
  };
  control.addEventListener("change", () => control.files[0] && take(control.files[0]));
  for (const name of ["dragover", "dragleave", "drop"]) area.addEventListener(name, (event) => { event.preventDefault(); area.classList.toggle("over", name === "dragover"); });
  area.addEventListener("drop", (event) => event.dataTransfer.files[0] && take(event.dataTransfer.files[0]));
  area.addEventListener("paste", (event) => event.clipboardData.files[0] && take(event.clipboardData.files[0]));
  if (kind === "audio") area.append(recorder(take));
  return {
    element: area,
    read: () => (base64 === null ? null : { base64 }),
    fill: (value) => {
      base64 = value && value.base64 ? value.base64 : null;
      control.value = "";
      if (base64) show(`data:${kind === "audio" ? "audio/wav" : "image/png"};base64,${base64}`);
      else shown.replaceChildren();
    },
  };
}

async function encoded(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  return btoa(text);
}

function recorder(take) {
  const button = make("button", { type: "button" }, say("record"));
  let recording = null;
  button.addEventListener("click", async () => {
    if (recording) { recording.stop(); return; }
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      const parts = [];
      recording = new MediaRecorder(stream);
      recording.addEventListener("dataavailable", (event) => parts.push(event.data));
      recording.addEventListener("stop", () => {
        stream.getTracks().forEach((track) => track.stop());
        recording = null;
        button.textContent = say("record");
        take(new Blob(parts));
      });
      recording.start();
      button.textContent = say("recording");
    } catch { button.textContent = say("no_microphone"); }
  });
  return button;
}

// What a browser can play, as 16-bit mono WAV: what every reader of sounds knows.
async function asWave(blob) {
  const context = new AudioContext();
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  await context.close();
  const samples = sound.getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (place, word) => [...word].forEach((c, i) => view.setUint8(place + i, c.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * samples.length, true); text(8, "WAVEfmt ");
  [[16, 16, 4], [20, 1, 2], [22, 1, 2], [24, sound.sampleRate, 4], [28, 2 * sound.sampleRate, 4], [32, 2, 2], [34, 16, 2]].forEach(([place, value, size]) =>
    size === 4 ? view.setUint32(place, value, true) : view.setUint16(place, value, true));
  text(36, "data"); view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, i) => view.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, value)), true));
  return new Blob([view], { type: "audio/wav" });
}
