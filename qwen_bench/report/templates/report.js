"use strict";
// Theme switch and filter of the answers. The page is complete without this script.
(() => {
  const root = document.documentElement;
  const key = "qwen-bench-theme";

  function stored() {
    try { return localStorage.getItem(key) || "system"; } catch { return "system"; }
  }
  function keep(choice) {
    try { localStorage.setItem(key, choice); } catch { /* a sandboxed page has no storage */ }
  }
  const themes = document.querySelector(".theme");
  const buttons = [...themes.querySelectorAll("button")];
  function show(choice) {
    if (choice === "light" || choice === "dark") root.dataset.theme = choice;
    else delete root.dataset.theme;
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  }
  for (const button of buttons) {
    button.addEventListener("click", () => {
      show(button.dataset.themeChoice);
      keep(button.dataset.themeChoice);
    });
  }
  show(stored());
  themes.hidden = false;

  const filters = document.querySelector(".filters");
  if (!filters) return;
  const found = document.getElementById("found");
  const answers = [...document.querySelectorAll("details.answer")];
  const selects = {};
  const texts = new Map();
  const search = document.getElementById("filter-text");

  function valuesOf(answer, name) {
    return name === "outcome" ? answer.dataset.outcome.split("|") : [answer.dataset[name]];
  }
  for (const name of ["outcome", "family", "length", "lang"]) {
    const select = document.getElementById(`filter-${name}`);
    const values = [...new Set(answers.flatMap((answer) => valuesOf(answer, name)))];
    values.sort((a, b) => (name === "length" ? a - b : a < b ? -1 : 1));
    for (const value of values) {
      const option = document.createElement("option");
      option.value = value;
      option.textContent = name === "length" ? `${value} ${value === "1" ? "turn" : "turns"}` : value;
      select.append(option);
    }
    select.addEventListener("change", apply);
    selects[name] = select;
  }
  function textOf(answer) {
    if (!texts.has(answer)) texts.set(answer, answer.textContent.toLowerCase());
    return texts.get(answer);
  }
  function apply() {
    const words = search.value.trim().toLowerCase();
    let shown = 0;
    for (const answer of answers) {
      const fits = Object.entries(selects).every(
        ([name, select]) => !select.value || valuesOf(answer, name).includes(select.value),
      );
      answer.hidden = !(fits && (!words || textOf(answer).includes(words)));
      if (!answer.hidden) shown += 1;
    }
    found.textContent = `${shown} of ${answers.length} answers shown.`;
  }
  search.addEventListener("input", apply);
  document.getElementById("filter-clear").addEventListener("click", () => {
    search.value = "";
    for (const select of Object.values(selects)) select.value = "";
    apply();
    search.focus();
  });
  filters.hidden = false;
})();
