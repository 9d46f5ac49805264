#!/usr/bin/env python3
"""Looks at the PDFs that scripts/handout has made, with poppler's tools: look.py --book FOLDER --made FOLDER [--letter FOLDER]

Each check says what is wrong; the last line counts them. What a PDF has to contain is taken from the built book.
"""
import argparse
import html
import re
import subprocess
import sys
import unicodedata
from functools import cache
from pathlib import Path

SIZES = {"a4": (595, 842), "letter": (612, 792)}
MM = 72 / 25.4
SOLUTION = {"en": "Solution", "ja": "解答"}
passed, failed = 0, 0


def check(name, problems):
    global passed, failed
    problems = list(problems)
    print(f"{'FAILED' if problems else 'ok    '}  {name}")
    for problem in problems[:8]:
        print(f"        {problem}")
    if len(problems) > 8:
        print(f"        ... and {len(problems) - 8} more")
    passed, failed = passed + (not problems), failed + bool(problems)


@cache
def tool(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True).stdout


def pages(pdf, *options):
    return tool("pdftotext", *options, pdf, "-").split("\f")[:-1]


def words(pdf):
    """(width, height, words) of each page; a word is (left, top, right, bottom, text), in points."""
    for page in re.split(r"<page ", tool("pdftotext", "-bbox", pdf, "-"))[1:]:
        width, height = re.match(r'width="([\d.]+)" height="([\d.]+)"', page).groups()
        found = re.findall(r'xMin="([-\d.]+)" yMin="([-\d.]+)" xMax="([-\d.]+)" yMax="([-\d.]+)">(.*?)</word>', page)
        yield float(width), float(height), [(*map(float, box), html.unescape(text)) for *box, text in found]


def plain(text):
    return html.unescape(re.sub(r"<[^>]*>", "", text)).strip()


def bare(text):
    """Without blanks, and with letters that only look different made the same."""
    return re.sub(r"[\s\u200b\u00ad]", "", unicodedata.normalize("NFKC", text))


def main_part(page):
    return re.search(r"<main>(.*)</main>", page.read_text(encoding="utf-8"), re.S)[1]


# ---- any of them --------------------------------------------------------------------------------------------------------------
def every(pdf, paper, landscape, margins):
    left, top, right, bottom = (m * MM for m in margins)
    width, height = SIZES[paper][:: -1 if landscape else 1]

    def fonts():
        rows = tool("pdffonts", pdf).splitlines()[2:]
        if not rows:
            yield "there is no font at all"
        for row in rows:
            embedded = re.search(r" (yes|no) +(yes|no) +(yes|no) +\d+ +\d+$", row)
            if not embedded or embedded[1] != "yes" or "Type 3" in row:
                yield f"not embedded, or drawn letter by letter: {row}"

    def inside():
        for number, (w, h, found) in enumerate(words(pdf), 1):
            if abs(w - width) > 1.5 or abs(h - height) > 1.5:
                yield f"page {number} is {w} x {h} points"
            for x, y, x2, y2, text in found:
                if x < left - 2 or x2 > w - right + 2 or y < top - 2 or y2 > h - bottom + 2:
                    yield f"page {number}: {text!r} at {x:.0f}, {y:.0f} is beyond the margin"

    check(f"{pdf}: fonts are embedded, none is of type 3", fonts())
    check(f"{pdf}: nothing stands beyond the margins", inside())


# ---- the workbook -------------------------------------------------------------------------------------------------------------
def chapters(book):
    """The HTML of the chapters that the workbook has, one after the other."""
    return re.split(r"(?=<h1 )", main_part(book / "print.html"))[1:]


def without_solutions(text):
    return re.sub(r'<details class="solution(?: answer)?"[^>]*>.*?</details>', "", text, flags=re.S)


def workbook(pdf, book, language, solutions):
    text = "".join(chapters(book))
    if not solutions:
        text = without_solutions(text)
    laid_out, flowing = pages(pdf, "-layout"), pages(pdf)
    whole = bare("".join("\n".join(page.splitlines()[1:]) for page in pages(pdf, "-raw")))
    headings = [(int(level), plain(title)) for level, title in re.findall(r"<h([12]) [^>]*>(.*?)</h\1>", text, re.S)]
    outline = [(int(p), plain(t)) for p, t in re.findall(r'<item page="(\d+)">(.*?)</item>', tool("pdftohtml", "-xml", "-i", "-stdout", "-f", 1, "-l", 1, pdf))]
    first = next((page for page, title in outline if bare(title) == bare(headings[0][1])), 5)

    def entries():
        """The contents as they are printed, in order: (title, number)."""
        for page in pages(pdf, "-raw")[1 : first - 1]:
            yield from ((m[1], int(m[2])) for m in re.finditer(r"^(.*\S) (\d+)$", page, re.M))

    def contents():
        printed = list(entries())
        if [t for t, _ in printed] != [t for _, t in headings]:
            missing = [t for _, t in headings if t not in dict(printed)]
            yield f"the contents have {len(printed)} lines for {len(headings)} headings; missing: {missing[:5]}"
            return
        for title, number in printed:
            if number > len(flowing) or bare(title) not in bare(flowing[number - 1]):
                yield f"{title} is not on page {number}"
        in_outline = iter(outline)
        for title, number in printed:
            place = next((page for page, t in in_outline if bare(t) == bare(title)), None)
            if place != number:
                yield f"{title}: the contents say {number}, the outline {place}"

    def empty():
        for number, page in enumerate(laid_out, 1):
            body = "\n".join(page.rstrip().splitlines()[1:-1]) if number > 1 else page
            if len(bare(body)) < 30:
                yield f"page {number} has {len(bare(body))} letters"

    def numbers():
        for number, page in enumerate(laid_out, 1):
            last = page.rstrip().splitlines()[-1].strip()
            if number > 1 and last != str(number):
                yield f"page {number} has {last!r} at its foot"

    code = [html.unescape(re.sub(r"<[^>]*>", "", block)) for block in re.findall(r"<pre><code[^>]*>(.*?)</code>", text, re.S)]

    def lines():
        starts = {bare(line)[:12] for page in laid_out for line in page.splitlines()}
        for line in (line for block in code for line in block.splitlines() if bare(line)):
            if bare(line)[:12] not in starts:
                yield f"does not begin a line: {line[:70]}"
            elif bare(line) not in whole:
                # It may stand on two pages, where it is wrapped.
                half = len(bare(line)) // 2
                if bare(line)[:half] not in whole and bare(line)[half:] not in whole:
                    yield f"is not there whole: {line[:70]}"

    def answers():
        """What the folds with answers hold, and nothing else of the book does, nor a hint."""
        all_of_it = "".join(chapters(book))
        inside = "".join(re.findall(r'<details class="solution(?: answer)?".*?</details>', all_of_it, re.S))
        listed = lambda part: html.unescape(re.sub(r"<[^>]*>", "", "\n".join(re.findall(r"<pre><code[^>]*>(.*?)</code>", part, re.S))))
        elsewhere = bare(plain(without_solutions(all_of_it)))
        secret = {line.strip() for line in listed(inside).splitlines() if len(bare(line)) > 20 and bare(line) not in elsewhere}
        if len(secret) < 50:
            yield f"the book has only {len(secret)} lines that are answers"
        yield from (f"is printed: {line[:70]}" for line in secret if bare(line) in whole)

    def split():
        """A block that fits on a page is on one: its first and its last line are on the same one."""
        flat = [bare(page) for page in pages(pdf, "-raw")]
        for block in code:
            if block.count("\n") <= 45 and not any(bare(block) in page for page in flat) and bare(block) in "".join(
                bare("\n".join(page.splitlines()[2:])) for page in pages(pdf, "-raw")):
                yield f"is on two pages: {block[:60]!r}"

    def sentences():
        found, lost = 0, []
        for paragraph in re.findall(r"<p>(.*?)</p>", re.sub(r'<a href="[^>]*>', "<a>", re.sub(r"<(pre|svg).*?</\1>", "", text, flags=re.S)), re.S):
            if "<a>" in paragraph or len(bare(plain(paragraph))) < 20:
                continue  # a link has its page behind it
            found += 1
            if bare(plain(paragraph)) not in whole:
                lost.append(plain(paragraph)[:60])
        if found < 300:
            yield f"the book has only {found} paragraphs"
        # A few stand on two pages, with header and footer between their halves.
        if len(lost) * 20 > found:
            yield f"{len(lost)} of {found} paragraphs are not found, among them: {lost[:4]}"

    def japanese():
        for number, page in enumerate(pages(pdf, "-layout"), 1):
            for line in page.splitlines():
                if re.match(r"\s*[、。」）』ーぁぃぅぇぉっゃゅょァィゥェォッャュョ]", line) and not re.match(r"\s*ー\s*$", line):
                    yield f"page {number}: a line begins with {line.strip()[:12]!r}"
        blank = re.compile(r"[ぁ-ん。、] [ぁ-ん。、]")
        blanks = {found[0] for page in flowing for found in blank.finditer(page)} - set(blank.findall(plain(text))) # as after a bold word
        if blanks:
            yield f"blanks within Japanese: {sorted(blanks)[:5]}"

    def addresses():
        for address in set(re.findall(r'<a href="https?://([^"]*?)/?"', text)):
            if bare(address) not in whole:
                yield f"{address} cannot be read on paper"

    def links():
        marks = len(re.findall(r"\(p\. ?\d+\)|\(\d+ページ\)", whole))
        wanted = len(re.findall(r'<a href="#', re.sub(r'<a class="header".*?</a>', "", text)))
        if marks < wanted * 0.97:
            yield f"{wanted} links to other pages, but {marks} numbers behind them"

    check(f"{pdf}: between 120 and 300 pages", [] if 120 <= len(laid_out) <= 300 else [f"it has {len(laid_out)}"])
    check(f"{pdf}: the contents name the pages that the headings are on, and so does the outline", contents())
    check(f"{pdf}: no page is empty", empty())
    check(f"{pdf}: each page has its number", numbers())
    check(f"{pdf}: each line of code is there, and begins a line", lines())
    check(f"{pdf}: no block is split that fits on a page", split())
    if not solutions:
        check(f"{pdf}: no answer to an exercise is printed", answers())
    check(f"{pdf}: paragraphs can be searched", sentences())
    check(f"{pdf}: addresses can be read on paper", addresses())
    check(f"{pdf}: links name their page", links())
    if language == "ja":
        check(f"{pdf}: Japanese is broken by its rules, without blanks", japanese())
    shown = sum(line.strip() == SOLUTION[language] for page in laid_out for line in page.splitlines())
    wanted = len(re.findall(r'<details class="solution">', main_part(book / "print.html"))) if solutions else 0
    check(f"{pdf}: {wanted} solutions", [] if shown == wanted else [f"{shown} are shown"])


# ---- the cards ----------------------------------------------------------------------------------------------------------------
def cheatsheet(pdf, book, paper):
    every(pdf, paper, True, (7, 5, 7, 3))
    check(f"{pdf}: two pages", [] if len(pages(pdf)) == 2 else [f"it has {len(pages(pdf))}"])
    whole, text = bare("".join(pages(pdf, "-raw"))), main_part(book / "cheatsheet.html")
    cells = [plain(t) for t in re.findall(r"<(?:h2|td|li)[^>]*>(.*?)</(?:h2|td|li)>", text, re.S)]
    code = [html.unescape(line) for block in re.findall(r"<pre><code[^>]*>(.*?)</code>", text, re.S) for line in block.splitlines()]
    check(f"{pdf}: all of the chapter is there", (f"not there: {t}" for t in cells + code if bare(t) not in whole))


def rescue(pdf, book, paper):
    every(pdf, paper, False, (5, 4, 5, 2))
    text = main_part(book / "rescue.html")
    cards = re.split(r"(?=<h2 )", text)[1:]
    wanted = (len(cards) + 1) // 2
    check(f"{pdf}: {len(cards)} cards, two on a page", [] if len(pages(pdf)) == wanted else [f"it has {len(pages(pdf))} pages"])

    def whole_cards():
        halves = []
        for _, height, found in words(pdf):
            halves += ["".join(w[4] for w in found if w[3] <= height / 2), "".join(w[4] for w in found if w[1] > height / 2)]
        for card, half in zip(cards, halves):
            for t in re.findall(r"<(?:h2|td)[^>]*>(.*?)</(?:h2|td)>", card, re.S):
                # poppler gives the words of a page in an order of its own; each of them has to be on this half.
                for word in re.findall(r"[A-Za-z_]{3,}", plain(t)):
                    if any(part not in half for part in re.split("_", word)):
                        yield f"{plain(t)[:50]}: {word} is not on its card"
                for sign in set(re.findall(r"[\u3041-\u9fff]", plain(t))):
                    if sign not in unicodedata.normalize("NFKC", half):
                        yield f"{plain(t)[:50]}: {sign} is not on its card"

    flat = bare("".join(pages(pdf, "-raw")))
    check(f"{pdf}: each card stands on its half page", whole_cards())
    check(f"{pdf}: what the cards mean can be searched",
          (f"not there: {plain(t)[:60]}" for t in re.findall(r"<td[^>]*>(.*?)</td>", text, re.S) if bare(plain(t)) not in flat))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--book", type=Path, required=True)
    parser.add_argument("--made", type=Path, required=True)
    parser.add_argument("--letter", type=Path)
    a = parser.parse_args()
    for language in ("en", "ja"):
        book, made = a.book / language, a.made / language
        plans = [("workbook-a4.pdf", False)] + ([("workbook-solutions-a4.pdf", True)] if language == "ja" else [])
        for name, solutions in plans:
            every(made / name, "a4", False, (15, 8, 15, 5))
            workbook(made / name, book, language, solutions)
        cheatsheet(made / "cheatsheet-a4.pdf", book, "a4")
        rescue(made / "rescue-a4.pdf", book, "a4")
        if a.letter:
            cheatsheet(a.letter / language / "cheatsheet-letter.pdf", book, "letter")
            rescue(a.letter / language / "rescue-letter.pdf", book, "letter")
    print(f"test result: {'FAILED' if failed else 'ok'}. {passed} passed; {failed} failed")
    sys.exit(bool(failed))


main()
