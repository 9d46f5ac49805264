// What mdBook's page leaves out for the keyboard and for screen readers: what scrolls sideways can be reached by Tab and scrolled with
// the arrow keys, and the bar at the top is a landmark.
(() => {
  "use strict";
  const named = document.documentElement.lang === "ja" ? "横にスクロールできます" : "scrolls sideways";
  const look = (element) => {
    if (element.scrollWidth > element.clientWidth + 1) {
      element.tabIndex = 0;
      element.setAttribute("role", "group");
      element.setAttribute("aria-label", named);
    } else if (element.tabIndex === 0) {
      for (const name of ["tabindex", "role", "aria-label"]) element.removeAttribute(name);
    }
  };
  const watcher = new ResizeObserver((entries) => { for (const { target } of entries) look(target); }); // also when it is unfolded
  for (const element of document.querySelectorAll("main :is(pre > code, .table-wrapper, figure.diagram)")) watcher.observe(element);

  document.getElementById("mdbook-menu-bar")?.setAttribute("role", "banner");
})();
