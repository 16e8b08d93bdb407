// A menu that was opened closes where one looks elsewhere, a box chooses all rows of its table, and a link is copied.
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
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  // Browsers have no clipboard for pages that came without TLS: there the link is chosen, to be copied by hand.
  if (!navigator.clipboard) { button.previousElementSibling.select(); return; }
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = button.dataset.copied;
});
