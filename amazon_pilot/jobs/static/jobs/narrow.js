// What a narrow screen needs of the admin's own pages: a name before each value of a list, and the menu moved to where one is.
"use strict";

// The admin writes a column's name only into the heading; a row that stands alone, as on a phone, needs it beside each value.
document.querySelectorAll("#result_list").forEach((list) => {
  const names = [...list.querySelectorAll("thead th")].map((each) => each.querySelector(".text")?.textContent.trim() ?? "");
  list.querySelectorAll("tbody tr").forEach((row) => [...row.children].forEach((cell, n) => {
    if (names[n] && !cell.matches(".action-checkbox")) cell.dataset.label = names[n];
  }));
});

// The menu scrolls within itself, so what it marks as the present page may be out of sight.
const here = document.querySelector(".monitor-nav [aria-current]");
const uncover = () => {
  const menu = here?.closest(".monitor-nav");
  if (menu) menu.scrollLeft = here.offsetLeft + here.offsetWidth + 40 - menu.clientWidth; // 40: the next one shows that it goes on
};
addEventListener("resize", uncover);
uncover();
