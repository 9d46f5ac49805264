// Makes a document for paper from a page of the book, before Chromium prints it. `cargo xtask handout` has put the page's <main> into the
// body, toc.html into #toc, and sets `handout`: { name, language, paper, solutions, versions, pages }, where pages has the page of each id
// that something links to, as the pass before has printed it.
const words = {
  en: {
    contents: "Contents",
    page: (n) => ` (p. ${n})`,
    versions: (v) => `PostgreSQL ${v.postgresql} (and ${v.others}), pgrx ${v.pgrx}, Rust ${v.rust}`,
    licence: "Text: CC BY 4.0. Code: MIT or Apache-2.0.",
    without: "Solutions are left out. The command <code>cargo workbook solution</code> shows them.",
    with: "With solutions: for whoever leads.",
    at: (path) => ` It is in <code>${path}</code>.`,
  },
  ja: {
    contents: "目次",
    page: (n) => ` (${n} ページ)`,
    versions: (v) => `PostgreSQL ${v.postgresql} (ほかに ${v.others})、pgrx ${v.pgrx}、Rust ${v.rust}`,
    licence: "文章: CC BY 4.0、コード: MIT または Apache-2.0",
    without: "解答は省いてあります。<code>cargo workbook solution</code> で表示できます。",
    with: "解答付き。進行役のためのものです。",
    at: (path) => `変更は <code>${path}</code> にあります。`,
  },
}[handout.language];
const all = (selector) => document.querySelectorAll(selector);
const element = (tag, className, html = "") => Object.assign(document.createElement(tag), { className, innerHTML: html });
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const pageOf = (id) => handout.pages[id] ?? 100; // as wide as most of them, for the first pass
// In the one sheet: in a second one, `@page` overrides the `@page title` of the first.
const style = (css) => { document.querySelector("style").textContent += `\n${css}`; };
const main = document.querySelector("main");

// ---- what works on a screen only
for (const header of all("a.header")) header.replaceWith(...header.childNodes);
for (const rest of all('main > div[style*="break-before"]')) rest.remove();
if (!handout.solutions) {
  for (const fold of all("details.solution")) {
    // An answer to an exercise leaves the line that says where it would stand, and where a change can be read.
    if (!fold.matches(".answer")) { fold.remove(); continue; }
    const left = element("p", "left-out", fold.querySelector("summary").innerHTML);
    for (const advice of left.querySelectorAll(".advice")) advice.remove();
    if (fold.dataset.at) left.insertAdjacentHTML("beforeend", words.at(escaped(fold.dataset.at)));
    fold.replaceWith(left);
  }
}
for (const advice of all(".advice")) advice.remove();
for (const fold of all("details")) fold.open = true;
// Long names in a table may be broken after their parts.
for (const code of all("table code")) code.innerHTML = code.innerHTML.replace(/(?<=[A-Za-z0-9])(_|::)(?=\w)/g, "$1<wbr>");

// ---- links
for (const link of all("main a[href]")) {
  const target = link.getAttribute("href");
  if (target.startsWith("#")) {
    if (handout.name !== "workbook") continue; // the cards lead to no other page
    const id = decodeURIComponent(target.slice(1));
    if (!document.getElementById(id)) throw Error(`a link to #${id} leads nowhere`);
    link.after(element("span", "at", words.page(pageOf(id))));
  } else if (target.includes("://")) {
    // A long address may be broken after a slash.
    const address = target.replace(/^https?:\/\/|\/$/g, "");
    if (!link.textContent.includes(address)) link.after(element("span", "url", ` (${escaped(address).replaceAll("/", "/<wbr>")})`));
  } else {
    link.replaceWith(...link.childNodes); // to a page of the site, which is not on this paper
  }
}

// ---- the workbook: a title page, the contents, the chapters
// The children of <main> in groups, each beginning with a heading; what stands before the first is a group of its own.
const groups = (heading) => [...main.children].reduce((all, child) => {
  if (child.matches(heading)) all.push([child]); else all.at(-1).push(child);
  return all;
}, [[]]);
const quoted = (text) => JSON.stringify(text);

function workbook() {
  const title = document.title;
  style(`@page { size: ${handout.paper}; @top-left { content: ${quoted(title)}; } }`);
  const parts = {};
  let part;
  for (const entry of document.querySelector("#toc").content.querySelectorAll(".part-title, a[href$='.html']")) {
    if (entry.matches(".part-title")) part = entry.textContent; else if (part) { parts[entry.textContent.trim()] = part; part = undefined; }
  }
  const contents = element("section", "contents", `<h1 id="contents">${words.contents}</h1>`);
  const line = (kind, heading) =>
    contents.append(element("p", kind, `<a href="#${heading.id}">${escaped(heading.textContent.trim())}</a><i></i><b>${pageOf(heading.id)}</b>`));
  const chapters = groups("h1").slice(1).map((chapter) => {
    const [heading] = chapter, name = heading.textContent.trim();
    if (parts[name]) contents.append(element("p", "toc-part", escaped(parts[name].trim())));
    line("toc-1", heading);
    style(`@page p-${heading.id} { @top-right { content: ${quoted(name)}; } } #s-${heading.id} { page: p-${heading.id}; }`);
    const section = element("section", "chapter");
    section.id = `s-${heading.id}`;
    section.append(...chapter);
    for (const h2 of section.querySelectorAll("h2[id]")) line("toc-2", h2);
    return section;
  });
  const description = document.querySelector('meta[name="description"]').content;
  const front = element("section", "title", `<p class="title-name">${escaped(title)}</p><p class="title-what">${escaped(description)}</p>
    <p class="title-small">${words.versions(handout.versions)}<br>${handout.solutions ? words.with : words.without}<br>${words.licence}</p>`);
  main.replaceWith(front, contents, ...chapters);
}

// ---- one chapter as cards: a heading of the second level with what follows
function cards() {
  const [first, ...rest] = groups("h2");
  document.title = main.querySelector("h1").textContent.trim();
  document.body.className = `${handout.name} ${handout.paper}`;
  // What stands in the margins of the workbook has no room here.
  const shape = handout.name === "cheatsheet" ? "landscape; margin: 8mm 8mm 10mm" : "portrait; margin: 0; @bottom-center { content: none; }";
  style(`@page { size: ${handout.paper} ${shape}; }`);
  const header = element("header", ""), sheet = element("div", "sheet");
  header.append(...first);
  sheet.append(...rest.map((card) => { const section = element("section", "card"); section.append(...card); return section; }));
  main.replaceWith(header, sheet);
}
if (handout.name === "workbook") workbook(); else cards();

// ---- code
// Colours it, and makes an element of each of its lines: a long one wraps with an indent and a mark.
for (const code of document.querySelectorAll("pre code")) {
  if (/language-(rust|toml|diff|sql|c)\b/.test(code.className)) hljs.highlightBlock(code);
  let open = [];
  const lines = code.innerHTML.replace(/\n$/, "").split("\n").map((line) => {
    const before = open.join("");
    for (const [tag] of line.matchAll(/<\/?span[^>]*>/g)) {
      if (tag.startsWith("</")) open.pop(); else open.push(tag);
    }
    return before + line + "</span>".repeat(open.length);
  });
  const indent = (line) => line.replace(/<[^>]*>/g, "").match(/^[ +-]*/)[0].length;
  code.innerHTML = lines.map((line) => `<span class="line" style="--indent: ${Math.min(indent(line), 24) + 4}ch">${line || "\u200b"}</span>`).join("\n");
}
