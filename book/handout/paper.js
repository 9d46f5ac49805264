// Colours the code, and makes an element of each of its lines: a long one wraps with an indent and a mark.
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
