#!/usr/bin/env python3
"""Makes the PDFs of one language from its built book: make.py --book FOLDER --language en --out FOLDER [--paper letter] [--solutions]

  workbook     all chapters behind a title page and the contents
  cheatsheet   the chapter cheatsheet, on two landscape pages
  rescue       the chapter rescue, one card a half page

mdBook's own HTML is laid out by paper.css and printed by a headless Chromium. The numbers of pages that the contents and the links
name are known after a first pass only, so the workbook is printed until they do not change any more.
"""
import argparse
import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOK = HERE.parent
WORDS = {
    "en": {
        "contents": "Contents",
        "page": " (p. {})",
        "versions": "PostgreSQL {postgresql} (and {majors}), pgrx {pgrx}, Rust {rust}",
        "licence": "Text: CC BY 4.0. Code: MIT or Apache-2.0.",
        "without": "Solutions are left out. The command <code>cargo workbook solution</code> shows them.",
        "with": "With solutions: for whoever leads.",
        "at": " It is in {}.",
    },
    "ja": {
        "contents": "目次",
        "page": " ({} ページ)",
        "versions": "PostgreSQL {postgresql} (ほかに {majors})、pgrx {pgrx}、Rust {rust}",
        "licence": "文章: CC BY 4.0、コード: MIT または Apache-2.0",
        "without": "解答は省いてあります。<code>cargo workbook solution</code> で表示できます。",
        "with": "解答付き。進行役のためのものです。",
        "at": "変更は {} にあります。",
    },
}
PAPER = {"a4": ("A4", 210, 297), "letter": ("letter", 215.9, 279.4)}  # the name in CSS, width and height in mm
ANSWER = r'<details class="solution answer"(?: data-at="([^"]*)")?>\s*<summary>(.*?)</summary>.*?</details>'
PROMPT = re.compile(r"^(?:\$ |&gt; |\w+[=-][#&]\S* )")


def versions():
    text = (BOOK / "generated/versions.md").read_text(encoding="utf-8")
    found = dict(re.findall(r"<!-- ANCHOR: (\w+) -->\n(.*)\n", text))
    found["majors"] = ", ".join(m for m in found["majors"].split(", ") if m != found["postgresql"])
    return found


def main_part(page):
    """What stands in <main> of a built page."""
    return re.search(r"<main>(.*)</main>", page, re.S)[1]


def resource(folder, pattern):
    return next(folder.glob(pattern)).relative_to(folder).as_posix()


def plain(text):
    return html.unescape(re.sub(r"<[^>]*>", "", text)).strip()


def console(found):
    """A transcript with its prompts and what is typed marked, as assets/console.js does it on screen."""
    lines = []
    for line in found[2].split("\n"):
        prompt = PROMPT.match(line)
        if prompt:
            line = f'<span class="prompt">{prompt[0]}</span><span class="typed">{line[prompt.end():]}</span>'
        lines.append(line)
    return found[1] + "\n".join(lines) + "</code>"


def without_answer(found, language):
    """What is left of a fold with an answer: where the answer would stand, and where a change can be read."""
    at = WORDS[language]["at"].format(f"<code>{found[1]}</code>") if found[1] else ""
    said = re.sub(r'<span class="advice">.*?</span>', "", found[2])
    return f'<p class="left-out">{said}{at}</p>'


def for_paper(text, language, solutions):
    """The HTML of a chapter without what works on screen only."""
    text = re.sub(r'<div style="break-before: page[^"]*"></div>', "", text)
    text = re.sub(r'<a class="header" href="[^"]*">(.*?)</a>', r"\1", text)
    if not solutions:
        text = re.sub(r'<details class="solution">.*?</details>', "", text, flags=re.S)
        text = re.sub(ANSWER, lambda found: without_answer(found, language), text, flags=re.S)
    text = re.sub(r'<span class="advice">.*?</span>', "", text)
    text = text.replace("<details", "<details open")
    text = re.sub(r'(<code class="language-console">)(.*?)</code>', console, text, flags=re.S)
    text = re.sub(r"<table>.*?</table>", table_code, text, flags=re.S)
    return re.sub(r'<a href="([^"]*)"[^>]*>(.*?)</a>', lambda found: link(found, language), text, flags=re.S)


def table_code(found):
    """Long names in a table may be broken after their parts."""
    return re.sub(r"(?<=<code>)[^<]*", lambda code: re.sub(r"(?<=[A-Za-z0-9])(_|::)(?=\w)", r"\1<wbr>", code[0]), found[0])


def link(found, language):
    target, text = found[1], found[2]
    if target.startswith("#"):
        return f'<a href="{target}">{text}</a><span class="at" data-to="{target[1:]}"></span>'
    if "://" in target:
        shown = re.sub(r"^https?://|/$", "", target)
        if shown in plain(text):
            return f'<a href="{target}">{text}</a>'
        # A long address may be broken after a slash.
        return f'<a href="{target}">{text}</a><span class="url"> ({shown.replace("/", "/<wbr>")})</span>'
    return text  # to a page of the site, which is not on this paper


def head(folder, title, language, style):
    sheets = [resource(folder, p) for p in ("css/variables-*.css", "fonts/fonts-*.css", "highlight-*.css", "assets/workbook-*.css")]
    links = "".join(f'<link rel="stylesheet" href="{s}">' for s in sheets)
    return (
        f'<!DOCTYPE html><html lang="{language}" class="light"><head><meta charset="utf-8"><title>{html.escape(title)}</title>{links}'
        f"<style>{(HERE / 'paper.css').read_text(encoding='utf-8')}\n{style}</style></head>"
    )


def scripts(folder):
    return f'<script src="{resource(folder, "highlight-*.js")}"></script><script>{(HERE / "paper.js").read_text(encoding="utf-8")}</script>'


def css_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# ---- the workbook ---------------------------------------------------------------------------------------------------------------
def chapters(folder):
    """(id, title, HTML) of each chapter, and in front of the first of a part the part's title."""
    text = main_part((folder / "print.html").read_text(encoding="utf-8"))
    toc = (folder / "toc.html").read_text(encoding="utf-8")
    part, parts = "", {}
    for found in re.finditer(r'class="part-title">(.*?)</li>|href="([\w-]+)\.html"[^>]*>(.*?)</a>', toc):
        if found[1]:
            part = found[1]
        elif part:
            parts[plain(found[3])], part = plain(part), ""
    out = []
    for body in re.split(r"(?=<h1 )", text)[1:]:
        name, title = re.match(r'<h1 id="([^"]*)">(.*?)</h1>', body, re.S).groups()
        out.append((name, plain(title), parts.get(plain(title)), body))
    return out


def workbook(folder, language, solutions, paper):
    """The HTML, with the numbers of pages as placeholders @ID@."""
    words = WORDS[language]
    page = (folder / "print.html").read_text(encoding="utf-8")
    title = plain(re.search(r"<title>(.*?)</title>", page)[1])
    description = plain(re.search(r'<meta name="description" content="(.*?)"', page)[1])
    list_, body, style = [], [], [f"@page {{ size: {PAPER[paper][0]}; @top-left {{ content: {css_string(title)}; }} }}"]
    for name, heading, part, text in chapters(folder):
        text = for_paper(text, language, solutions)
        if part:
            list_.append(f'<p class="toc-part">{html.escape(part)}</p>')
        list_.append(f'<p class="toc-1"><a href="#{name}">{html.escape(heading)}</a><i></i><b>@{name}@</b></p>')
        for id_, h2 in re.findall(r'<h2 id="([^"]*)">(.*?)</h2>', text, re.S):
            list_.append(f'<p class="toc-2"><a href="#{id_}">{html.escape(plain(h2))}</a><i></i><b>@{id_}@</b></p>')
        style.append(f"@page p-{name} {{ @top-right {{ content: {css_string(heading)}; }} }} #s-{name} {{ page: p-{name}; }}")
        body.append(f'<section class="chapter" id="s-{name}">{text}</section>')
    front = (
        f'<section class="title"><p class="title-name">{html.escape(title)}</p><p class="title-what">{html.escape(description)}</p>'
        f'<p class="title-small">{words["versions"].format(**versions())}<br>{words["with" if solutions else "without"]}<br>{words["licence"]}</p>'
        f'</section><section class="contents"><h1 id="contents">{words["contents"]}</h1>{"".join(list_)}</section>'
    )
    text = head(folder, title, language, "\n".join(style)) + f"<body>{front}{''.join(body)}{scripts(folder)}</body></html>"
    ids = set(re.findall(r' id="([^"]*)"', text))
    lost = sorted(set(re.findall(r'href="#([^"]*)"', text)) - ids)
    if lost:
        sys.exit(f"handout: links to {', '.join(lost)} lead nowhere")
    at = words["page"].format(r"@\1@")
    return re.sub(r'<span class="at" data-to="([^"]*)"></span>', f'<span class="at">{at}</span>', text)


def fill(text, pages):
    return re.sub(r"@([\w-]+)@", lambda found: str(pages.get(found[1], 100)), text)


def destinations(pdf):
    """{id: page} of each place that something links to."""
    out = subprocess.run(["pdfinfo", "-dests", pdf], capture_output=True, text=True, check=True).stdout
    return {name: int(page) for page, name in re.findall(r'^ *(\d+) .*"(.*)"$', out, re.M)}


# ---- one chapter as cards -----------------------------------------------------------------------------------------------------
def cards(folder, name, language, paper):
    text = for_paper(main_part((folder / f"{name}.html").read_text(encoding="utf-8")), language, False)
    text = re.sub(r'<span class="at"[^>]*></span>', "", text)
    title = plain(re.search(r"<h1[^>]*>(.*?)</h1>", text, re.S)[1])
    # What stands in the margins of the workbook has no room here.
    shape = "landscape; margin: 8mm 8mm 10mm" if name == "cheatsheet" else "portrait; margin: 0; @bottom-center { content: none; }"
    size = f"@page {{ size: {PAPER[paper][0]} {shape}; }}"
    # A card is a heading of the second level with what follows.
    first, *rest = re.split(r"(?=<h2 )", text)
    inner = "".join(f'<section class="card">{card}</section>' for card in rest)
    return head(folder, title, language, size) + f'<body class="{name} {paper}"><header>{first}</header><div class="sheet">{inner}</div>{scripts(folder)}</body></html>'


# ---- printing -----------------------------------------------------------------------------------------------------------------
def printed(chromium, source, pdf):
    with tempfile.TemporaryDirectory() as profile:
        # Its sandbox needs user namespaces, which a container may not have; it reads only what was just built.
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
                   "--no-pdf-header-footer", "--generate-pdf-document-outline", f"--print-to-pdf={pdf}", source.as_uri()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        except subprocess.TimeoutExpired:
            sys.exit("handout: Chromium has not printed within three minutes")
    if done.returncode or not pdf.is_file():
        sys.exit(f"handout: Chromium has printed nothing:\n{done.stderr[-2000:]}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--book", type=Path, required=True)
    parser.add_argument("--language", choices=WORDS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--paper", choices=PAPER, default="a4")
    parser.add_argument("--solutions", action="store_true")
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--only")
    a = parser.parse_args()
    folder = (a.book / a.language).resolve()
    a.out.mkdir(parents=True, exist_ok=True)

    def made(name, text):
        source, pdf = folder / f"handout-{name}.html", folder / f"handout-{name}.pdf"
        source.write_text(text, encoding="utf-8")
        pdf.unlink(missing_ok=True)
        printed(a.chromium, source, pdf)
        return pdf

    ending = f"{'-solutions' if a.solutions else ''}-{a.paper}.pdf"
    for name in ("workbook", "cheatsheet", "rescue"):
        if a.only and name != a.only:
            continue
        if name == "workbook":
            text, pages = workbook(folder, a.language, a.solutions, a.paper), {}
            for _ in range(5):
                pdf = made(name, fill(text, pages))
                before, pages = pages, destinations(pdf)
                if pages == before:
                    break
            else:
                sys.exit("handout: the numbers of the pages do not settle")
        else:
            pdf = made(name, cards(folder, name, a.language, a.paper))
        shutil.move(pdf, a.out / (name + (ending if name == "workbook" else f"-{a.paper}.pdf")))


main()
