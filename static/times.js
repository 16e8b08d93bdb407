// Writes times as the page's language does and in the viewer's zone: the language alone says which clock, 12 h or 24 h.
"use strict";

const times = (() => {
  const format = (options) => new Intl.DateTimeFormat(document.documentElement.lang || undefined, options);
  const moment = format({ dateStyle: "medium", timeStyle: "short" }), clock = format({ timeStyle: "short" });
  const day = format({ month: "short", day: "numeric" }), month = format({ month: "short" }), year = format({ year: "numeric" });
  const DAY = 86400, MONTH = 28 * DAY;

  // The marks of an axis: what differs on the first line, and on the second what the first does not tell, where it changes.
  const marks = (chart, splits, axis, space, step) => {
    const [first, second] = step >= 12 * MONTH ? [year, null] : step >= MONTH ? [month, year] : step >= DAY ? [day, year] : [clock, day];
    let told = "";
    return splits.map((split) => {
      const at = new Date(split * 1000), under = second?.format(at) ?? "";
      const isNew = under !== told;
      told = under;
      return isNew ? `${first.format(at)}\n${under}` : first.format(at);
    });
  };

  return {
    moment: (at) => moment.format(at),
    axis: { values: marks, space: 64 },
    legend: (chart, seconds) => (seconds === null || seconds === undefined ? "–" : moment.format(seconds * 1000)),
  };
})();
