// Boxes to tick: remembered in this browser, and shared by both languages. A box is known by its page, the heading above it and
// its number below that heading, which are the same in both. Without JavaScript the boxes stay as they are: to read, or on paper.
(() => {
  "use strict";
  const page = location.pathname.split("/").at(-1).replace(/\.html$/, "") || "index";
  if (page === "print") return;
  const key = `bgworkbook.ticked.${page}`;
  const load = () => {
    try { return new Set(JSON.parse(localStorage.getItem(key) ?? "[]")); } catch { return new Set(); } // blocked, or not ours
  };

  const boxes = new Map();
  let heading = "", number = 0;
  for (const element of document.querySelectorAll("main :is(h1, h2, h3, h4)[id], main li > input[type=checkbox], main li > p:first-child > input[type=checkbox]")) {
    if (element.matches("h1, h2, h3, h4")) { heading = element.id; number = 0; continue; }
    boxes.set(`${heading}.${++number}`, element);
  }
  const show = () => {
    const ticked = load();
    for (const [name, box] of boxes) box.checked = ticked.has(name);
  };

  for (const [name, box] of boxes) {
    const label = document.createElement("label"); // the text ticks its box, and names it to a screen reader
    let next = box.nextSibling;
    box.before(label);
    label.append(box);
    while (next && !(next instanceof Element && next.matches("ul, ol, p, pre, details, blockquote"))) {
      const after = next.nextSibling;
      label.append(next);
      next = after;
    }
    box.disabled = false;
    box.addEventListener("change", () => {
      const ticked = load(); // another window may have ticked others
      if (box.checked) ticked.add(name); else ticked.delete(name);
      try { localStorage.setItem(key, JSON.stringify([...ticked])); } catch { /* ticked until the page is left */ }
    });
  }
  show();
  addEventListener("storage", (event) => { if (event.key === key || event.key === null) show(); });
  addEventListener("pageshow", show); // back to a page that was kept in memory
})();
