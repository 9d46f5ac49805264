// The switch to the same page and heading in the other language, and mdBook's own labels in Japanese.
(() => {
  "use strict";
  const here = document.documentElement.lang;
  const [other, label] = here === "ja" ? ["en", "English"] : ["ja", "日本語"];
  const root = new URL(path_to_root || "./", location.href);

  if (root.pathname.endsWith(`/${here}/`)) { // else this book is served without its sibling
    const link = document.createElement("a");
    Object.assign(link, { className: "language", textContent: label, lang: other, hreflang: other });
    const target = () => {
      const page = location.pathname.slice(root.pathname.length) || "index.html";
      const url = new URL(`../${other}/${page}`, root);
      url.hash = location.hash || heading();
      return url.href;
    };
    // Without a fragment in the address: the heading that the reader has scrolled to.
    const heading = () => {
      if (window.scrollY < 200) return "";
      const passed = [...document.querySelectorAll("main :is(h2, h3)[id]")].filter((h) => h.getBoundingClientRect().top < 160);
      return passed.length ? passed.at(-1).id : "";
    };
    link.href = target();
    for (const kind of ["click", "auxclick", "focus", "pointerenter"]) link.addEventListener(kind, () => { link.href = target(); });
    document.querySelector(".right-buttons")?.prepend(link);
  }

  if (here !== "ja") return;
  const labels = {
    "#mdbook-sidebar": "目次",
    "#mdbook-sidebar-toggle": "目次の表示を切り替える",
    "#mdbook-theme-toggle": "配色を変える",
    "#mdbook-search-toggle": "検索 (/)",
    'a[href$="print.html"]': "全体を印刷する",
    ".nav-chapters.previous, .mobile-nav-chapters.previous": "前のページ",
    ".nav-chapters.next, .mobile-nav-chapters.next": "次のページ",
    ".clip-button": "コピー",
    "#mdbook-theme-list": "配色",
    "nav.nav-wrapper, nav.nav-wide-wrapper": "ページの移動",
  };
  for (const [selector, text] of Object.entries(labels)) {
    for (const element of document.querySelectorAll(selector)) {
      if (element.title) element.title = text;
      element.setAttribute("aria-label", text);
    }
  }
  const set = (selector, text) => { const element = document.querySelector(selector); if (element) element.textContent = text; };
  set("#mdbook-theme-default_theme", "自動");
  set("#mdbook-theme-light", "ライト");
  set(".mdbook-help-title", "キーボードショートカット");
  const keys = ["で前後のページに移動します", "で検索します", "でこの説明を表示します", "でこの説明を閉じます"];
  document.querySelectorAll("#mdbook-help-popup p").forEach((p, i) => {
    const names = [...p.querySelectorAll("kbd")].flatMap((kbd, n) => (n ? [" / ", kbd] : [kbd]));
    p.replaceChildren(...names, ` ${keys[i]}`);
  });
  const input = document.getElementById("mdbook-searchbar");
  if (input) input.placeholder = "この本を検索...";
})();
