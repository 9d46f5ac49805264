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

  // In a narrow column a long name breaks between its words, and only without room for a word inside of it.
  for (const code of document.querySelectorAll("main :is(td, th) code")) {
    const words = code.textContent.split(/(?<=_|::)(?=\w)|(?<=[a-z])(?=[A-Z])/);
    if (words.length > 1 && !code.childElementCount) code.replaceChildren(...words.flatMap((word, i) => (i ? [document.createElement("wbr"), word] : [word])));
  }

  document.getElementById("mdbook-menu-bar")?.setAttribute("role", "banner");
})();
