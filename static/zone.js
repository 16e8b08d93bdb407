// Tells the server in which zone this browser is, so that pages write and read times in it; from the next page on.
"use strict";

{
  const cookie = `zone=${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
  if (!document.cookie.split("; ").includes(cookie)) document.cookie = `${cookie}; path=/; max-age=31536000; samesite=lax`;
}
