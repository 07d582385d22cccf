// Every sentence of the page in both languages.
const WORDS = {
  skip: ["To the form", "跳到表单"],
  key: ["Key", "密钥"],
  open: ["Open", "打开"],
  key_note: ["The service wants a key. It stays in this tab and is sent to this service only.", "服务需要密钥。密钥只保存在本标签页中，只发送给本服务。"],
  wrong_key: ["This key does not open the service.", "这个密钥不能打开服务。"],
  ask: ["Ask", "提问"],
  keys: ["Ctrl + Enter asks", "Ctrl + Enter 提问"],
  model: ["Model", "模型"],
  example: ["Example {n}", "示例 {n}"],
  send: ["Ask", "提问"],
  stop: ["Stop", "停止"],
  clear: ["Clear", "清空"],
  answer: ["Answer", "回答"],
  nothing_yet: ["Fill in the form, or take an example.", "请填写表单，或取一个示例。"],
  call: ["Call", "调用"],
  scores: ["Scores", "得分"],
  card: ["Card", "模型卡"],
  copy: ["Copy", "复制"],
  copied: ["Copied", "已复制"],
  missing: ["(missing)", "（缺失）"],
  drop: ["Drop a file here, paste one, or choose", "把文件拖到这里、粘贴，或选择"],
  record: ["Record", "录音"],
  recording: ["Stop recording", "停止录音"],
  no_microphone: ["No microphone can be used here.", "这里无法使用麦克风。"],
  one_a_line: ["one a line", "每行一个"],
  numbers: ["numbers, or lists of numbers", "数，或由数组成的列表"],
  not_json: ["This is not a list of numbers, such as [1, 2.5, 3]", "这不是数的列表，例如 [1, 2.5, 3]"],
  not_number: ["This is not a number", "这不是一个数"],
  confident: ["{share} sure", "把握 {share}"],
  calibrated: ["Of {count} test answers about as sure, {share} were right.", "测试中 {count} 个把握相近的回答有 {share} 正确。"],
  typical: ["On test rows the typical error is {error} (mean absolute error).", "在测试行上，典型误差为 {error}（平均绝对误差）。"],
  no_tags: ["No tag", "没有标签"],
  others: ["and {n} more", "另有 {n} 个"],
  latency: ["{n} call from this page: {median} ms|{n} calls from this page: median {median} ms, slowest {slowest} ms", "本页 {n} 次调用：中位数 {median} 毫秒，最慢 {slowest} 毫秒"],
  reads: ["{task}; reads {n} column; version {version}|{task}; reads {n} columns; version {version}", "{task}；读取 {n} 列；版本 {version}"],
  metric: ["metric", "指标"],
  validation: ["validation", "验证"],
  test: ["test", "测试"],
  no_report: ["The bundle holds no report.", "模型包中没有报告。"],
  rows: ["Learnt from {rows} rows ({splits}).", "学自 {rows} 行（{splits}）。"],
  offline: ["The service cannot be reached.", "无法连接服务。"],
  busy: ["The service is busy; try again in {seconds} s.", "服务繁忙；请在 {seconds} 秒后重试。"],
  theme_auto: ["Theme: system", "主题：随系统"],
  theme_light: ["Theme: light", "主题：浅色"],
  theme_dark: ["Theme: dark", "主题：深色"],
  models: ["{n} model|{n} models", "{n} 个模型"],
  why: ["Why?", "为什么？"],
  why_label: ["What the chance of “{label}” ({share}) hangs on:", "“{label}”的概率（{share}）取决于："],
  why_number: ["What {value} hangs on:", "{value} 取决于："],
  why_note: ["Each effect is what is lost when that part alone is left out.", "每个数值表示仅去掉该部分时的变化。"],
  speaks_for: ["speaks for it", "支持"],
  speaks_against: ["speaks against it", "反对"],
  steps: ["step {from}|steps {from} – {to}", "第 {from} – {to} 步"],
  map: ["What each patch of the picture adds", "图片各处的贡献"],
  reasons_in_answer: ["The answer names its reasons itself.", "回答本身已给出理由。"],
};

// "one|many"
const counted = (text, n) => text.split("|").at(n === 1 ? 0 : -1);

let language = (localStorage.getItem("language") || navigator.language || "en").startsWith("zh") ? "zh" : "en";

export const current = () => language;
export const say = (name, values = {}) =>
  (language === "zh" ? WORDS[name][1] : counted(WORDS[name][0], values.n)).replace(/\{(\w+)\}/g, (_, key) => String(values[key]));

export function speak(chosen) {
  language = chosen;
  localStorage.setItem("language", chosen);
  document.documentElement.lang = chosen === "zh" ? "zh-Hans" : "en";
  for (const element of document.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  const button = document.getElementById("language");
  button.textContent = chosen === "zh" ? "English" : "中文";
  button.lang = chosen === "zh" ? "en" : "zh-Hans";
}

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
