// A page in the background asks for nothing; it goes on where it is looked at again.
"use strict";

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden) event.preventDefault();
});
