// The search box offers what may be written at the caret: its fields, and the values of those that are known.
"use strict";

(() => {
  const box = document.querySelector("[data-search][data-words]");
  if (!box) return;
  const words = JSON.parse(box.dataset.words), MOST = 10;
  const list = document.createElement("ul");
  let chosen = -1;

  list.id = "q-words";
  list.className = "offers";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", box.dataset.offers);
  list.hidden = true;
  box.after(list);
  Object.entries({ role: "combobox", "aria-autocomplete": "list", "aria-controls": list.id, "aria-expanded": "false" })
    .forEach(([name, value]) => box.setAttribute(name, value));

  // The word at the caret, its field if it has one, and where what is offered would stand.
  function present() {
    const before = box.value.slice(0, box.selectionStart), word = before.match(/[^\s()]*$/)[0].replace(/^-/, "");
    const [, field, rest] = word.match(/^([a-z_]+):(.*)$/) ?? [];
    return { field: field ?? "", typed: field === undefined ? word : rest, start: before.length - (field === undefined ? word : rest).length };
  }

  function offers() {
    const { field, typed } = present();
    const known = words[field] ?? [];
    return typed || field ? known.filter((each) => each.toLowerCase().includes(typed.toLowerCase()) && each !== typed).slice(0, MOST) : [];
  }

  function mark(n) {
    chosen = n;
    [...list.children].forEach((each, at) => each.setAttribute("aria-selected", String(at === n)));
    if (n < 0) box.removeAttribute("aria-activedescendant");
    else { box.setAttribute("aria-activedescendant", list.children[n].id); list.children[n].scrollIntoView({ block: "nearest" }); }
  }

  function close() {
    list.hidden = true;
    box.setAttribute("aria-expanded", "false");
    mark(-1);
  }

  function open() {
    const found = offers();
    list.replaceChildren(...found.map((text, n) => {
      const item = document.createElement("li");
      Object.entries({ id: `q-word-${n}`, role: "option", "aria-selected": "false" }).forEach(([name, value]) => item.setAttribute(name, value));
      item.textContent = text;
      item.addEventListener("mousedown", (event) => { event.preventDefault(); take(text); });
      return item;
    }));
    list.hidden = !found.length;
    box.setAttribute("aria-expanded", String(Boolean(found.length)));
    mark(-1);
  }

  function take(text) {
    const { start } = present(), value = text.endsWith(":") ? text : `${text} `;
    box.setRangeText(value, start, box.selectionStart, "end");
    if (text.endsWith(":")) open(); else close();
  }

  box.addEventListener("input", open);
  box.addEventListener("blur", close);
  box.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const last = list.children.length - 1;
    if (event.key === "ArrowDown") mark(chosen < last ? chosen + 1 : 0);
    else if (event.key === "ArrowUp") mark(chosen > 0 ? chosen - 1 : last);
    else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) take(list.children[chosen].textContent);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  });
})();
