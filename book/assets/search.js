// Search for both languages. mdBook's index knows only words between spaces, so it finds nothing in Japanese. This looks for
// every term of the query as a part of the text, full and half width alike, and asks mdBook's own search when that finds nothing
// (a plural in English, for example).
(() => {
  "use strict";
  if (window.workbookSearch) return; // listed twice: in the head for its time, in additional-js so that mdBook copies it
  window.workbookSearch = true;
  const japanese = document.documentElement.lang === "ja";
  const plain = (text) => text.normalize("NFKC");
  const fold = (text) => plain(text).toLowerCase();
  const lone = /[^\x00-\x7f]/; // a character beside which a space may be put without cutting a word

  // A piece of text around the first hit. mdBook's teaser marks words, so each hit becomes one.
  function excerpt(body, terms) {
    const text = plain(body), low = fold(body);
    const at = Math.max(0, Math.min(...terms.map((term) => low.indexOf(term)).filter((i) => i >= 0), low.length) - 40);
    let piece = text.slice(at, at + 160);
    for (const term of terms) {
      let out = "", from = 0, i;
      const lowPiece = piece.toLowerCase();
      while ((i = lowPiece.indexOf(term, from)) >= 0) {
        const end = i + term.length, before = piece[i - 1] ?? " ", after = piece[end] ?? " ";
        out += piece.slice(from, i) + (lone.test(before) ? " " : "") + piece.slice(i, end) + (lone.test(after) ? " " : "");
        from = end;
      }
      piece = out + piece.slice(from);
    }
    return (at > 0 ? "… " : "") + piece + (at + 160 < text.length ? " …" : "");
  }

  function search(index, query) {
    const terms = fold(query).split(/\s+/).filter(Boolean);
    const found = [];
    for (const [ref, doc] of Object.entries(index.documentStore.docs)) {
      const title = fold(doc.title), body = fold(doc.body);
      if (!terms.length || !terms.every((term) => title.includes(term) || body.includes(term))) continue;
      const score = terms.reduce((sum, term) => sum + (title.includes(term) ? 20 : 0) + body.split(term).length - 1, 0);
      found.push({ ref, score, doc: { ...doc, body: excerpt(doc.body, terms) } });
    }
    return found.sort((a, b) => b.score - a.score);
  }

  let library;
  Object.defineProperty(window, "elasticlunr", {
    configurable: true,
    get: () => library,
    set(value) {
      library = value;
      const original = value.Index.prototype.search;
      value.Index.prototype.search = function (query, config) {
        const found = search(this, query);
        const results = found.length ? found : original.call(this, query, config);
        if (japanese) {
          queueMicrotask(() => {
            const header = document.getElementById("mdbook-searchresults-header");
            const count = Math.min(results.length, 30);
            header.textContent = count ? `「${query}」の検索結果: ${count} 件` : `「${query}」は見つかりませんでした。`;
          });
        }
        return results;
      };
    },
  });

  // mdBook searches when a key is released. Words can also come from a mouse, a voice or a phone's keyboard.
  document.addEventListener("input", (event) => {
    if (event.target.id === "mdbook-searchbar" && !event.isComposing) event.target.dispatchEvent(new KeyboardEvent("keyup"));
  });

  // The Enter that confirms an input method's conversion does not open the first result.
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.keyCode === 229) event.stopImmediatePropagation();
  }, true);
})();
