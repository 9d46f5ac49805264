// browser.mjs SITE [PART OF A TEST'S NAME [PART OF A PAGE'S NAME]]: what a reader does with the built book, in headless Chromium. First each page, as it is
// opened from a server and as a file, in light and dark, on a phone, on paper and without JavaScript; then search, the switch of
// language, boxes to tick, folded hints, copying and the keyboard. A page that reports an error, or asks another host for
// anything, fails whatever was tested. Prints a line for each test, and the sum that scripts/test counts.
import { readFileSync, readdirSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { launch, require, serve } from "../../../book/tools/browser.mjs";

const site = resolve(process.argv[2]);
const only = process.argv[3] ?? "";
const languages = ["en", "ja"];
const pagesOf = (language) => readdirSync(`${site}/${language}`).filter((f) => f.endsWith(".html") && !["404.html", "print.html", "toc.html"].includes(f));
const all = ["index.html", ...languages.flatMap((l) => pagesOf(l).map((f) => `${l}/${f}`))].filter((path) => path.includes(process.argv[4] ?? ""));
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const desk = { width: 1280, height: 900 };
const phone = { width: 360, height: 740 };
const paper = { width: 658, height: 972 }; // A4 less the margins of workbook.css, in CSS pixels

const server = await serve(site);
const files = pathToFileURL(site).href;
const browser = await launch();

// ---- the harness
let passed = 0, failed = 0;
class Failure extends Error {}
const fail = (text) => { throw new Failure(text); };
const equal = (got, wanted, what) => {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) fail(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`);
};

// A window of its own, with nothing remembered: { page, context, close }. close() says what went wrong meanwhile.
async function open(options = {}) {
  const context = await browser.newContext({ locale: "en-US", viewport: desk, ...options });
  context.setDefaultTimeout(30_000);
  const complaints = [];
  const allowed = (url) => [`${server.origin}/`, `${files}/`, "data:", "blob:", "about:"].some((start) => url.startsWith(start));
  // Whatever goes elsewhere is noted and does not leave the machine.
  await context.route((url) => !allowed(url.href), (route) => { complaints.push(`asks for ${route.request().url()}`); return route.abort(); });
  const page = await context.newPage();
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) complaints.push(`console: ${message.text()} (${message.location().url})`); });
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("requestfailed", (request) => { // aborted: the page was left meanwhile
    if (allowed(request.url()) && request.failure()?.errorText !== "net::ERR_ABORTED") complaints.push(`does not load: ${request.url()} ${request.failure()?.errorText}`);
  });
  page.on("response", (response) => { if (response.status() >= 400) complaints.push(`status ${response.status()}: ${response.url()}`); });
  return { page, context, complaints, close: async () => { await context.close(); if (complaints.length) fail([...new Set(complaints)].slice(0, 8).join("\n")); } };
}
const within = (promise, seconds) => {
  let timer;
  return Promise.race([promise, new Promise((_, no) => { timer = setTimeout(() => no(new Failure(`not done within ${seconds} s`)), seconds * 1000); })])
    .finally(() => clearTimeout(timer));
};
async function test(name, body, options = {}) {
  if (!name.includes(only)) return;
  let window;
  try {
    window = await open(options);
    await within(body(window.page, window.context), 90);
    await window.close();
    passed++;
    console.log(`ok      ${name}`);
  } catch (error) {
    failed++;
    console.log(`not ok  ${name}\n${String(error instanceof Failure ? error.message : error.stack).split("\n").map((l) => `        | ${l}`).join("\n")}`);
    await window?.context.close().catch(() => {});
  }
}
// Tests of all pages, in two windows at a time: each page is opened once, and `looks` has the name and the body of each test. They
// go on after a page that fails; a fault that several pages share is told once, with the first of them.
async function everyPage(list, goto, looks, options = {}) {
  const names = Object.keys(looks).filter((name) => name.includes(only));
  if (!names.length) return;
  const todo = [...list], problems = Object.fromEntries(names.map((n) => [n, new Map()]));
  const note = (name, path, text) => problems[name].set(text, [...(problems[name].get(text) ?? []), path]);
  const run = async () => {
    const window = await open(options);
    for (let path; (path = todo.shift());) {
      window.complaints.length = 0;
      let name = names[0];
      try {
        await within(goto(window.page, path), 60);
        for (name of names) for (const text of (await within(looks[name](window.page, path), 60)) ?? []) note(name, path, text);
      } catch (error) {
        note(name, path, error.message);
      }
      for (const text of new Set(window.complaints)) note(names[0], path, text);
    }
    await window.context.close();
  };
  await Promise.all([run(), run()]);
  for (const name of names) {
    if (!problems[name].size) {
      passed++;
      console.log(`ok      ${name} (${list.length} pages)`);
      continue;
    }
    failed++;
    console.log(`not ok  ${name}`);
    for (const [text, paths] of [...problems[name]].slice(0, 40)) {
      console.log(`${paths.slice(0, 3).join(", ")}${paths.length > 3 ? ` and ${paths.length - 3} more` : ""}:\n${text}`.replace(/^/gm, "        | "));
    }
  }
}
const at = (path) => `${server.origin}/${path}`;

// ---- each page
const describe = (violations) => violations.flatMap((v) => v.nodes.slice(0, 6).map((n) => `${v.id}: ${n.target.join(" ")} ${n.html.slice(0, 100)} ${(n.any[0] ?? n.all[0] ?? n.none[0])?.message ?? ""}`));
// Left out: mdBook's label for its own hidden check box, which mdBook gives attributes of a button.
async function accessible(page, run) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  return describe(await page.evaluate((options) => window.axe.run({ exclude: ["#mdbook-sidebar-toggle"] }, options).then((r) => r.violations), { resultTypes: ["violations"], ...run }));
}
// What is wider than there is room for, and cannot be scrolled (on paper, nothing can).
const tooWide = ([width, mayScroll]) => {
  const out = [];
  if (document.scrollingElement.scrollWidth > width) out.push(`the page is ${document.scrollingElement.scrollWidth} wide, there are ${width}`);
  const scrolls = (e) => e && e !== document.body && (getComputedStyle(e).overflowX !== "visible" || scrolls(e.parentElement));
  for (const e of document.querySelectorAll("main *")) {
    if (e.closest("svg, .buttons") || e.children.length > 20) continue;
    const box = e.getBoundingClientRect();
    if (box.width > 1 && box.right > width + 1 && !(mayScroll && scrolls(e.parentElement)) && out.length < 4) out.push(`${e.outerHTML.slice(0, 90)} ends at ${Math.round(box.right)} of ${width}`);
  }
  return out;
};
const siblingOf = (path) => path.replace(/^(en|ja)/, (l) => languages.find((other) => other !== l));
const switchLeads = async (page, path, base) => {
  const found = await page.locator("a.language").evaluateAll((all) => all.map((a) => a.href));
  equal(found, path === "index.html" ? [] : [`${base}/${siblingOf(path)}`], "where the switch of language leads");
};

await everyPage(all, async (page, path) => {
  await page.setViewportSize(desk);
  await page.emulateMedia({ media: "screen", colorScheme: "light" });
  await page.goto(at(path));
  await page.addStyleTag({ content: "* { transition: none !important }" }); // else colours are measured on their way
}, {
  "from a server: no error, no request elsewhere, the switch leads to the same page": (page, path) => switchLeads(page, path, server.origin),
  "headings in order, nothing open": async (page) => {
    const levels = await page.evaluate(() => [...document.querySelectorAll("main :is(h1, h2, h3, h4, h5)")].map((h) => Number(h.tagName[1])));
    equal(levels.filter((l) => l === 1).length, 1, "headings of the first level");
    equal(await page.locator("main details[open]").count(), 0, "what is open at the beginning");
    return levels.flatMap((l, i) => (i && l > levels[i - 1] + 1 ? [`a heading of level ${l} below one of level ${levels[i - 1]}`] : []));
  },
  "on paper: as wide as the sheet, hints and solutions shown, no buttons": async (page) => {
    await page.setViewportSize(paper);
    await page.emulateMedia({ media: "print" });
    const out = await page.evaluate(tooWide, [paper.width, false]);
    return [...out, ...await page.evaluate(() => {
      const height = (e) => e?.getBoundingClientRect().height ?? 0;
      return [
        ...[...document.querySelectorAll("main details")].filter((d) => !height([...d.children].find((c) => c.tagName !== "SUMMARY"))).map((d) => `shut on paper: ${d.textContent.trim().slice(0, 40)}`),
        ...[...document.querySelectorAll("#mdbook-menu-bar, #mdbook-sidebar, nav, main .buttons, .language, .language-plain")].filter(height).map((e) => `on paper, too: ${e.id || e.className}`),
      ];
    })];
  },
  "on a phone: the page does not scroll sideways": async (page) => {
    await page.emulateMedia({ media: "screen" });
    await page.setViewportSize(phone);
    await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
    return page.evaluate(tooWide, [phone.width, true]);
  },
  "accessible, in light": async (page) => {
    await page.setViewportSize(desk);
    return accessible(page);
  },
  "contrast in dark": async (page, path) => {
    await page.emulateMedia({ colorScheme: "dark" });
    if (path !== "index.html") await page.waitForFunction(() => document.documentElement.classList.contains("navy"));
    return accessible(page, { runOnly: ["color-contrast"] });
  },
});
await everyPage(all, (page, path) => page.goto(`${files}/${path}`), {
  "as a file: no error, no request elsewhere, the switch leads to the same page": (page, path) => switchLeads(page, path, files),
});
await everyPage(all, (page, path) => page.goto(at(path)), {
  "without JavaScript: the text is there, and hints can be opened": async (page, path) => {
    const text = await page.locator("main").innerText();
    if (text.length < (path === "index.html" ? 100 : 400)) fail(`only ${text.length} characters are shown`);
    if (path === "index.html") return;
    equal(await page.locator(".language-plain a").isVisible(), true, "a link to the other language");
    const details = page.locator("main details"), count = await details.count();
    for (const i of count ? [0, count - 1] : []) {
      const one = details.nth(i), inside = one.locator(":scope > :not(summary)").first();
      equal(await inside.isVisible(), false, "shown before it is opened");
      await one.locator(":scope > summary").click();
      equal(await inside.isVisible(), true, "shown after a click");
    }
  },
}, { javaScriptEnabled: false });

// ---- search
async function search(page, words) {
  const bar = page.locator("#mdbook-searchbar"), header = page.locator("#mdbook-searchresults-header");
  if (!(await bar.isVisible())) await page.keyboard.press("/");
  await bar.fill("");
  await bar.pressSequentially(words);
  await page.waitForFunction((w) => document.getElementById("mdbook-searchresults-header").textContent.includes(w), words);
  return page.locator("#mdbook-searchresults > li").count();
}
for (const [kind, base] of [["server", `${server.origin}`], ["file", files]]) {
  await test(`search in Japanese, from a ${kind}: words, parts of words, half width, several terms, nothing`, async (page) => {
    await page.goto(`${base}/ja/index.html`);
    for (const word of ["ラッチ", "登録", "グラウンド", "トランザクション", "postmaster", "再起動 登録"]) {
      const found = await search(page, word);
      if (!found) fail(`${word} is not found`);
    }
    const full = await search(page, "ラッチ");
    equal(await search(page, "ﾗｯﾁ"), full, "results in half width");
    equal(await search(page, "無い言葉の例"), 0, "results for words that are not there");
    const header = await page.locator("#mdbook-searchresults-header").innerText();
    if (!header.includes("見つかりません")) fail(`the line above says: ${header}`);
  });
  await test(`search in English, from a ${kind}: words, parts of words, another form of a word, nothing`, async (page) => {
    await page.goto(`${base}/en/index.html`);
    for (const word of ["latch", "postmas", "registered", "restarting", "transaction rolled"]) {
      const found = await search(page, word);
      if (!found) fail(`${word} is not found`);
    }
    equal(await search(page, "xyzzyplugh"), 0, "results for words that are not there");
  });
}
for (const language of languages) {
  const word = language === "ja" ? "ラッチ" : "latch";
  await test(`search, ${language}: an address with ?search= shows results; the first leads to a page with the word`, async (page) => {
    await page.goto(at(`${language}/index.html?search=${encodeURIComponent(word)}`));
    const first = page.locator("#mdbook-searchresults > li a").first();
    await first.waitFor();
    await first.click();
    await page.waitForFunction(() => !document.location.search.includes("search="));
    await page.waitForLoadState("load"); // the address is there before the text
    const body = (await page.locator("main").innerText()).toLowerCase();
    if (!body.includes(word)) fail(`${page.url()} has no ${word}`);
    await page.locator("main mark").first().waitFor({ state: "attached" });
  });
}

// ---- the switch of language
await test("switch of language: the same page and heading, there and back", async (page) => {
  await page.goto(at("ja/step3.html#labs"));
  equal(await page.locator("a.language").innerText(), "English", "what the switch says");
  await page.locator("a.language").click();
  await page.waitForURL(at("en/step3.html#labs"));
  equal(await page.locator("html").getAttribute("lang"), "en", "the language");
  await page.locator("a.language").click();
  await page.waitForURL(at("ja/step3.html#labs"));
});
await test("switch of language: the heading that was scrolled to", async (page) => {
  await page.goto(at("en/step2.html"));
  await page.evaluate(() => document.getElementById("c-and-rust").scrollIntoView());
  await page.locator("a.language").click();
  await page.waitForURL(at("ja/step2.html#c-and-rust"));
  const top = await page.evaluate(() => document.getElementById("c-and-rust").getBoundingClientRect().top);
  if (top < -5 || top > 300) fail(`the heading is at ${top}`);
});

// ---- boxes to tick
for (const [kind, base] of [["server", server.origin], ["file", files]]) {
  await test(`boxes, from a ${kind}: remembered, shared by both languages, and not by other pages`, async (page) => {
    const state = () => page.locator("main input[type=checkbox]").evaluateAll((all) => all.map((b) => b.checked));
    await page.goto(`${base}/ja/step1.html`);
    const count = (await state()).length;
    if (count < 4) fail(`only ${count} boxes`);
    equal((await state()).some(Boolean), false, "ticked at the beginning");
    await page.locator("main input[type=checkbox]").nth(1).check();
    await page.locator("main label:has(input[type=checkbox])").nth(3).click({ position: { x: 60, y: 8 } }); // the text, too, ticks
    const wanted = Array.from({ length: count }, (_, i) => i === 1 || i === 3);
    equal(await state(), wanted, "after two clicks");
    await page.reload();
    equal(await state(), wanted, "after a reload");
    await page.locator("a.language").click();
    await page.waitForURL(`${base}/en/step1.html*`);
    equal(await state(), wanted, "in English");
    await page.locator("main input[type=checkbox]").nth(1).uncheck();
    await page.goto(`${base}/ja/step1.html`);
    equal(await state(), wanted.map((b, i) => i === 3), "taken away in English, seen in Japanese");
    await page.goto(`${base}/en/step2.html`);
    equal((await state()).some(Boolean), false, "on another page");
  });
}
await test("boxes: a second window follows, and a damaged memory does no harm", async (page, context) => {
  await page.goto(at("en/step1.html"));
  const second = await context.newPage();
  await second.goto(at("ja/step1.html"));
  await page.locator("main input[type=checkbox]").first().check();
  await second.waitForFunction(() => document.querySelector("main input[type=checkbox]").checked);
  await page.evaluate(() => localStorage.setItem("bgworkbook.ticked.step1", "{not json"));
  await page.reload();
  await page.locator("main input[type=checkbox]").first().check();
  await page.reload();
  equal(await page.locator("main input[type=checkbox]").first().isChecked(), true, "ticked anew");
});

// ---- hints and solutions
for (const language of languages) {
  await test(`hints, ${language}: a solution is shown by a click, and hidden by the next`, async (page) => {
    await page.goto(at(`${language}/step1.html`));
    const solution = page.locator("main details.solution").first();
    for (const wanted of [false, true, false]) {
      equal(await solution.locator("pre").isVisible(), wanted, "the solution is shown");
      await solution.locator("summary").click();
    }
  });
}

// ---- copying
await test("copy: of each transcript only what is typed, of each listing all of it", async (page, context) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.origin });
  const prompt = /^(?:\$ |> |\w+[=-][#>] )/;
  let transcripts = 0, listings = 0;
  for (const f of ["en/step1.html", "ja/step1.html", "ja/step3.html", "en/setup.html", "en/step7.html"]) {
    const source = await (await page.goto(at(f))).text();
    // What the file says, not what the page's scripts have made of it.
    const blocks = await page.evaluate((html) => {
      const parsed = new DOMParser().parseFromString(html, "text/html");
      return [...parsed.querySelectorAll("main pre > code")].map((c) => [c.className.includes("language-console"), c.textContent, Boolean(c.querySelector(".boring")), Boolean(c.closest("details"))]);
    }, source);
    await page.evaluate(() => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
    const buttons = page.locator("main pre .clip-button");
    equal(await buttons.count(), blocks.length, `copy buttons in ${f}`);
    for (const [i, [transcript, text, hidden]] of blocks.entries()) {
      if (hidden || (!transcript && i % 3)) continue; // of the listings every third: they are mdBook's own matter
      const lines = text.split("\n").filter((l) => prompt.test(l)).map((l) => l.replace(prompt, ""));
      const wanted = transcript && lines.length ? `${lines.join("\n")}\n` : text;
      await page.evaluate(() => navigator.clipboard.writeText("nothing was copied"));
      await buttons.nth(i).click();
      const got = await page.evaluate(() => navigator.clipboard.readText());
      equal(got.trimEnd(), wanted.trimEnd(), `the clipboard after block ${i + 1} of ${f}`);
      if (transcript) transcripts++; else listings++;
    }
  }
  if (transcripts < 20 || listings < 5) fail(`only ${transcripts} transcripts and ${listings} listings`);
});

// ---- the keyboard
await test("keyboard: pages, search, hints, boxes and the switch of language without a mouse", async (page) => {
  await page.goto(at("ja/step1.html"));
  await page.keyboard.press("ArrowRight");
  await page.waitForURL(at("ja/step2.html"));
  await page.keyboard.press("ArrowLeft");
  await page.waitForURL(at("ja/step1.html"));
  await page.keyboard.press("s");
  equal(await page.evaluate(() => document.activeElement.id), "mdbook-searchbar", "what has the focus after s");
  await page.keyboard.type("latch");
  await page.locator("#mdbook-searchresults > li").first().waitFor();
  await page.keyboard.press("ArrowDown"); // to the first result
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => !location.search.includes("search=") && !document.querySelector("#mdbook-searchbar:focus"));
  await page.goto(at("ja/step1.html"));
  // By Tab alone: the switch, then a box, then a hint. Whatever has the focus can be seen to have it.
  const reached = new Set();
  for (let i = 0; i < 400 && reached.size < 4; i++) {
    await page.keyboard.press("Tab");
    const where = await page.evaluate(() => {
      const e = document.activeElement, style = getComputedStyle(e);
      return { kind: e.matches("a.language") ? "switch" : e.matches("main input[type=checkbox]") ? "box" : e.matches("main summary") ? "hint" : e.matches(".clip-button") ? "copy" : "",
        visible: style.outlineStyle !== "none" || style.boxShadow !== "none" };
    });
    if (!where.kind || reached.has(where.kind)) continue;
    reached.add(where.kind);
    if (!where.visible) fail(`the focus on the ${where.kind} cannot be seen`);
    if (where.kind === "box") {
      await page.keyboard.press("Space");
      equal(await page.evaluate(() => document.activeElement.checked), true, "ticked by the space bar");
    }
    if (where.kind === "hint") {
      await page.keyboard.press("Enter");
      equal(await page.evaluate(() => document.activeElement.parentElement.open), true, "opened by Enter");
    }
  }
  equal([...reached].sort(), ["box", "copy", "hint", "switch"], "reached by Tab");
});
await test("keyboard: the Enter that ends a conversion does not open a result", async (page) => {
  await page.goto(at("ja/index.html"));
  await page.keyboard.press("/");
  await page.locator("#mdbook-searchbar").pressSequentially("ラッチ");
  await page.locator("#mdbook-searchresults > li").first().waitFor();
  await page.locator("#mdbook-searchbar").evaluate((input) => input.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, isComposing: true, bubbles: true, cancelable: true })));
  equal(new URL(page.url()).pathname, "/ja/index.html", "the page");
});

// ---- the view for the projector
for (const [kind, start] of [["server", (page) => at(page)], ["file", (page) => `${files}/${page}`]]) {
  await test(`projector, from a ${kind}: larger, without the contents, from page to page; by key, button and address`, async (page) => {
    const size = () => page.locator("main p").first().evaluate((p) => parseFloat(getComputedStyle(p).fontSize));
    const on = () => page.evaluate(() => document.documentElement.classList.contains("projector"));
    const contents = page.locator("#mdbook-sidebar");
    await page.setViewportSize({ width: 1920, height: 1080 });
    await page.goto(start("ja/step1.html"));
    const before = await size();
    equal([await on(), await contents.isVisible()], [false, true], "at first");
    await page.keyboard.press("p");
    equal([await on(), await contents.isVisible(), await size() >= 1.4 * before], [true, false, true], "by the key p");
    await page.goto(start("ja/step2.html"));
    equal(await on(), true, "on the next page");
    equal(await page.locator("main pre > code").evaluateAll((all) => all.filter((c) => c.scrollWidth > c.clientWidth + 1).length), 0, "listings that are cut");
    await page.locator(".projector-switch").click();
    equal([await on(), await size()], [false, before], "by the button");
    await page.goto(start("en/index.html?projector"));
    equal([await on(), await page.locator(".projector-switch").getAttribute("aria-pressed")], [true, "true"], "by the address");
    await page.keyboard.press("p");
    await page.keyboard.press("/");
    await page.locator("#mdbook-searchbar").pressSequentially("pp");
    equal(await on(), false, "by a p in the search field");
  });
}

await browser.close();
server.close();
if (!passed && !failed) { console.log(`no test has ${only} in its name`); failed = 1; }
console.log(`test result: ${failed ? "FAILED" : "ok"}. ${passed} passed; ${failed} failed`);
process.exitCode = failed ? 1 : 0;
