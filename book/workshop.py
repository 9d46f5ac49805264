"""The minutes of book/workshop.toml: the run sheets for teachers, and whether they fit.

book/generate takes the tables from here. python3 book/workshop.py [ROOT] prints a line for each thing that does not fit.
"""
import re
import sys
import tomllib
from pathlib import Path

KINDS = ("talk", "lab", "hole", "build", "break")
LONGEST_TALK = 15
TRIES = 2  # how often a pair calls check --quick for one hole, before the whole check
WORDS = {
    "en": {
        "head": "| From | What | Kind | Min. | In detail |",
        "talk": "talk", "lab": "lab", "demo": "demonstration", "hole": "hole", "build": "check, goto", "break": "break", "reserve": "reserve",
        "closing": "Closing", "questions": "questions, and where to go on", "pause": "Break", "and": ", ", "home": "; at home: ",
        "cuts": "| Leave out | Gains |", "minutes": "{} min", "step": "Step\u00a0{}", "index": "Opening",
        "sums": "| talk | labs | holes | waiting | break | reserve | together |",
        "measured": "| On two cores | Time |", "seconds": "{} s", "long": "{}:{:02} min",
        "setup": "`scripts/run step1` on a new machine, with network", "again": "`scripts/ready` again", "quick": "`cargo workbook check --quick` after a change",
        "full": "`cargo workbook check`", "goto": "`cargo workbook goto`, from {} to {}",
    },
    "ja": {
        "head": "| 時刻 | 内容 | 区分 | 分 | すること |",
        "talk": "説明", "lab": "実験", "demo": "実演", "hole": "穴埋め", "build": "判定と\u00a0goto", "break": "休憩", "reserve": "予備",
        "closing": "まとめ", "questions": "質疑と、この先の進め方", "pause": "休憩", "and": "、", "home": "。続きは各自で: ",
        "cuts": "| 省くもの | 浮く時間 |", "minutes": "{} 分", "step": "ステップ\u00a0{}", "index": "導入",
        "sums": "| 説明 | 実験 | 穴埋め | 待ち時間 | 休憩 | 予備 | 合計 |",
        "measured": "| 2 コアでの実測 | 時間 |", "seconds": "{} 秒", "long": "{} 分 {:02} 秒",
        "setup": "新しいマシンでの `scripts/run step1` (ネットワークあり)", "again": "2 回目の `scripts/ready`", "quick": "変更後の `cargo workbook check --quick`",
        "full": "`cargo workbook check`", "goto": "`cargo workbook goto` ({} から {})",
    },
}


class Workshop:
    def __init__(self, root):
        self.root = Path(root)
        self.data = self.toml("book/workshop.toml")
        self.plans = {plan["id"]: plan for plan in self.data["plan"]}
        self.holes = {}
        for file in sorted(self.root.glob("steps/step*/exercise.toml")):
            number = re.match(r"step\d+", file.parent.name)[0]
            self.holes[number] = {hole["id"]: hole for hole in tomllib.loads(file.read_text(encoding="utf-8"))["hole"]}

    def toml(self, name):
        return tomllib.loads((self.root / name).read_text(encoding="utf-8"))

    def source(self, language, page):
        return (self.root / "book" / language / "src" / f"{page}.md").read_text(encoding="utf-8")

    def headings(self, language, page):
        """The headings of a chapter: {id: (level, title)}."""
        return {name: (len(marks), title) for marks, title, name in re.findall(r"^(##+) (.*) \{#([\w-]+)\}$", self.source(language, page), re.M)}

    def reading(self, page):
        minutes = self.data["chapter"][page]
        return minutes if isinstance(minutes, int) else sum(minutes.values())

    def minutes(self):
        """book/generated/minutes.md: the minutes of each chapter, and of the parts that are named by themselves."""
        found = {page: self.reading(page) for page in self.data["chapter"]}
        for name, ids in self.data["part"].items():
            found[name] = sum(self.data["chapter"][name.partition("_")[0]][i] for i in ids)
        return "".join(f"<!-- ANCHOR: {name} -->\n{value}\n<!-- ANCHOR_END: {name} -->\n" for name, value in found.items())

    # ---- the tables
    def goto(self, section, after):
        hole = after.get("open") if after.get("page") == f"step{section['goto']}" else None
        return f"`cargo workbook goto {section['goto']}{f' --hole {hole}' if hole else ''}`"

    def sheet(self, plan, language, marked):
        words, now, out = WORDS[language], 0, []
        titled = lambda page, ids: words["and"].join(f"[{self.headings(language, page)[i][1]}]({page}.md#{i})" for i in ids)
        sections = self.plans[plan]["section"]
        for number, section in enumerate(sections):
            page = section.get("page")
            after = next((s for s in sections[number + 1 :] if s.get("page")), {})
            step = page and re.fullmatch(r"step(\d+)", page)
            what = words["closing"] if section.get("closing") else words["pause"] if "break" in section else words["step"].format(step[1]) if step else words["index"]
            kinds = [kind for kind in KINDS if kind in section]
            begin = kinds[0]
            for kind in kinds:
                detail = ""
                if kind == "talk":
                    detail = titled(page, section["show"]) if page else words["questions"]
                elif kind == "lab":
                    detail = titled(page, section["labs"])
                elif kind == "hole":
                    detail = f"`{section['open']}`: " + marked(self.holes[page][section["open"]]["title"])[language]
                elif kind == "build":
                    judge = "`cargo workbook check`" if section.get("open") else "`cargo workbook doctor`" if not step else ""
                    goto = self.goto(section, after)
                    detail = f"{judge}{words['and']}{goto}" if judge else goto
                    if not after:
                        detail = f"{judge}{words['home']}{goto}" if judge else words["home"].strip("。; ")[0].upper() + words["home"].strip("。; ")[1:] + " " + goto
                name = words["demo"] if kind == "lab" and section.get("demo") else words[kind]
                out.append(f"| {now // 60}:{now % 60:02} | {what if kind == begin else ''} | {name} | {section[kind]} | {detail} |")
                now += section[kind]
        out.append(f"| {now // 60}:{now % 60:02} | | {words['reserve']} | {self.plans[plan]['reserve']} | |")
        return [words["head"], "|---|---|---|---:|---|", *out]

    def sums(self, plan, language):
        totals = self.totals(self.plans[plan])
        return [WORDS[language]["sums"], "|" + "---:|" * 7, "| " + " | ".join(str(n) for n in (*totals.values(), self.plans[plan]["reserve"], sum(totals.values()) + self.plans[plan]["reserve"])) + " |"]

    def totals(self, plan):
        return {kind: sum(section.get(kind, 0) for section in plan["section"]) for kind in KINDS}

    def cuts(self, plan, language):
        words, out = WORDS[language], [WORDS[language]["cuts"], "|---|---:|"]
        for section in self.plans[plan]["section"]:
            for kind in section.get("cut", ()):
                links = words["and"].join(f"[{self.headings(language, section['page'])[i][1]}]({section['page']}.md#{i})" for i in section["labs"])
                out.append(f"| {words['step'].format(section['page'][4:])}: {links} | {words['minutes'].format(section[kind])} |")
        return out

    def measured(self, language):
        words, m = WORDS[language], self.data["measured"]
        time = lambda s: words["seconds"].format(s) if s < 100 else words["long"].format(s // 60, s % 60)
        goto = [seconds for step, seconds in m["goto"].items() if step != "1"]
        rows = [(words[name], m[name]) for name in ("setup", "again", "quick", "full")]
        low, high = min(goto), max(goto)
        return [words["measured"], "|---|---:|", *(f"| {text} | {time(seconds)} |" for text, seconds in rows),
                f"| {words['goto'].format('step1', f'step{len(goto) + 1}')} | {time(low)} – {time(high)} |"]

    def page(self, language, marked):
        """book/generated/LANGUAGE/workshop.md; `marked` makes Markdown of a title in both languages."""
        out = []
        for plan in self.plans:
            for name, lines in (("", self.sheet(plan, language, marked)), ("_sums", self.sums(plan, language)), ("_cuts", self.cuts(plan, language))):
                out += [f"<!-- ANCHOR: {plan}{name} -->", *lines, f"<!-- ANCHOR_END: {plan}{name} -->"]
        out += ["<!-- ANCHOR: measured -->", *self.measured(language), "<!-- ANCHOR_END: measured -->"]
        return "\n".join(out) + "\n"

    # ---- does it fit?
    def problems(self):
        found = []
        chapters = self.data["chapter"]
        for language in ("en", "ja"):
            pages = re.findall(r"\]\((\S+)\.md\)", self.source(language, "SUMMARY"))
            for page in chapters:
                if page not in pages:
                    found.append(f"chapter {page}: there is no such chapter in {language}")
                    continue
                top = "\n".join(self.source(language, page).split("\n")[:8])
                if f"generated/minutes.md:{page}}}}}" not in top:
                    found.append(f"chapter {page}: at its top ({language}) its minutes do not come from here")
                if isinstance(chapters[page], int):
                    continue
                headings = self.headings(language, page)
                for name in chapters[page]:
                    if name not in headings:
                        found.append(f"chapter {page}: there is no heading {name} in {language}")
                for name in headings:
                    if name.startswith("lab-") and name not in chapters[page]:
                        found.append(f"chapter {page}: the lab {name} has no minutes")
            for page in pages:
                if page not in chapters and re.search(r"^\*(Reading|読む時間)", self.source(language, page), re.M):
                    found.append(f"chapter {page}: its minutes are typed ({language})")
            guide = self.source(language, "teaching") if "teaching" in pages else ""
            for page in (page for page in pages if page.startswith("step")):
                for name in self.headings(language, page):
                    if name.startswith("lab-") and f"]({page}.md#{name})" not in guide:
                        found.append(f"teaching ({language}): nothing is said at {page}#{name}")
        for name, ids in self.data["part"].items():
            for i in ids:
                if i not in chapters.get(name.partition("_")[0], {}):
                    found.append(f"part {name}: there is no {i}")
        for wanted, minutes in (("short", 90), ("long", 180)):
            if self.plans.get(wanted, {}).get("minutes") != minutes:
                found.append(f"there is no plan {wanted} of {minutes} minutes")
        for name, plan in self.plans.items():
            found += [f"plan {name}: {problem}" for problem in self.plan_problems(plan)]
        return found

    def plan_problems(self, plan):
        sections, chapters = plan["section"], self.data["chapter"]
        total = sum(self.totals(plan).values()) + plan["reserve"]
        if total != plan["minutes"]:
            yield f"its sections and its reserve are {total} minutes, not {plan['minutes']}"
        if plan["reserve"] * 30 < plan["minutes"]:
            yield f"a reserve of {plan['reserve']} minutes is too little"
        gained = sum(section[kind] for section in sections for kind in section.get("cut", ()) if kind in section)
        if gained * 10 < plan["minutes"]:
            yield f"only {gained} minutes can be cut"
        with_page = [section for section in sections if section.get("page")]
        for place, section in enumerate(with_page):
            page = section["page"]
            if page not in chapters:
                yield f"there is no chapter {page}"
                continue
            if section.get("talk", 0) > LONGEST_TALK:
                yield f"{page}: nobody listens for {section['talk']} minutes"
            unknown = set(section) - {*KINDS, "page", "show", "labs", "open", "goto", "cut", "demo"}
            if unknown:
                yield f"{page}: unknown: {', '.join(sorted(unknown))}"
            headings = self.headings("ja", page)
            known = [i for i in (*section.get("show", ()), *section.get("labs", ())) if i in headings]
            for i in {*section.get("show", ()), *section.get("labs", ())} - set(known):
                yield f"{page}: there is no {i}"
            step = re.fullmatch(r"step(\d+)", page)
            if step:  # what is shown must fit into the minutes for showing it
                for kind, ids in (("talk", "show"), ("lab", "labs")):
                    needed = sum(chapters[page].get(i, 0) for i in section.get(ids, ()))
                    if needed > section.get(kind, 0):
                        yield f"{page}: {kind} has {section.get(kind, 0)} minutes, the chapter needs {needed}"
            if step and not section.get("demo") and "open" not in section:
                yield f"{page}: no hole is opened"
            if "open" in section:
                hole = self.holes.get(page, {}).get(section["open"])
                if hole is None:
                    yield f"{page}: there is no hole {section['open']}"
                elif hole["minutes"] > section.get("hole", 0):
                    yield f"{page}: the hole {section['open']} has {section.get('hole', 0)} minutes and takes {hole['minutes']}"
            elif "hole" in section:
                yield f"{page}: minutes for a hole, but none is opened"
            for kind in section.get("cut", ()):
                if kind not in section:
                    yield f"{page}: {kind} cannot be cut, it is not there"
            measured, goto = self.data["measured"], section.get("goto")
            if goto is None:
                yield f"{page}: the section does not end at a goto"
                continue
            if f"step{goto}" not in self.holes:
                yield f"{page}: goto {goto}: there is no such step"
                continue
            after = with_page[place + 1]["page"] if place + 1 < len(with_page) else None
            if after and after != f"step{goto}":
                yield f"{page}: goto {goto}, but the next section is {after}"
            waiting = measured["goto"][str(goto)] + (TRIES * measured["quick"] + measured["full"] if "open" in section else 0)
            if waiting > 60 * section.get("build", 0):
                yield f"{page}: {section.get('build', 0)} minutes for building, {waiting} s are needed"
        for section in sections:
            if not section.get("page") and not section.get("closing") and "break" not in section:
                yield "a section without a page that is neither the closing nor a break"


if __name__ == "__main__":
    problems = Workshop(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[1]).problems()
    print("\n".join(problems), end="\n" if problems else "")
    sys.exit(bool(problems))
