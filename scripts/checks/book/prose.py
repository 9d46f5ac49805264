#!/usr/bin/env python3
"""The prose of this repository for the linters, and rules of our own for English.

prose.py ja FOLDER       writes the Japanese texts there, with the line numbers of their sources, and textlint's settings
prose.py seeded FOLDER   writes a text there with a fault of each kind that textlint is to find
prose.py en              prints what breaks a rule in the English texts
prose.py en-seeded       prints the rules that do not find the fault that they are for
"""
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GLOSSARY = tomllib.loads((ROOT / "book/glossary.toml").read_text(encoding="utf-8"))["term"]


def pages(language):
    """The Markdown files of a language: the book, and what stands at the top of the repository."""
    yield from (p for p in sorted((ROOT / "book" / language / "src").glob("*.md")) if p.name != "SUMMARY.md")
    end = ".ja.md" if language == "ja" else ".md"
    for name in ("README", "CONTRIBUTING", "CHANGELOG"):
        if (ROOT / (name + end)).is_file():
            yield ROOT / (name + end)


def strings(value, language, inside=False):
    """The texts of a language in a table of TOML: whatever stands under the key `en` or `ja`, or `..._en`."""
    if isinstance(value, dict):
        for key, v in value.items():
            yield from strings(v, language, inside or key == language or key.endswith("_" + language) or key.startswith(language + "_is"))
    elif isinstance(value, list):
        for v in value:
            yield from strings(v, language, inside)
    elif inside and isinstance(value, str):
        yield value


def messages(language):
    """(file, line, text) of each text in the TOML files: what exercises, hints, checks and the doctor say."""
    for path in sorted([*ROOT.glob("steps/*/*.toml"), *ROOT.glob("workbook/*/*.toml")]):
        if path.name == "Cargo.toml":
            continue
        source = path.read_text(encoding="utf-8")
        for text in strings(tomllib.loads(source), language):
            first = next((line for line in text.splitlines() if line.strip()), "")
            at = source.find(json.dumps(first, ensure_ascii=False)[1:-1][:30])
            yield path, source.count("\n", 0, at) + 1 if at >= 0 else 1, text


def prose(text):
    """A page with the same lines, without what is not prose: code, includes, ids, comments, HTML."""
    out, fence = [], None
    for line in re.sub(r"<!--.*?-->", lambda m: "\n" * m[0].count("\n"), text, flags=re.S).splitlines():
        mark = re.match(r"\s*(```+|~~~+)", line)
        if mark and fence is None:
            fence = mark[1]
        elif mark and line.strip() == fence:
            fence = None
        elif fence is None:
            line = re.sub(r"(?<= )\{\{#include [^}]*\}\}|\{\{#include [^}]*\}\}(?= )", "18", line)  # a number in a sentence
            line = re.sub(r"\{\{#include [^}]*\}\}", "", line).replace("勝俣 智成", "勝俣智成")  # a name has its space
            out.append(re.sub(r"\s*\{#[\w-]+\}\s*$", "", line))
            continue
        out.append("")
    return "\n".join(out) + "\n"


# ---- Japanese: textlint -------------------------------------------------------------------------------------------------------
def words():
    """The glossary as textlint's list of words. A word that is refused may be the beginning of the one that is right."""
    rules = []
    for term in GLOSSARY:
        for bad in term.get("ja_not", []):
            right = term["ja"]
            rest = f"(?!{right[len(bad):]})" if right.startswith(bad) else ""
            before = "".join(f"(?<!{also[:also.index(bad)]})" for also in ("プリロード",) if bad in also)  # a title in the manual
            rules.append({"expected": right, "pattern": f"/{before}{bad}{rest}/"})
    return {"version": 1, "rules": rules}


def japanese(text):
    """A text of a TOML file as one paragraph. It has no marks for code: what looks like code becomes a letter."""
    text = re.sub(r"(?<=[!-~])\n(?=[^!-~])|(?<=[^!-~])\n(?=[!-~])", " ", text.strip()).replace("\n", "")
    text = re.sub(r"\{[^}\n]{0,9}\}", "X", text)
    return re.sub(r"[!-~]*[A-Za-z][!-~]*(?: +[!-~]*[A-Za-z0-9_\"'({\[;=:.!&][!-~]*)*", lambda m: "X" if re.search(r"[_({\[#:!=;&<>\"]", m[0]) else m[0], text)


def write_japanese(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages("ja"):
        target = folder / page.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(prose(page.read_text(encoding="utf-8")), encoding="utf-8")
    texts = {}
    for path, line, text in messages("ja"):
        lines = texts.setdefault(path, [])
        lines += [""] * (line - 1 - len(lines))  # the source's line, where the file has not grown past it
        lines += [japanese(text), ""]
    for path, lines in texts.items():
        target = folder / (str(path.relative_to(ROOT)) + ".md")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings(folder)


def settings(folder):
    rules = json.loads((ROOT / "book/tools/textlint.json").read_text(encoding="utf-8"))
    rules["rules"]["prh"] = {"rulePaths": ["words.json"]}
    (folder / "words.json").write_text(json.dumps(words(), ensure_ascii=False), encoding="utf-8")  # JSON is YAML
    (folder / ".textlintrc.json").write_text(json.dumps(rules), encoding="utf-8")


SEEDED = """サーバはワーカーを起動します。これはワーカーの停止である。停止は終了コードで伝わります。

この文は、バックグラウンドワーカーが起動してから終了するまでの間に、postmaster とサーバーのほかのプロセスとの間で何が起きるのかを、順を追って、できるだけ詳しく、しかも例を挙げながら説明しようとして、読む人が息をつく間もないほど長くなり、どこで終わるのかが誰にも分からなくなってしまいました。

ワーカーが停止が必要が分かります。この表は見れます。PostgreSQLのワーカーです。
"""

# ---- English: rules of the house ----------------------------------------------------------------------------------------------
WORDS_IN_A_SENTENCE = 40
RULES = {  # name: (pattern, what to write instead, a text that breaks it)
    "a word twice": (r"\b(?!(?:that|had|is|in|on)\b)([a-z]+) +\1\b", "once", "It is the the worker."),
    "filler": (r"\b(?:basically|obviously|of course|needless to say|please note|it should be noted|as you can see|simply put|in order to|due to the fact|at this point in time)\b",
               "nothing, or to, or because", "In order to start it, type this."),
    "praise": (r"\b(?:seamless(?:ly)?|robust|elegant(?:ly)?|blazing(?:ly)?|state-of-the-art|world-class|cutting-edge|effortless(?:ly)?|comprehensive)\b",
               "what it does", "A robust worker."),
    "officialese": (r"\b(?:utili[sz]e[sd]?|utilization|leverag(?:e[sd]?|ing)|facilitate[sd]?|functionality|aforementioned|thereof)\b", "use, help, it", "It utilizes a latch."),
    "American spelling": (r"\b(?:behavior|color|favor|honor|center|analyze|license[sd]? (?:of|under)|canceling|canceled|modeled|labeled)s?\b",
                          "the British one", "The behavior of a worker."),
    "Latin": (r"\b(?:e\.g\.|i\.e\.|etc\.|viz\.|cf\.)", "for example, that is, and so on", "Signals, e.g. SIGTERM."),
    "an exclamation mark": (r"\b[a-z]{3,}!(?=\s|$)", "a full stop", "It works!"),
    "a space before a mark": (r"\w [,;:.?](?:\s|$)", "no space", "It works ."),
    "typographic quotes": (r"[‘’“”]", "straight ones", "It’s a worker."),
    "click here": (r"\bclick here\b|\[here\]", "what the link leads to", "Look [here](x)."),
}


def plain(text):
    """Without inline code and the addresses of links."""
    text = re.sub(r"``.*?``|`[^`\n]*`", "``", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def sentences(text):
    """(line, sentence) of each: a paragraph, an item or a cell is split at full stops."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*(?:<|\[[^\]]*\]:)", line):
            continue
        for cell in line.split(" | ") if line.lstrip().startswith("|") else [line]:
            for sentence in re.split(r"(?<=[.?!:;])\s+", cell):
                yield number, sentence


def faults(text):
    """(line, fault) in a text whose code has been taken out."""
    for number, line in enumerate(text.splitlines(), 1):
        for name, (pattern, instead, _) in RULES.items():
            for found in re.finditer(pattern, line, re.I if name not in ("an exclamation mark",) else 0):
                yield number, f'{name}: "{found[0].strip()}"; write {instead}'
        for term in GLOSSARY:
            for bad in term.get("en_not", []):
                if re.search(rf"\b{re.escape(bad)}\b", line, re.I):
                    yield number, f'not a word of the glossary: "{bad}"; write "{term["en"]}"'
    for number, sentence in sentences(text):
        count = len(re.findall(r"[\w'/-]+", sentence))
        if count > WORDS_IN_A_SENTENCE:
            yield number, f"a sentence of {count} words, at most {WORDS_IN_A_SENTENCE}: {sentence.strip()[:60]} ..."


def check_english():
    for page in pages("en"):
        for line, text in faults(plain(prose(page.read_text(encoding="utf-8")))):
            print(f"{page.relative_to(ROOT)}:{line}: {text}")
    for path, line, text in messages("en"):
        for _, fault in faults(plain(re.sub(r"\w+!", "``", " ".join(text.split())))):
            print(f"{path.relative_to(ROOT)}:{line}: {fault}")


def check_rules():
    for name, (_, _, text) in RULES.items():
        if not any(fault.startswith(name + ":") for _, fault in faults(text)):
            print(f'"{name}" is not found in: {text}')
    if not any("glossary" in fault for _, fault in faults("Wait for the restart interval.")):
        print("no fault is found against the glossary")
    if not any("words, at most" in fault for _, fault in faults("word " * (WORDS_IN_A_SENTENCE + 1))):
        print("no sentence is too long")


def main():
    task = sys.argv[1]
    if task == "ja":
        write_japanese(Path(sys.argv[2]))
    elif task == "seeded":
        (Path(sys.argv[2]) / "seeded.md").write_text(SEEDED, encoding="utf-8")
    elif task == "en":
        check_english()
    else:
        check_rules()


main()
