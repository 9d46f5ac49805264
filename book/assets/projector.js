// The view for the projector: large letters, no contents at the side. By the button "Aa", by the key p, or by ?projector in the
// address. It stays until the tab is closed.
(() => {
  "use strict";
  const html = document.documentElement;
  const name = "workbook-projector";
  // A page that is opened as a file may not be allowed to remember anything.
  const memory = (value) => {
    try {
      if (value === undefined) return sessionStorage.getItem(name) === "on";
      sessionStorage.setItem(name, value ? "on" : "off");
    } catch (e) { /* then it holds for this page */ }
    return false;
  };
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "icon-button projector-switch", textContent: "Aa" });
  button.title = html.lang === "ja" ? "プロジェクター表示 (p)" : "View for the projector (p)";
  button.setAttribute("aria-label", `Aa: ${button.title}`);
  const show = (on) => {
    // What is at the top of the window stays there, although everything changes its size.
    const main = document.querySelector("main");
    const first = [...(main?.children ?? [])].find((element) => element.getBoundingClientRect().bottom > 10);
    html.classList.toggle("projector", on);
    button.setAttribute("aria-pressed", String(on));
    if (window.scrollY > 100 && first) {
      first.scrollIntoView();
      window.scrollBy(0, -70); // below the bar at the top
    }
  };
  const toggle = () => {
    const on = !html.classList.contains("projector");
    memory(on);
    show(on);
  };
  if (new URLSearchParams(location.search).has("projector")) memory(true);
  if (memory() || new URLSearchParams(location.search).has("projector")) show(true);
  else button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", toggle);
  document.querySelector(".right-buttons")?.prepend(button);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "p" || event.altKey || event.ctrlKey || event.metaKey || event.isComposing) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    toggle();
  });
})();
