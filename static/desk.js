// A menu that was opened closes where one looks elsewhere, and a box chooses all rows of its table.
"use strict";

document.addEventListener("click", (event) => {
  document.querySelectorAll("details.drop[open]").forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.drop[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  event.target.form.querySelectorAll("[name=id]").forEach((box) => { box.checked = event.target.checked; });
});
