const root = document.documentElement;
const buttons = document.querySelectorAll(".toggle button");
const show = (language) => {
  root.dataset.lang = language;
  root.lang = language === "zh" ? "zh-Hans" : "en";
  buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.to === language)));
};
buttons.forEach((button) => button.addEventListener("click", () => show(button.dataset.to)));
if (["#en", "#zh"].includes(location.hash)) show(location.hash.slice(1));
