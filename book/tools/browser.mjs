// For the scripts that drive the built book: Chromium as scripts/lib/browser.sh has put it in place, and a server on localhost.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join, normalize } from "node:path";

if (!process.env.BOOK_TOOLS || !process.env.CHROMIUM) {
  throw new Error("run this by way of scripts/test --book or scripts/handout: they call need_browser of scripts/lib/browser.sh");
}
// A require that finds the packages of book/tools/package.json, which are in the cache.
export const require = createRequire(`${process.env.BOOK_TOOLS}/package.json`);
const { chromium } = require("playwright-core");

// No sandbox: it needs user namespaces, which many containers have not, and only our own pages are opened. The rest keeps
// Chromium from asking for updates, certificates and the like.
export const launch = (options = {}) =>
  chromium.launch({
    executablePath: process.env.CHROMIUM,
    headless: true,
    chromiumSandbox: false,
    ...options,
    args: ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
      "--disable-sync", "--disable-dev-shm-usage", ...(options.args ?? [])],
  });

const types = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2", ".json": "application/json", ".pdf": "application/pdf" };

// Serves a folder on a free port of localhost: { origin, close }.
export async function serve(folder) {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname)); // normalize: nothing above the folder
    let file = join(folder, path);
    try {
      if ((await stat(file)).isDirectory()) file = join(file, "index.html");
      await stat(file);
      response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" });
      createReadStream(file).pipe(response);
    } catch {
      response.writeHead(404, { "content-type": "text/plain" }).end("not found");
    }
  });
  await new Promise((done, failed) => server.on("error", failed).listen(0, "127.0.0.1", done));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
