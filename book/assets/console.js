// Transcripts: what is typed stands out from what is printed, and the copy button copies only what is typed.
(() => {
  "use strict";
  const prompt = /^(?:\$ |> |\w+[=-][#>] )/;

  for (const code of document.querySelectorAll("code.language-console")) {
    const lines = code.textContent.split("\n");
    code.replaceChildren();
    lines.forEach((line, i) => {
      const found = line.match(prompt);
      if (found) {
        const mark = document.createElement("span"), typed = document.createElement("span");
        mark.className = "prompt";
        mark.textContent = found[0];
        typed.className = "typed";
        typed.textContent = line.slice(found[0].length);
        code.append(mark, typed);
      } else {
        code.append(line);
      }
      if (i < lines.length - 1) code.append("\n");
    });
  }

  const original = window.playground_text; // book.js's global, asked by its copy button
  window.playground_text = (block, hidden) => {
    const typed = [...block.querySelectorAll(".typed")].map((span) => span.textContent);
    return typed.length ? typed.join("\n") + "\n" : original(block, hidden);
  };
})();
