// Light or dark: what the person chose, or else what the system says. A classic script, before anything is painted.
"use strict";
{
  const chosen = localStorage.getItem("jobtable.theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
